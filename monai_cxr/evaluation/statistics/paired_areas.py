"""Paired areas: the difference of two models' AUROC over the same patients, without drawing.

For a bound on which a decision rests. The percentile bootstrap of this difference is too narrow on
the side that counts where positives are few and areas high: an area near 1 can fall further than it
can rise. Here each area has its interval on the logit scale, with the variance between patients,
and the bounds of the difference are recovered from both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.statistics.clusters import rarer_class, sum_of_squares
from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """AUROC of two models on the same images, or their means over findings.

    Attributes:
        estimates: float64, shape (2,).
        influence: float64, shape (2, P): what each patient adds to each area's error.
        worth: Effective number of patients of the rarer class.
    """

    estimates: Floats
    influence: Floats
    worth: float


def paired_areas(
    first: Floats, second: Floats, labels: Floats, patients: NDArray[np.intp], n_patients: int
) -> Areas:
    """Areas with each patient's influence (DeLong 1988, by patients: Obuchowski 1997).

    Args:
        first: Scores of one model, shape (N,), finite.
        second: Of the other.
        labels: Shape (N,), 0, 1 or NaN.
        patients: Shape (N,), codes in [0, n_patients).
        n_patients: P.

    Returns:
        The areas; NaN without one of the classes.
    """
    from scipy.stats import rankdata

    keep = ~np.isnan(labels)
    present, patient = labels[keep] == 1.0, patients[keep]
    n, m = int(present.sum()), int((~present).sum())
    worth = rarer_class(patients, labels).worth
    if not n or not m:
        return Areas(np.full(2, np.nan), np.zeros((2, n_patients)), 0.0)
    scores = np.stack([first[keep], second[keep]])
    pooled = rankdata(scores, axis=1)
    above = (pooled[:, present] - rankdata(scores[:, present], axis=1)) / m
    below = 1.0 - (pooled[:, ~present] - rankdata(scores[:, ~present], axis=1)) / n
    areas = above.mean(axis=1)
    influence = np.zeros((2, n_patients))
    for parts, rows in ((above, present), (below, ~present)):
        k = len(np.unique(patient[rows]))
        scale = math.sqrt(k / (k - 1)) / int(rows.sum()) if k > 1 else math.nan
        for model in (0, 1):
            residual = parts[model] - areas[model]
            influence[model] += scale * np.bincount(patient[rows], residual, n_patients)
    return Areas(areas, influence, worth)


def mean_areas(parts: Sequence[Areas]) -> Areas:
    """Mean over findings of the same patients; it is worth what its smallest part is worth.

    Args:
        parts: One or more.
    """
    return Areas(
        np.mean([part.estimates for part in parts], axis=0),
        np.mean([part.influence for part in parts], axis=0),
        min(part.worth for part in parts),
    )


def area_difference(areas: Areas) -> Interval:
    """Second minus first, with 95 % bounds from those of the areas (MOVER; Zou and Donner 2008).

    Each area's interval is Wald's on the logit scale with Student's t of the patients that it is
    worth; of an area of 0 or 1 it is Wilson's over them. The two are correlated as their influences
    are.

    Args:
        areas: Of :func:`paired_areas` or :func:`mean_areas`.

    Returns:
        The interval in [-1, 1]; bounds are NaN with fewer than 2 effective patients.
    """
    first, second = (float(value) for value in areas.estimates)
    difference = second - first
    if math.isnan(difference) or areas.worth < 2 or np.isnan(areas.influence).any():
        return Interval(difference)
    from scipy.special import stdtrit

    quantile = float(stdtrit(areas.worth - 1.0, 0.975))
    variances = [sum_of_squares(one) for one in areas.influence]
    covariance = float(np.add.reduce(areas.influence[0] * areas.influence[1]))
    spread = math.sqrt(variances[0] * variances[1])
    together = max(-1.0, min(1.0, covariance / spread)) if spread > 0.0 else 0.0
    one, two = (
        _area_interval(area, variance, areas.worth, quantile)
        for area, variance in zip((first, second), variances, strict=True)
    )

    def arm(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a + b * b - 2.0 * together * a * b))

    below = arm(second - two.low, one.high - first)
    above = arm(two.high - second, first - one.low)
    return Interval(difference, max(-1.0, difference - below), min(1.0, difference + above))


def _area_interval(area: float, variance: float, worth: float, quantile: float) -> Interval:
    if area in (0.0, 1.0) or variance <= 0.0:
        return wilson(area * worth, worth)
    logit = math.log(area / (1.0 - area))
    half = quantile * math.sqrt(variance) / (area * (1.0 - area))
    low, high = (1.0 / (1.0 + math.exp(-(logit + side * half))) for side in (-1.0, 1.0))
    return Interval(area, low, high)
