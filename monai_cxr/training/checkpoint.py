"""Checkpoint: one file to resume from and one with the best weights, both written whole."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from monai_cxr.atomic import write_atomically
from monai_cxr.bundle.engines.torch_engine import read_weights
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.training.distributed import gather_rows, plain
from monai_cxr.training.metrics import metrics_of_epoch
from monai_cxr.training.run.run_lock import take_lock


class HasState(Protocol):
    """Anything with a state dictionary."""

    def state_dict(self) -> Mapping[str, Any]:
        """The state."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take a state."""


class HasEpoch(Protocol):
    """Anything whose randomness depends on the epoch."""

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
    best epoch alone, a plain state dictionary as MONAI bundles want it: those of the averaged
    network where one is given. A metric of NaN never becomes the best; where every value was NaN,
    the latest weights are kept. The state of torch's generators goes along, because dropout draws
    from them.

    Args:
        directory: Folder of ``last.pt``.
        best: Path of ``model.pt``.
        network: The network (its state is what ``model.pt`` holds).
        states: Further states to resume, by name: optimizer, scheduler.
        metric: Name of the evaluator's metric.
        evaluator: The engine that computes it.
        averaged: The network that is validated, where it is another (a moving average).
        mode: ``"max"`` if a larger metric is better, ``"min"`` if a smaller one is.
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
        averaged: torch.nn.Module | None = None,
        mode: str = "max",
        resume: bool = True,
    ) -> None:
        if mode not in ("max", "min"):
            raise SettingsError(f"Expected mode max or min, but got '{mode}'.")
        self.last = Path(directory) / "last.pt"
        self.best = Path(best)
        self.network = plain(network)
        self.averaged = self.network if averaged is None else plain(averaged)
        self.states: dict[str, HasState] = dict(states)
        if self.averaged is not self.network:
            self.states["averaged"] = self.averaged
        self.sign = 1 if mode == "max" else -1
        self.metric = metric
        self.evaluator = evaluator
        self.resume = resume
        self.best_value = math.nan
        self.best_epoch = 0
        self._unlock: Callable[[], Any] = lambda: None

    def attach(self, engine: Engine) -> None:
        """Load at the start, save after each epoch; attach after the validation handler."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, lambda _: self._unlock())

    def load(self, engine: Engine) -> None:
        """Continue from ``last.pt`` where it exists.

        Raises:
            SettingsError: If the file belongs to another network, or another process trains here.
            InvalidBundle: If it is damaged.
        """
        if idist.get_rank() == 0:
            self._lock()
        if not (self.resume and self.last.is_file()):
            return
        try:
            state = read_weights(self.last)
        except InvalidBundle as error:
            raise InvalidBundle(f"{error} Or remove it: training then begins anew.") from error
        try:
            self.network.load_state_dict(state["network"])
            for name, part in self._states(engine).items():
                _load_state(part, state[name])
        except (RuntimeError, KeyError) as error:
            raise SettingsError(
                "The run's last.pt holds another network than this config builds. Choose an empty "
                "folder with --out, or remove the run."
            ) from error
        for take, kept in zip(_TAKE_RANDOM, state.get("random", ()), strict=False):
            if idist.get_rank() < len(kept):  # of a run that had as many processes
                # A copy: set_rng_state reads a view from the start of what it is a view of.
                take(kept[idist.get_rank()].clone())
        self.best_value, self.best_epoch = state["best_value"], state["best_epoch"]
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["iteration"]
        engine.logger.info("Resumed after epoch %d.", state["epoch"])

    def save(self, engine: Engine) -> None:
        """Write ``last.pt``, and ``model.pt`` when the metric improved."""
        value = float(metrics_of_epoch(self.evaluator, engine).get(self.metric, math.nan))
        improved = math.isnan(self.best_value) or self.sign * (value - self.best_value) > 0
        if improved:
            self.best_value, self.best_epoch = value, engine.state.epoch
        random = [gather_rows(give()[None]) for give in _GIVE_RANDOM]
        if idist.get_rank() != 0:
            return
        state: dict[str, Any] = {
            "random": random,
            "network": self.network.state_dict(),
            **{name: part.state_dict() for name, part in self._states(engine).items()},
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
        }
        if improved:
            best = self.averaged.state_dict()
            write_atomically(self.best, lambda path: _write(best, path))
        write_atomically(self.last, lambda path: _write(state, path))

    def _states(self, engine: Engine) -> dict[str, HasState]:
        scaler = getattr(engine, "scaler", None)  # of a trainer in mixed precision
        return self.states if scaler is None else {**self.states, "scaler": scaler}

    def _lock(self) -> None:
        self._unlock = weakref.finalize(self, take_lock(self.last.parent))
        for path in (self.last, self.best):  # what a process that was killed could not remove
            for rest in path.parent.glob(f".{path.stem}-*{path.suffix}"):
                rest.unlink(missing_ok=True)


_ON_GPU = torch.cuda.is_available()
_GIVE_RANDOM: tuple[Callable[[], torch.Tensor], ...] = (
    torch.get_rng_state,
    *((torch.cuda.get_rng_state,) if _ON_GPU else ()),
)
_TAKE_RANDOM: tuple[Callable[[torch.Tensor], None], ...] = (
    torch.set_rng_state,
    *((torch.cuda.set_rng_state,) if _ON_GPU else ()),
)
"""Torch's own generators, from which dropout and stochastic depth draw."""


class EarlyStop:
    """Stop when the best epoch is some epochs ago; attach after the checkpoint.

    What it needs to know is in the checkpoint, so a run that was resumed stops where it would have.

    Args:
        checkpoint: Knows the best epoch.
        patience: Epochs without a better one; 0 never stops.
    """

    def __init__(self, checkpoint: ResumableCheckpoint, patience: int) -> None:
        self.checkpoint = checkpoint
        self.patience = patience

    def attach(self, engine: Engine) -> None:
        """Look at the start, because a stopped run may be started again, and after each epoch."""
        engine.add_event_handler(Events.STARTED | Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """End the run if its time has come."""
        waited = engine.state.epoch - self.checkpoint.best_epoch
        if self.patience and self.checkpoint.best_epoch and waited >= self.patience:
            engine.logger.info("No better epoch for %d epochs.", waited)
            engine.terminate()


def _write(state: Any, path: Path) -> None:
    # To a stream, because torch writes the name of a path into the file: the same weights are
    # the same bytes this way, and a full disk is an OSError.
    with path.open("wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:  # torch's end of its archive hides what the disk said
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _load_state(part: HasState, state: Mapping[str, Any]) -> None:
    """Take a state, but keep the length of a schedule: a run may be continued for longer."""
    own = part.state_dict()
    length = {key: own[key] for key in ("total_steps", "_schedule_phases") if key in own}
    part.load_state_dict({**state, **length})
