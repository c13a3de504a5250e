"""Pretext: the losses of pretraining, and how far its embeddings have collapsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.metrics import EmbeddingCollapseMetric
from torch import nn
from torch.nn import functional

from monai_cxr.errors import SettingsError
from monai_cxr.networks.contrastive import PRETEXTS
from monai_cxr.training.metrics import OverFilms


class PretextLoss(nn.Module):
    """What two views of a film should have in common.

    ``barlow_twins`` is the loss of Zbontar et al. (ICML 2021) by the width of the projector. It is
    equal to MONAI's, which waits for a GPU in each step. ``moco`` is the cross entropy of finding
    the own second view among a queue of others.

    Args:
        pretext: One of :data:`monai_cxr.networks.contrastive.PRETEXTS`.
        redundancy: Weight of the off-diagonal correlations of Barlow Twins.

    Raises:
        SettingsError: If the pretext is unknown.
    """

    def __init__(self, pretext: str, redundancy: float = 0.005) -> None:
        super().__init__()
        if pretext not in PRETEXTS:
            raise SettingsError(
                f"Expected pretext as one of {', '.join(PRETEXTS)}, but got '{pretext}'."
            )
        self.pretext = pretext
        self.redundancy = redundancy

    def forward(self, outputs: torch.Tensor, _labels: torch.Tensor) -> torch.Tensor:
        """A scalar.

        Args:
            outputs: Of :class:`~monai_cxr.networks.contrastive.TwoViews`, (2 B, W), or of
                :class:`~monai_cxr.networks.contrastive.MomentumQueue`, (B, 1 + queue).
            _labels: Nothing is labelled.
        """
        with torch.autocast(outputs.device.type, enabled=False):
            values = outputs.float()
            if self.pretext == "moco":
                own = torch.zeros(len(values), dtype=torch.long, device=values.device)
                return functional.cross_entropy(values, own)
            return _twins(values, self.redundancy) / values.shape[1]


def _twins(values: torch.Tensor, redundancy: float) -> torch.Tensor:
    """How far the correlations (W, W) of two views, (2 B, W), are from those of one view."""
    first, second = ((one - one.mean(0)) / (one.std(0) + 1e-6) for one in values.chunk(2))
    correlations = first.T @ second / len(first)
    own = correlations.diagonal()
    others = correlations.square().sum() - own.square().sum()
    loss: torch.Tensor = (own - 1).square().sum() + redundancy * others
    return loss


class Collapse(OverFilms):
    """MONAI's collapse of embeddings, by their effective rank: 0 none, 1 all films are one point.

    Args:
        output_transform: Gives (embeddings, labels), each of B rows, from the engine's output.
        device: Where embeddings are kept.
    """

    def __init__(
        self,
        output_transform: Callable[[Any], tuple[torch.Tensor, torch.Tensor]] = lambda x: x,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(_collapse, output_transform, device)


def _collapse(embeddings: torch.Tensor, _labels: torch.Tensor) -> float:
    if len(embeddings) < 2:
        return float("nan")
    metric = EmbeddingCollapseMetric(include_indicators=["effective_rank"])
    value = metric(embeddings.float())["effective_rank_score"]
    return float("nan") if value is None else float(value)
