"""Paired means: the difference of two models' mean error over the same patients, without drawing.

For a bound on which a decision rests. Where a finding is rare, few films decide the difference of
two Brier scores: it is skewed, and neither Student's t nor percentiles of a bootstrap keep their
level on the heavy side. Here the bound is Student's with the skewness of the patients taken into
account (Johnson 1978) and with as many degrees of freedom as their fourth moment allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.statistics.clusters import rarer_class, sum_of_squares
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Mean errors of two models on the same images, or their means over findings.

    Attributes:
        estimates: float64, shape (2,); NaN without a labelled image.
        influence: float64, shape (P,): what each patient adds to the error of the difference.
        worth: Patients of the rarer class that they are worth.
    """

    estimates: Floats
    influence: Floats
    worth: float


def paired_brier(
    first: Floats, second: Floats, labels: Floats, patients: NDArray[np.intp], n_patients: int
) -> Means:
    """Brier scores of two models, with each patient's influence on their difference.

    Args:
        first: Probabilities of one model, shape (N,), in [0, 1].
        second: Of the other.
        labels: Shape (N,), 0, 1 or NaN.
        patients: Shape (N,), codes in [0, n_patients).
        n_patients: P.
    """
    keep = ~np.isnan(labels)
    if not keep.any():
        return Means(np.full(2, np.nan), np.zeros(n_patients), 0.0)
    truth, patient = labels[keep], patients[keep]
    errors = [(scores[keep] - truth) ** 2 for scores in (first, second)]
    scores = np.array([error.mean() for error in errors])
    residual = errors[1] - errors[0] - (scores[1] - scores[0])
    influence = np.bincount(patient, residual, n_patients) / len(truth)
    return Means(scores, influence, rarer_class(patients, labels).worth)


def mean_means(parts: Sequence[Means]) -> Means:
    """Mean over findings of the same patients; it is worth what its smallest part is worth.

    Args:
        parts: One or more.
    """
    return Means(
        np.mean([part.estimates for part in parts], axis=0),
        np.mean([part.influence for part in parts], axis=0),
        min(part.worth for part in parts),
    )


def mean_gap(means: Means) -> Interval:
    """Second minus first, with 95 % bounds.

    Args:
        means: Of :func:`paired_brier` or :func:`mean_means`.

    Returns:
        The interval; a bound is never nearer than Student's t puts it. Bounds are NaN with what
        fewer than 2 patients are worth.
    """
    from scipy.special import stdtrit

    gap = float(means.estimates[1] - means.estimates[0])
    if math.isnan(gap) or means.worth < 2:
        return Interval(gap)
    parts = means.influence[means.influence != 0.0]
    total = sum_of_squares(parts)
    if total <= 0.0:
        return Interval(gap, gap, gap)
    skew = float(np.add.reduce(parts**3)) / total**1.5
    fourth = float(np.add.reduce(parts**4)) / total**2
    # The variance of a variance is 2 / freedom; the fourth moment says what it is.
    excess = fourth - 1.0 / len(parts)
    freedom = min(means.worth - 1.0, 2.0 / excess) if excess > 0.0 else means.worth - 1.0
    quantile = float(stdtrit(max(1.0, freedom), 0.975))
    error = math.sqrt(total * means.worth / (means.worth - 1.0))
    shift = skew * (2.0 * quantile**2 + 1.0) / 6.0
    return Interval(
        gap,
        gap - error * (quantile - min(0.0, shift)),
        gap + error * (quantile + max(0.0, shift)),
    )
