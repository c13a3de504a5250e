"""Failures: stop on NaN; say what ended a training, and which setting helps."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Iterator
from types import TracebackType

import torch
from ignite.engine import Engine, Events

from monai_cxr.errors import CXRError, SettingsError


def tell_in_words() -> None:
    """Let this process end with a sentence where the reason is one of this package's errors.

    MONAI's command would bury it between two tracebacks of its config parser, and ignite's engines
    would log it twice before. For the config's ``initialize``; ``MONAI_CXR_DEBUG=1`` shows the
    traceback all the same.
    """
    sys.excepthook = _in_words
    for name in ("SupervisedTrainer", "SupervisedEvaluator"):
        logging.getLogger(f"ignite.engine.engine.{name}").addFilter(_is_no_repetition)


def _is_no_repetition(record: logging.LogRecord) -> bool:
    return " run is terminating due to exception: " not in record.getMessage()


def _in_words(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    reason = next((cause for cause in causes(error) if isinstance(cause, CXRError)), None)
    if reason is None or os.environ.get("MONAI_CXR_DEBUG"):
        sys.__excepthook__(kind, error, traceback)
    else:
        print(f"monai-cxr: {reason}", file=sys.stderr)  # noqa: T201


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, the last first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


LOOK_EVERY = 50
"""Iterations after which the losses of a GPU are looked at; each look makes it wait once."""


class StopOnNaN:
    """Stop when the loss or a weight is not a number; the last good checkpoint stays.

    Attach it before the checkpoint: an epoch whose last step broke the weights is not kept. The
    losses of a GPU are summed there and read every :data:`LOOK_EVERY` iterations, because a step
    whose loss is read waits for it; the sum of finite numbers and one that is not is not finite.
    """

    def __init__(self) -> None:
        self._sum: torch.Tensor | None = None

    def attach(self, engine: Engine) -> None:
        """Check the loss of every iteration and the weights of every epoch."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_weights)

    def __call__(self, engine: Engine) -> None:
        """Raise on NaN or infinity.

        Raises:
            SettingsError: With the iteration and what to do.
        """
        loss = torch.as_tensor(engine.state.output["loss"]).detach()
        self._sum = loss if self._sum is None else self._sum + loss
        if loss.device.type == "cpu" or engine.state.iteration % LOOK_EVERY == 0:
            self._look(engine)

    def _look(self, engine: Engine) -> None:
        if self._sum is None:
            return
        loss, self._sum = float(self._sum), None
        if not math.isfinite(loss):
            raise _not_finite(engine, f"loss became {loss}")

    def check_weights(self, engine: Engine) -> None:
        """Raise if a weight is NaN or infinite, which the loss would show only in the next epoch.

        Raises:
            SettingsError: With the epoch and what to do.
        """
        network: torch.nn.Module | None = getattr(engine, "network", None)
        if network is not None and not all(bool(w.isfinite().all()) for w in network.parameters()):
            raise _not_finite(engine, "weights became infinite")


def _not_finite(engine: Engine, what: str) -> SettingsError:
    return SettingsError(
        f"The {what} at epoch {engine.state.epoch}, iteration {engine.state.iteration}. Lower "
        f"learning_rate, or set clip_norm=1; {_how_to_go_on(engine)}"
    )


def _how_to_go_on(engine: Engine) -> str:
    """With other settings; see :func:`monai_cxr.training.run.workflow.prepare_run`."""
    if engine.state.epoch > 1:
        return (
            "the last good epoch's weights are kept, and train --from this run starts at them in "
            "another --out."
        )
    return "no epoch was complete, so the same --out may be used."


class ExplainOutOfMemory:
    """Say which settings need less memory when the device has none left.

    Args:
        batch_size: Films a step.
        image_size: Side of the network input in pixels.
    """

    def __init__(self, batch_size: int, image_size: int) -> None:
        self.batch_size = batch_size
        self.image_size = image_size

    def attach(self, engine: Engine) -> None:
        """Look at what ends a run."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)

    def __call__(self, engine: Engine, error: BaseException) -> None:
        """Raise again, in words if memory is the reason.

        Raises:
            SettingsError: With the knobs.
        """
        if _is_out_of_memory(error):
            half = max(self.batch_size // 2, 1)
            raise SettingsError(
                f"The device has no memory left for {self.batch_size} films of {self.image_size} "
                f"px. Set batch_size={half} with accumulation_steps=2 (the same step), or "
                f"amp=true, or a smaller image_size; {_how_to_go_on(engine)}"
            ) from error
        raise error


def _is_out_of_memory(error: BaseException) -> bool:
    # The CPU's allocator raises a plain RuntimeError.
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in text
    )
