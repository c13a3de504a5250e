"""Tracking: what TensorBoard and MONAI's own trackers (``--tracking mlflow``) are given."""

from __future__ import annotations

import math
from pathlib import Path

import ignite.distributed as idist
import pandas as pd
from ignite.engine import Engine, Events

from monai_cxr.optional import require


class TensorBoardRows:
    """Ignite handler: write each row of ``metrics.csv`` to TensorBoard.

    Attach it after the row is written.

    Args:
        table: The CSV of :class:`monai_cxr.training.progress.EpochProgress`.
        directory: Where TensorBoard looks.
        wanted: Whether to write at all.
    """

    def __init__(self, table: str, directory: str, *, wanted: bool) -> None:
        self.table = Path(table)
        self.directory = directory
        self.wanted = wanted and idist.get_rank() == 0
        if self.wanted:
            require("tensorboard", extra="tracking")

    def attach(self, engine: Engine) -> None:
        """Run when an epoch and its validation have ended."""
        if self.wanted:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the last row."""
        from torch.utils.tensorboard import SummaryWriter

        row = pd.read_csv(self.table).iloc[-1]
        with SummaryWriter(self.directory) as writer:
            for name, value in row.items():
                if name != "epoch" and not math.isnan(value):
                    writer.add_scalar(str(name), value, int(row["epoch"]))


class ListedOutput:
    """Ignite handler: give a step's output as MONAI's trackers read it, a list of dictionaries.

    They expect the list that MONAI makes by taking each batch apart into films, which costs time in
    every step and is of no use here. So the list has one dictionary, the batch's. Attach it after
    every handler that reads the batch.
    """

    def attach(self, engine: Engine) -> None:
        """Run after each batch; trackers are attached later, and so run after it."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Put the output into a list."""
        engine.state.output = [engine.state.output]
