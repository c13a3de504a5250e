"""Significance: p values of differences between two models, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.evaluation.statistics.discrimination import known
from monai_cxr.evaluation.statistics.intervals import delong_covariance

Floats = NDArray[np.float64]


def delong_p(scores_a: ArrayLike, scores_b: ArrayLike, labels: ArrayLike) -> float:
    """Two-sided p of DeLong's test for two AUROCs on the same images (DeLong 1988).

    Args:
        scores_a: Shape (N,), finite.
        scores_b: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.

    Returns:
        In [0, 1]; NaN with fewer than two of a class; 1 where the models rank alike.
    """
    a, label, _ = known(scores_a, labels)
    b, _, _ = known(scores_b, labels)
    if min(label.sum(), len(label) - label.sum()) < 2:
        return math.nan
    areas, covariance = delong_covariance(np.stack([a, b]), label)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    difference = float(areas[1] - areas[0])
    if variance <= 1e-18:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return 2.0 * NormalDist().cdf(-abs(difference) / math.sqrt(variance))


def bootstrap_p(estimate: float, replicates: ArrayLike) -> float:
    """Two-sided p that a difference is 0, from the standard error of its replicates.

    Args:
        estimate: Of the data.
        replicates: Shape (B,); NaN where a class was absent.

    Returns:
        In [0, 1]; NaN with fewer than 95 % of the replicates, 1 for no difference at all.
    """
    values = np.asarray(replicates, dtype=np.float64)
    valid = values[~np.isnan(values)]
    if math.isnan(estimate) or len(valid) < max(2.0, 0.95 * len(values)):
        return math.nan
    error = float(valid.std(ddof=1))
    if error <= 1e-12:
        return 1.0 if abs(estimate) < 1e-12 else 0.0
    return 2.0 * NormalDist().cdf(-abs(estimate) / error)


def holm(p_values: Sequence[float]) -> Floats:
    """Holm's step-down correction (Holm 1979); NaN stays NaN and is not counted.

    Args:
        p_values: F values in [0, 1] or NaN.

    Returns:
        Adjusted, float64, shape (F,), in [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(p, np.nan)
    order = [i for i in np.argsort(p, kind="stable") if not math.isnan(p[i])]
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, float(p[i]) * (len(order) - rank)))
        adjusted[i] = largest
    return adjusted
