"""Progress: a bar while an epoch runs, a line and a table row when it ends."""

from __future__ import annotations

import atexit
import math
import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pandas as pd
import torch
from ignite.engine import Engine, Events
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monai_cxr.bundle.model import RUN_NAME
from monai_cxr.tables import write_table
from monai_cxr.training.metrics import metrics_of_epoch
from monai_cxr.training.run.manifest import note_throughput


class EpochProgress:
    """Show how training goes, and keep it in ``metrics.csv`` and the run's manifest beside it.

    Args:
        evaluator: The engine whose metrics are shown.
        metric: Name of the key metric.
        table: Path of the CSV; one row per epoch, a resumed run continues it.
        optimizer: Its learning rate is recorded.
        title: What the line of an epoch calls the metric.
    """

    def __init__(
        self,
        evaluator: Engine,
        metric: str,
        table: str,
        optimizer: Any | None = None,
        title: str = "macro AUROC",
    ) -> None:
        self.evaluator = evaluator
        self.metric = metric
        self.title = title
        self.table = Path(table)
        self.optimizer = optimizer
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._rows: list[dict[str, float]] | None = None
        self._losses: list[torch.Tensor] = []
        self._n_images = 0
        self._began = self._train_seconds = 0.0

    def attach(self, engine: Engine) -> None:
        """Attach before the validation handler, so that the timing is that of training only."""
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._pause)

    def _earlier_rows(self, epoch: int) -> list[dict[str, float]]:
        if not self.table.is_file():
            return []
        kept = pd.read_csv(self.table)
        return kept[kept["epoch"] < epoch].to_dict("records")  # type: ignore[return-value]

    def _start_epoch(self, engine: Engine) -> None:
        if self._rows is None:  # only now is it known with which epoch a resumed run goes on
            self._rows = self._earlier_rows(engine.state.epoch)
            if self._console.is_terminal:  # a bar that is killed would leave the cursor hidden
                atexit.register(self._console.show_cursor)
        self._losses, self._n_images, self._began = [], 0, time.perf_counter()
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(
                *columns, TimeRemainingColumn(), console=self._console, transient=True
            )
            self._bar.add_task(f"epoch {engine.state.epoch}", total=engine.state.epoch_length)
            self._bar.start()

    def _advance(self, engine: Engine) -> None:
        # Kept where it is: to read a number of a GPU in each step would make it wait.
        self._losses.append(torch.as_tensor(engine.state.output["loss"]).detach())
        self._n_images += len(engine.state.output["label"])
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def _pause(self, engine: Engine) -> None:
        self._train_seconds = time.perf_counter() - self._began
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def report(self, engine: Engine) -> None:
        """Write the line and the row of an epoch; call after validation."""
        state, metrics = engine.state, metrics_of_epoch(self.evaluator, engine)
        n_images = self._n_images * idist.get_world_size()
        row = {
            "epoch": state.epoch,
            "loss": self._mean_loss(),
            "learning_rate": self.optimizer.param_groups[0]["lr"] if self.optimizer else math.nan,
            "images_per_second": n_images / max(self._train_seconds, 1e-9),
            **{name: float(value) for name, value in metrics.items()},
        }
        self._rows = [*(self._rows or []), row]
        rows = pd.DataFrame(self._rows)
        write_table(rows, self.table)
        note_throughput(self.table.with_name(RUN_NAME), rows)
        seconds = (time.perf_counter() - self._began) * (state.max_epochs - state.epoch)
        validated = f"{self.title} {row[self.metric]:.3f}  " if self.metric in row else ""
        self._console.print(
            f"epoch {state.epoch:>3}/{state.max_epochs}  loss {row['loss']:.4f}  {validated}"
            f"{row['images_per_second']:.0f} images/s  {seconds / 60:.1f} min left",
            highlight=False,
        )

    def _mean_loss(self) -> float:
        return float(torch.stack(self._losses).double().mean()) if self._losses else 0.0


class EpochReport:
    """Attach :meth:`EpochProgress.report` after the validation handler, before the checkpoint.

    An epoch counts as done once its checkpoint is written, and a resumed run drops the rows of
    epochs that were not done: so a process that is killed between the two loses no row.

    Args:
        progress: The progress to report.
    """

    def __init__(self, progress: EpochProgress) -> None:
        self.progress = progress

    def attach(self, engine: Engine) -> None:
        """Run when an epoch and its validation have ended."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.progress.report)
