"""Checkpoint: one file to resume from and one with the best weights, both written whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from monai_cxr.errors import SettingsError
from monai_cxr.tables import write_atomically


class HasState(Protocol):
    """Anything with a state dictionary."""

    def state_dict(self) -> Mapping[str, Any]:
        """The state."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take a state."""


class HasEpoch(Protocol):
    """Anything whose randomness is a function of the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch."""


class EpochSeed:
    """Tell samplers and augmentation which epoch begins, so that a resumed run repeats it.

    Args:
        targets: What draws random numbers.
    """

    def __init__(self, targets: Sequence[HasEpoch]) -> None:
        self.targets = tuple(targets)

    def attach(self, engine: Engine) -> None:
        """Run at the start of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the epoch."""
        for target in self.targets:
            target.set_epoch(engine.state.epoch)


class ResumableCheckpoint:
    """Save the last epoch and the best one; continue from the last when the trainer starts.

    ``last.pt`` holds every state and the best value so far; ``model.pt`` holds the weights of the
    best epoch alone, a plain state dictionary as MONAI bundles want it. A metric of NaN never
    becomes the best; where every value was NaN, the latest weights are kept.

    Args:
        directory: Folder of ``last.pt``.
        best: Path of ``model.pt``.
        network: The network (its state is what ``model.pt`` holds).
        states: Further states to resume, by name: optimizer, scheduler.
        metric: Name of the evaluator's metric; larger is better.
        evaluator: The engine that computes it.
        resume: Whether to continue from ``last.pt`` where it exists.
    """

    def __init__(
        self,
        directory: str,
        best: str,
        network: torch.nn.Module,
        states: Mapping[str, HasState],
        *,
        metric: str,
        evaluator: Engine,
        resume: bool = True,
    ) -> None:
        self.last = Path(directory) / "last.pt"
        self.best = Path(best)
        self.network = network
        self.states = dict(states)
        self.metric = metric
        self.evaluator = evaluator
        self.resume = resume
        self.best_value = math.nan
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        """Load at the start, save after each epoch; attach after the validation handler."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def load(self, engine: Engine) -> None:
        """Continue from ``last.pt`` where it exists.

        Raises:
            SettingsError: If the file belongs to another network.
        """
        if not (self.resume and self.last.is_file()):
            return
        state = torch.load(self.last, map_location="cpu", weights_only=True)
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise SettingsError(
                "The run's last.pt holds another network than this config builds. Choose an empty "
                "folder with --out, or remove the run."
            ) from error
        for name, part in self.states.items():
            part.load_state_dict(state[name])
        self.best_value, self.best_epoch = state["best_value"], state["best_epoch"]
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["iteration"]
        engine.logger.info("Resumed after epoch %d.", state["epoch"])

    def save(self, engine: Engine) -> None:
        """Write ``last.pt``, and ``model.pt`` when the metric improved."""
        value = float(self.evaluator.state.metrics.get(self.metric, math.nan))
        improved = math.isnan(self.best_value) or value > self.best_value
        if improved:
            self.best_value, self.best_epoch = value, engine.state.epoch
        if idist.get_rank() != 0:
            return
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            **{name: part.state_dict() for name, part in self.states.items()},
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
        }
        if improved:
            write_atomically(self.best, lambda path: torch.save(state["network"], path))
        write_atomically(self.last, lambda path: torch.save(state, path))
