"""Step: what stands around an optimiser's step: clipping, plateaus, precision, compiled code."""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.inferers import SimpleInferer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from monai_cxr.errors import SettingsError
from monai_cxr.training.metrics import metrics_of_epoch


def clip_gradients(optimizer: Optimizer, max_norm: float) -> Optimizer:
    """Clip the global norm of the gradients before each step of an optimiser.

    Args:
        optimizer: Whose steps; with accumulation, a step is one of several batches.
        max_norm: Largest norm; 0 clips nothing.

    Returns:
        The same optimiser.
    """
    if max_norm > 0:
        optimizer.register_step_pre_hook(lambda chosen, _args, _kwargs: _clip(chosen, max_norm))
    return optimizer


def _clip(optimizer: Any, max_norm: float) -> None:
    # A fused optimiser takes the loss scale off inside its step: its gradients still carry it.
    scale = getattr(optimizer, "grad_scale", None)
    limit = max_norm * (1.0 if scale is None else float(scale))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, limit)


def compiled(network: torch.nn.Module, *, wanted: bool) -> torch.nn.Module:
    """Compile a network in place with ``torch.compile``; its weights keep their names."""
    if wanted:
        network.compile()
    return network


class CpuAutocast(SimpleInferer):
    """Mixed precision on a CPU; MONAI's trainers and evaluators cast on CUDA alone.

    Args:
        wanted: Whether to cast at all.
        dtype: ``"bfloat16"``, which needs no scaling of the loss.

    Raises:
        SettingsError: If it is wanted in another type.
    """

    def __init__(self, *, wanted: bool, dtype: str = "bfloat16") -> None:
        super().__init__()
        if wanted and dtype != "bfloat16":
            raise SettingsError(f"On a CPU amp_dtype must be bfloat16, but got '{dtype}'.")
        self.wanted = wanted

    def __call__(
        self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Logits of a batch, float32 where they were cast."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.wanted):
            logits: torch.Tensor = super().__call__(inputs, network, *args, **kwargs)
        return logits.float() if self.wanted else logits


class StepSchedule:
    """Ignite handler: move a learning rate schedule on with each step of the optimiser.

    Args:
        scheduler: A schedule over steps.
        accumulation_steps: Batches a step; the last step of an epoch may have fewer.
    """

    def __init__(self, scheduler: LRScheduler, accumulation_steps: int = 1) -> None:
        self.scheduler = scheduler
        self.accumulation_steps = accumulation_steps

    def attach(self, engine: Engine) -> None:
        """Run after each batch."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Move on if the optimiser did."""
        length = engine.state.epoch_length
        done = (engine.state.iteration - 1) % length + 1
        if done % self.accumulation_steps == 0 or done == length:
            self.scheduler.step()


class PlateauSchedule:
    """Ignite handler: lower the learning rate when a metric of validation has stopped falling.

    Attach it after the validation handler.

    Args:
        scheduler: torch's ``ReduceLROnPlateau``.
        evaluator: The engine that computes the metric.
        metric: Its name.
    """

    def __init__(self, scheduler: ReduceLROnPlateau, evaluator: Engine, metric: str) -> None:
        self.scheduler = scheduler
        self.evaluator = evaluator
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        """Run when an epoch and its validation have ended."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Tell the scheduler the epoch's value."""
        value = float(metrics_of_epoch(self.evaluator, engine).get(self.metric, math.nan))
        if not math.isnan(value):
            self.scheduler.step(value)
