"""Losses: binary cross-entropy over findings, class-weighted by name, unknown labels masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional

from monai_cxr.errors import SettingsError

Weights = tuple[torch.Tensor, torch.Tensor]
"""Weights of the positive and of the negative term, each of shape (F,)."""


def _none(n_positive: torch.Tensor, n_negative: torch.Tensor, cap: float) -> Weights:
    return torch.ones_like(n_positive), torch.ones_like(n_negative)


def _pos_weight(n_positive: torch.Tensor, n_negative: torch.Tensor, cap: float) -> Weights:
    ratio = n_negative / n_positive.clamp_min(1)
    return ratio.clamp(max=cap), torch.ones_like(n_negative)


def _pos_weight_sqrt(n_positive: torch.Tensor, n_negative: torch.Tensor, cap: float) -> Weights:
    ratio = (n_negative / n_positive.clamp_min(1)).sqrt()
    return ratio.clamp(max=cap), torch.ones_like(n_negative)


def _effective_number(n_positive: torch.Tensor, n_negative: torch.Tensor, cap: float) -> Weights:
    beta = 0.999

    def effective(n: torch.Tensor) -> torch.Tensor:
        return (1 - beta ** n.clamp_min(1)) / (1 - beta)

    ratio = effective(n_negative) / effective(n_positive)
    return ratio.clamp(max=cap), torch.ones_like(n_negative)


def _chexnet(n_positive: torch.Tensor, n_negative: torch.Tensor, cap: float) -> Weights:
    n = (n_positive + n_negative).clamp_min(1)
    return n_negative / n, n_positive / n


WEIGHTINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor, float], Weights]] = {
    "none": _none,
    "pos_weight": _pos_weight,
    "pos_weight_sqrt": _pos_weight_sqrt,
    "effective_number": _effective_number,
    "chexnet": _chexnet,
}
"""Weightings by name.

``none``: the sum that CheXNet's 14-finding model used (Rajpurkar 2017, section 5).
``pos_weight``: negatives / positives, capped (uncapped, Hernia's 493 is unstable).
``pos_weight_sqrt``: its square root.
``effective_number``: Cui et al., CVPR 2019, beta = 0.999.
``chexnet``: |N| / (|P| + |N|) and |P| / (|P| + |N|), CheXNet's pneumonia loss (section 2.1).
"""


class ClassWeightedBCE(nn.Module):
    """Binary cross-entropy with logits, weighted per finding from the training labels.

    A label that is NaN adds nothing. The mean is over known labels.

    Args:
        labels: Training labels, shape (N, F), 0, 1 or NaN.
        weighting: One of :data:`WEIGHTINGS`.
        cap: Largest positive weight.
        label_smoothing: Targets become y (1 - s) + s / 2.

    Raises:
        SettingsError: If the weighting is unknown.
    """

    positive_weight: torch.Tensor
    negative_weight: torch.Tensor
    prior_logits: torch.Tensor
    """The constant logits that minimise this loss on the training labels, shape (F,)."""

    def __init__(
        self,
        labels: torch.Tensor,
        weighting: str = "pos_weight_sqrt",
        *,
        cap: float = 20.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if weighting not in WEIGHTINGS:
            raise SettingsError(
                f"Unknown weighting '{weighting}'. Expected one of: {', '.join(WEIGHTINGS)}."
            )
        n_positive, n_negative = ((labels == value).sum(dim=0).float() for value in (1, 0))
        positive, negative = WEIGHTINGS[weighting](n_positive, n_negative, cap)
        self.label_smoothing = label_smoothing
        self.register_buffer("positive_weight", positive)
        self.register_buffer("negative_weight", negative)
        # Half a film more on each side, so that a finding of one class has log odds too.
        n_positive, n_negative = n_positive + 0.5, n_negative + 0.5
        positive, negative = WEIGHTINGS[weighting](n_positive, n_negative, cap)
        odds = positive * n_positive / (negative * n_negative)
        self.register_buffer("prior_logits", odds.log())

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean weighted loss.

        Args:
            logits: Shape (B, F).
            labels: Shape (B, F), 0, 1 or NaN.

        Returns:
            A scalar; 0 (with a gradient of 0) when no label is known.
        """
        known = ~torch.isnan(labels)
        targets = torch.where(known, labels, torch.zeros_like(labels))
        targets = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        positive = self.positive_weight.to(logits.device) * targets
        negative = self.negative_weight.to(logits.device) * (1 - targets)
        loss = positive * functional.softplus(-logits) + negative * functional.softplus(logits)
        return (loss * known).sum() / known.sum().clamp_min(1)
