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
) -> Floats:
    """Coefficients that maximise the likelihood of ``targets``.

    Args:
        features: Shape (N, D), without a column of ones; D may be 0.
        targets: Shape (N,), in [0, 1].
        offset: Shape (N,), added to the linear term with coefficient 1.
        weights: Shape (N,), non-negative.

    Returns:
        float64, shape (1 + D,): intercept, then slopes. Where the classes are separable the steps
        end at a finite, steep solution.
    """
    design = np.column_stack([np.ones(len(targets)), features])
    start = np.zeros(len(targets)) if offset is None else offset
    weight = np.ones(len(targets)) if weights is None else weights
    beta = np.zeros(design.shape[1])
    loss = _loss(start, targets, weight)
    for _ in range(STEPS):
        p = 0.5 * (1.0 + np.tanh(0.5 * (start + design @ beta)))
        gradient = design.T @ (weight * (targets - p))
        curvature = (design * (weight * p * (1.0 - p))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        step *= min(1.0, LARGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        beta, loss, moved = _descend(design, start, targets, weight, (beta, step, loss))
        if moved <= TOLERANCE * (1.0 + float(np.abs(beta).max())):
            break
    return beta


def _descend(
    design: Floats,
    start: Floats,
    targets: Floats,
    weight: Floats,
    state: tuple[Floats, Floats, float],
) -> tuple[Floats, float, float]:
    """Halve Newton's step until the loss does not grow."""
    beta, step, loss = state
    for _ in range(30):
        candidate = beta + step
        new_loss = _loss(start + design @ candidate, targets, weight)
        if new_loss <= loss + 1e-12 * abs(loss):
            return candidate, new_loss, float(np.abs(step).max())
        step = step / 2.0
    return beta, loss, 0.0


def _loss(linear: Floats, targets: Floats, weight: Floats) -> float:
    return float(weight @ (np.logaddexp(0.0, linear) - targets * linear))
