"""Averaging: a moving average of the weights, which is what is validated and kept."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler

from monai_cxr.errors import SettingsError
from monai_cxr.training.distributed import plain

_FIRST_MOMENTUM = 0.2


class WeightAverage:
    """Exponential moving average of weights and running statistics, by ignite's handler.

    Polyak and Juditsky, SIAM J. Control Optim. 1992; the decay grows over the first steps, so that
    the random initial weights are forgotten.

    Args:
        network: The network that is trained.
        decay: Decay of the average, for example 0.999; 0 switches it off.
        warm_up: Steps over which the decay grows from 0.8.
    """

    def __init__(self, network: torch.nn.Module, decay: float, warm_up: int = 200) -> None:
        if not 0 <= decay < 1:
            raise SettingsError(f"Expected ema_decay in [0, 1), but got {decay}.")
        self.network = plain(network)
        """The network to validate: the average, or the trained one where it is off."""
        self.decay, self.warm_up = decay, max(warm_up, 1)
        self._handler: EMAHandler | None = None
        if decay:
            self._handler = EMAHandler(network, momentum=1 - decay, handle_buffers="update")
            self.network = self._handler.ema_model

    def attach(self, engine: Engine) -> None:
        """Average after each iteration."""
        if self._handler is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._set_momentum)
            self._handler.attach(engine)

    def _set_momentum(self, engine: Engine) -> None:
        # A function of the iteration alone, so that a resumed run goes on; ignite's own warm-up
        # would begin again.
        share = min(1.0, (engine.state.iteration - 1) / self.warm_up)
        first = max(_FIRST_MOMENTUM, 1 - self.decay)
        engine.state.ema_momentum = first + share * (1 - self.decay - first)
