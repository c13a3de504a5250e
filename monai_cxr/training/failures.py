"""Failures: stop on a loss that is not a number; say which knob helps when memory is full."""

from __future__ import annotations

import math

import torch
from ignite.engine import Engine, Events

from monai_cxr.errors import SettingsError


class StopOnNaN:
    """Stop when the loss is not a number; the last good checkpoint stays."""

    def attach(self, engine: Engine) -> None:
        """Check every iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Raise on NaN or infinity.

        Raises:
            SettingsError: With the iteration and what to do.
        """
        loss = float(torch.as_tensor(engine.state.output["loss"]).detach())
        if not math.isfinite(loss):
            raise SettingsError(
                f"The loss became {loss} at epoch {engine.state.epoch}, iteration "
                f"{engine.state.iteration}. Lower learning_rate; the last good epoch's weights are "
                "kept."
            )


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
                "amp=true, or a smaller image_size."
            ) from error
        raise error


def _is_out_of_memory(error: BaseException) -> bool:
    # The CPU's allocator raises a plain RuntimeError.
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in text
    )
