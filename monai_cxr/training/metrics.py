"""Metrics: AUROC per finding during training, indifferent to findings without positives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import EpochMetric
from sklearn.metrics import roc_auc_score

from monai_cxr.findings import FINDING_NAMES
from monai_cxr.training.distributed import gather_rows

Rows = Callable[[torch.Tensor, torch.Tensor], float]
"""A statistic of (logits, labels), each (N, F)."""


def metrics_of_epoch(evaluator: Engine, trainer: Engine) -> dict[str, Any]:
    """The metrics of the trainer's epoch; none where it was not validated.

    The evaluator itself keeps those of the last epoch that was.
    """
    is_validated = evaluator.state.epoch == trainer.state.epoch
    return evaluator.state.metrics if is_validated else {}


class OverFilms(EpochMetric):
    """A statistic over the films of all processes, the same in each of them.

    Ignite's own gathering needs as many films in each process.

    Args:
        statistic: What is computed.
        output_transform: Gives (logits, labels), each (B, F), from the engine's output.
        device: Where predictions are kept.
    """

    def __init__(
        self,
        statistic: Rows,
        output_transform: Callable[[Any], tuple[torch.Tensor, torch.Tensor]] = lambda x: x,
        device: torch.device | str = "cpu",
    ) -> None:
        self.statistic = statistic
        super().__init__(
            compute_fn=statistic,
            output_transform=output_transform,
            check_compute_fn=False,
            device=device,
        )

    def compute(self) -> float:
        """The statistic over all films."""
        if not self._predictions:
            raise NotComputableError("No film was validated.")
        logits, labels = (
            gather_rows(torch.cat([part.reshape(len(part), -1) for part in parts]))
            for parts in (self._predictions, self._targets)
        )
        return self.statistic(logits, labels)


class MultiLabelAUROC(OverFilms):
    """Macro AUROC over the findings that have both classes; per-finding values as details.

    MONAI's ``ROCAUC`` is NaN as soon as one of 14 findings has no positive film in the validation
    set, and the best checkpoint then stays that of epoch 1. Here such a finding is left out.

    Args:
        findings: Names in the order of the logits.
        output_transform: Gives (logits, labels), each (B, F), from the engine's output.
        device: Where predictions are kept.
    """

    def __init__(
        self,
        findings: Sequence[str] = FINDING_NAMES,
        output_transform: Callable[[Any], tuple[torch.Tensor, torch.Tensor]] = lambda x: x,
        device: torch.device | str = "cpu",
    ) -> None:
        self.findings = tuple(findings)
        self.details: dict[str, float] = {}
        super().__init__(self._macro, output_transform, device)

    def _macro(self, logits: torch.Tensor, labels: torch.Tensor) -> float:
        self.details = per_finding_auroc(logits, labels, self.findings)
        known = [value for value in self.details.values() if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    def completed(self, engine: Engine, name: str) -> None:
        """Put the macro value and one ``<name>_<finding>`` a finding into the engine's metrics."""
        super().completed(engine, name)
        engine.state.metric_details = {name: self.details}
        for finding, value in self.details.items():
            engine.state.metrics[f"{name}_{finding}"] = value


def per_finding_auroc(
    logits: torch.Tensor, labels: torch.Tensor, findings: Sequence[str]
) -> dict[str, float]:
    """AUROC a finding over known labels; NaN where only one class is known.

    Args:
        logits: Shape (N, F).
        labels: Shape (N, F), 0, 1 or NaN.
        findings: F names.
    """
    scores, truth = logits.float().cpu().numpy(), labels.float().cpu().numpy()
    result: dict[str, float] = {}
    for i, finding in enumerate(findings):
        known = ~np.isnan(truth[:, i]) & np.isfinite(scores[:, i])
        both = len(np.unique(truth[known, i])) == 2
        result[finding] = (
            float(roc_auc_score(truth[known, i], scores[known, i])) if both else float("nan")
        )
    return result


class TopOneAccuracy(OverFilms):
    """Share of films whose likeliest class is the true one, for exclusive classes.

    Args:
        output_transform: Gives (log odds, one-hot labels), each (B, K), from the engine's output.
        device: Where predictions are kept.
    """

    def __init__(
        self,
        output_transform: Callable[[Any], tuple[torch.Tensor, torch.Tensor]] = lambda x: x,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(_share_right, output_transform, device)


def _share_right(logits: torch.Tensor, labels: torch.Tensor) -> float:
    known = ~labels.isnan().any(dim=1)
    right = logits[known].argmax(dim=1) == labels[known].argmax(dim=1)
    return float(right.float().mean()) if len(right) else float("nan")
