"""Logistic regression: maximum likelihood by Newton's method, for calibrators and their checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS = 60
TOLERANCE = 1e-12
LARGEST_STEP = 5.0


def fit_logistic(
    features: Floats,
    targets: Floats,
    *,
    offset: Floats | None = None,
    weights: Floats | None = None,
    start: tuple[float, ...] | None = None,
) -> Floats:
    """Coefficients that maximise the likelihood of ``targets``.

    Args:
        features: Shape (N, D), without a column of ones; D may be 0.
        targets: Shape (N,), in [0, 1].
        offset: Shape (N,), added to the linear term with coefficient 1.
        weights: Shape (N,), non-negative.
        start: 1 + D coefficients to begin from; a good guess saves time, no guess changes the end.

    Returns:
        float64, shape (1 + D,): intercept, then slopes. Where the classes are separable the steps
        end at a finite, steep solution.
    """
    design = np.column_stack([np.ones(len(targets)), features])
    weight = np.ones(len(targets)) if weights is None else weights
    beta = np.zeros(design.shape[1]) if start is None else np.asarray(start, dtype=np.float64)
    linear = design @ beta + (0.0 if offset is None else offset)
    for _ in range(STEPS):
        p = 0.5 * (1.0 + np.tanh(0.5 * linear))
        gradient = design.T @ (weight * (targets - p))
        curvature = (design * (weight * p * (1.0 - p))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        step *= min(1.0, LARGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        share = _safe_share(linear, design @ step, targets, weight)
        linear, beta = linear + design @ (share * step), beta + share * step
        if share * float(np.abs(step).max()) <= TOLERANCE * (1.0 + float(np.abs(beta).max())):
            break
    return beta


def _safe_share(linear: Floats, change: Floats, targets: Floats, weight: Floats) -> float:
    """Share of Newton's step that lowers the loss; small steps are safe as they are."""
    if float(np.abs(change).max(initial=0.0)) < 0.5:
        return 1.0
    loss = _loss(linear, targets, weight)
    for halvings in range(30):
        share = 0.5**halvings
        if _loss(linear + share * change, targets, weight) <= loss:
            return share
    return 0.0


def _loss(linear: Floats, targets: Floats, weight: Floats) -> float:
    return float(weight @ (np.logaddexp(0.0, linear) - targets * linear))
