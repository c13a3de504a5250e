"""Weighting: what a positive and a negative label count in the loss, by finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

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


def _batch_balanced(n_positive: torch.Tensor, n_negative: torch.Tensor, cap: float) -> Weights:
    n = (n_positive + n_negative).clamp_min(1)
    return (n / n_positive.clamp_min(1)).clamp(max=cap), (n / n_negative.clamp_min(1)).clamp(
        max=cap
    )


WEIGHTINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor, float], Weights]] = {
    "none": _none,
    "pos_weight": _pos_weight,
    "pos_weight_sqrt": _pos_weight_sqrt,
    "effective_number": _effective_number,
    "chexnet": _chexnet,
    "batch_balanced": _batch_balanced,
}
"""Weightings by name.

``none``: the sum that CheXNet's 14-finding model used (Rajpurkar 2017, section 5).
``pos_weight``: negatives / positives, capped (uncapped, Hernia's 493 is unstable).
``pos_weight_sqrt``: its square root.
``effective_number``: Cui et al., CVPR 2019, beta = 0.999.
``chexnet``: |N| / (|P| + |N|) and |P| / (|P| + |N|), CheXNet's pneumonia loss (section 2.1).
``batch_balanced``: (|P| + |N|) / |P| and (|P| + |N|) / |N|, counted in each batch (W-CEL, Wang et
al., CVPR 2017, equation 1), each capped.
"""

BY_BATCH = frozenset({"batch_balanced"})
"""Weightings that count the labels of a batch, not those of the training set."""


def count_labels(labels: torch.Tensor) -> Weights:
    """Positive and negative labels by finding, float32, shape (F,) each; NaN counts for neither."""
    n_positive, n_negative = ((labels == value).sum(dim=0).float() for value in (1, 0))
    return n_positive, n_negative


def label_log_odds(n_positive: torch.Tensor, n_negative: torch.Tensor) -> torch.Tensor:
    """Log odds of the labels by finding, shape (F,), half a film added to both sides."""
    return ((n_positive + 0.5) / (n_negative + 0.5)).log()


def class_weights(
    n_positive: torch.Tensor, n_negative: torch.Tensor, weighting: str, cap: float
) -> Weights:
    """Weights of the two terms.

    Args:
        n_positive: Positive labels by finding.
        n_negative: Negative labels by finding.
        weighting: One of :data:`WEIGHTINGS`.
        cap: Largest weight of the capped ones.

    Raises:
        SettingsError: If the weighting is unknown.
    """
    if weighting not in WEIGHTINGS:
        raise SettingsError(
            f"Unknown weighting '{weighting}'. Expected one of: {', '.join(WEIGHTINGS)}."
        )
    return WEIGHTINGS[weighting](n_positive, n_negative, cap)
