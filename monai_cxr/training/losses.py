"""Losses: every named loss over findings in one module, weighted by class, unknowns masked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from monai_cxr.errors import SettingsError
from monai_cxr.training.weighting import BY_BATCH, class_weights, count_labels, label_log_odds

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

LOSSES = (*TERMS, "auc_margin")
"""Losses by name: those of :data:`TERMS`, and ``auc_margin`` (Yuan
et al., ICCV 2021), a loss of a whole batch."""


class FindingLoss(nn.Module):
    """A named loss, weighted per finding from the training labels.

    A label that is NaN adds nothing. The mean is over known labels.

    Args:
        labels: Training labels, shape (N, F), 0, 1 or NaN.
        weighting: One of :data:`monai_cxr.training.weighting.WEIGHTINGS`.
        name: One of :data:`LOSSES`.
        cap: Largest positive weight.
        label_smoothing: Targets become y (1 - s) + s / 2, or s / K of K exclusive classes
            (Szegedy et al., CVPR 2016).
        forget_rate: Share of the labels, positive and negative alike, whose loss is largest in a
            batch and does not count (small-loss selection, after Han et al., NeurIPS 2018).
        forget_epochs: Epochs over which that share grows from 0.
        logit_adjustment: So many times a finding's training log odds are added to its logit in the
            loss, so that the output learns what the film adds to them; 1 is the published rule
            for the long tail (Menon et al., ICLR 2021), here by finding. 0 is off.
        options: Of the loss, for example ``{"gamma": 2}``.

    Raises:
        SettingsError: If the loss, its options or the weighting are unknown.
    """

    offset: torch.Tensor
    positive_weight: torch.Tensor
    negative_weight: torch.Tensor
    prior_logits: torch.Tensor
    """Bias of the last layer that alone minimises this loss on the training labels, shape (F,)."""

    def __init__(
        self,
        labels: torch.Tensor,
        weighting: str = "pos_weight_sqrt",
        *,
        name: str = "bce",
        cap: float = 20.0,
        label_smoothing: float = 0.0,
        forget_rate: float = 0.0,
        forget_epochs: int = 5,
        logit_adjustment: float = 0.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.options = _checked(name, dict(options or {}))
        for what, share in (("label_smoothing", label_smoothing), ("forget_rate", forget_rate)):
            if not 0 <= share < 1:
                raise SettingsError(f"Expected {what} in [0, 1), but got {share}.")
        self.name, self.weighting, self.cap = name, weighting, cap
        self.label_smoothing = label_smoothing
        self.forget_rate, self.forget_epochs = forget_rate, forget_epochs
        self.epoch = 1
        if logit_adjustment and name not in TERMS:
            raise SettingsError(f"The loss '{name}' takes no logit_adjustment.")
        n_positive, n_negative = count_labels(labels)
        odds = label_log_odds(n_positive, n_negative)
        shares = odds.sigmoid().log() if name == "softmax" else odds
        self.register_buffer("offset", logit_adjustment * shares)
        positive, negative = class_weights(n_positive, n_negative, weighting, cap)
        self.register_buffer("positive_weight", positive)
        self.register_buffer("negative_weight", negative)
        # Half a film more on each side, so that a finding of one class has log odds too.
        n_positive, n_negative = n_positive + 0.5, n_negative + 0.5
        positive, negative = class_weights(n_positive, n_negative, weighting, cap)
        masses = positive * n_positive, negative * n_negative
        term = name if name in TERMS else "bce"
        best = constant_minimiser(term, *masses, self.options)
        self.register_buffer("prior_logits", best - self.offset)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins; the share of labels that is forgotten grows with it."""
        self.epoch = epoch

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean weighted loss.

        Args:
            logits: Shape (B, F).
            labels: Shape (B, F), 0, 1 or NaN.

        Returns:
            A scalar; 0 (with a gradient of 0) when no label is known.
        """
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        if self.name == "auc_margin":
            return auc_margin(logits, labels, **self.options)
        if self.offset.device != labels.device:  # once, not a copy in every step
            self.to(labels.device)
        logits = logits + self.offset.to(logits)
        known = ~torch.isnan(labels)
        targets = torch.where(known, labels, torch.zeros_like(labels))
        n_values = logits.shape[1] if self.name == "softmax" else 2
        smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / n_values
        weight_positive, weight_negative = self._weights(labels)
        if_positive, if_negative = TERMS[self.name](logits, **self.options)
        loss = weight_positive * smooth * if_positive + weight_negative * (1 - smooth) * if_negative
        if self.name == "softmax":
            return (loss * known).sum() / known.any(dim=1).sum().clamp_min(1)
        counted = known
        if self.forget_rate and logits.requires_grad:  # in training alone
            counted = known & ~self._forgotten(loss.detach(), targets, known)
        return (loss * counted).sum() / counted.sum().clamp_min(1)

    def _weights(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.weighting in BY_BATCH:
            return class_weights(*count_labels(labels), self.weighting, self.cap)
        return self.positive_weight, self.negative_weight

    def _forgotten(
        self, loss: torch.Tensor, targets: torch.Tensor, known: torch.Tensor
    ) -> torch.Tensor:
        """The labels of largest loss, among the positive and among the negative ones."""
        share = self.forget_rate * min(1.0, (self.epoch - 1) / max(self.forget_epochs, 1))
        forgotten = torch.zeros_like(known)
        places = torch.arange(loss.numel(), device=loss.device)
        for value in (0, 1):  # by rank, because picking cells would wait for the device
            cells = known & (targets == value)
            order = loss.masked_fill(~cells, -torch.inf).flatten().argsort(descending=True)
            rank = torch.empty_like(order).scatter_(0, order, places).view_as(loss)
            forgotten |= cells & (rank < (cells.sum().double() * share).floor())
        return forgotten


def _checked(name: str, options: dict[str, Any]) -> dict[str, Any]:
    if name not in LOSSES:
        raise SettingsError(f"Unknown loss '{name}'. Expected one of: {', '.join(LOSSES)}.")
    function = auc_margin if name == "auc_margin" else TERMS[name]
    known = [
        key for key, p in inspect.signature(function).parameters.items() if p.default != p.empty
    ]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise SettingsError(
            f"The loss '{name}' has no option '{unknown[0]}'. It has: {', '.join(known) or 'none'}."
        )
    return options


def constant_minimiser(
    name: str, positive_mass: torch.Tensor, negative_mass: torch.Tensor, options: Mapping[str, Any]
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


def auc_margin(logits: torch.Tensor, labels: torch.Tensor, margin: float = 1.0) -> torch.Tensor:
    """AUC margin loss, mean over the findings that have both classes in the batch.

    Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021, is a min-max over three
    further variables. Its inner problem is quadratic, and here it is solved in each batch: a and b
    are the class means and alpha the violated margin, which leaves the variances of both classes
    and a squared hinge on the difference of their means. MONAI's ``AUCMLoss(version="v2")`` at
    those values is the same number. It needs no optimiser of its own.

    Args:
        logits: Shape (B, F); the loss is of their sigmoid.
        labels: Shape (B, F), 0, 1 or NaN.
        margin: Wanted distance of the class means.

    Returns:
        A scalar; 0 (with a gradient of 0) when no finding has both classes.
    """
    scores = logits.sigmoid()
    positive, negative = (labels == 1).to(scores), (labels == 0).to(scores)
    n_positive, n_negative = (mask.sum(dim=0) for mask in (positive, negative))
    both = ((n_positive > 0) & (n_negative > 0)).to(scores)
    spread = torch.zeros_like(both)
    means = []
    for mask, n in ((positive, n_positive), (negative, n_negative)):
        mean = (scores * mask).sum(dim=0) / n.clamp_min(1)
        spread = spread + ((scores - mean) ** 2 * mask).sum(dim=0) / n.clamp_min(1)
        means.append(mean)
    hinge = (margin - means[0] + means[1]).clamp_min(0) ** 2
    return ((spread + hinge) * both).sum() / both.sum().clamp_min(1)
