"""Loss terms: the loss of one label by name, as a function of its logit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

Term = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""(logits, **options) -> losses if the label were positive, and if it were negative."""


def _bce(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return functional.softplus(-z), functional.softplus(z)


def _focal(z: torch.Tensor, gamma: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    p = z.sigmoid()
    return (1 - p) ** gamma * functional.softplus(-z), p**gamma * functional.softplus(z)


def _asymmetric(
    z: torch.Tensor, gamma_positive: float = 1.0, gamma_negative: float = 4.0, clip: float = 0.05
) -> tuple[torch.Tensor, torch.Tensor]:
    p = z.sigmoid()
    shifted = (p - clip).clamp_min(0)
    positive = (1 - p) ** gamma_positive * functional.softplus(-z)
    # At clip = 0 this is softplus(z), but -log(1 - p) has no precision left for large z.
    rest = functional.softplus(z) if clip == 0 else -torch.log1p(-shifted)
    return positive, shifted**gamma_negative * rest


def _generalised(z: torch.Tensor, q: float = 0.7) -> tuple[torch.Tensor, torch.Tensor]:
    return (1 - torch.exp(q * functional.logsigmoid(z))) / q, (
        1 - torch.exp(q * functional.logsigmoid(-z))
    ) / q


def _symmetric(
    z: torch.Tensor, alpha: float = 0.5, beta: float = 1.0, log_zero: float = -4.0
) -> tuple[torch.Tensor, torch.Tensor]:
    p = z.sigmoid()
    return (
        alpha * functional.softplus(-z) - beta * log_zero * (1 - p),
        alpha * functional.softplus(z) - beta * log_zero * p,
    )


def _softmax(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return functional.softplus(-z), torch.zeros_like(z)


TERMS: Mapping[str, Term] = {
    "bce": _bce,
    "focal": _focal,
    "asymmetric": _asymmetric,
    "generalised_cross_entropy": _generalised,
    "symmetric_cross_entropy": _symmetric,
    "softmax": _softmax,
}
"""Losses of single labels by name, with their options.

``bce``: binary cross-entropy.
``focal``: Lin et al., ICCV 2017 (``gamma``).
``asymmetric``: Ridnik et al., ICCV 2021 (``gamma_positive``, ``gamma_negative``, ``clip``).
``generalised_cross_entropy``: Zhang and Sabuncu, NeurIPS 2018 (``q``: 0 is cross-entropy, 1 the
absolute error).
``symmetric_cross_entropy``: Wang et al., ICCV 2019 (``alpha``, ``beta``, ``log_zero``).
``softmax``: cross-entropy over exclusive classes, for outputs of
:class:`monai_cxr.networks.wrappers.OneVersusRest`, whose sigmoid is the softmax probability.
"""


def constant_minimiser(
    name: str,
    positive_mass: torch.Tensor,
    negative_mass: torch.Tensor,
    options: Mapping[str, Any],
) -> torch.Tensor:
    """The constant output that minimises a loss over labels of given weight.

    Args:
        name: One of :data:`TERMS`.
        positive_mass: Summed weight of the positive labels, shape (F,).
        negative_mass: Of the negative ones.
        options: Of the term.

    Returns:
        Shape (F,).
    """
    if name == "softmax":  # the scores of exclusive classes, before their softmax
        return (positive_mass / positive_mass.sum()).log()
    log_odds = (positive_mass / negative_mass).log()
    if name == "bce":
        return log_odds
    grid = torch.linspace(-12.0, 12.0, 4801, dtype=torch.float64)
    positive, negative = TERMS[name](grid, **options)
    total = positive_mass.double()[:, None] * positive + negative_mass.double()[:, None] * negative
    return grid[total.argmin(dim=1)].to(log_odds.dtype)
