"""DeLong: interval and test of AUROCs that take images for independent."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.evaluation.statistics.discrimination import known
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]


def delong_covariance(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """AUROCs of M models on the same images and their covariance (Sun & Xu 2014).

    Images count as independent: with several images per patient the variance is too small.

    Args:
        scores: Shape (M, N), finite.
        labels: Shape (N,), 0 or 1, both present.

    Returns:
        AUROCs, shape (M,), and covariance, shape (M, M).
    """
    score = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    present = np.asarray(labels) == 1
    m, n = int(present.sum()), int((~present).sum())
    from scipy.stats import rankdata

    pooled = rankdata(score, axis=1)
    among_positives = rankdata(score[:, present], axis=1)
    among_negatives = rankdata(score[:, ~present], axis=1)
    positive_parts = (pooled[:, present] - among_positives) / n
    negative_parts = 1.0 - (pooled[:, ~present] - among_negatives) / m
    areas = positive_parts.mean(axis=1)
    covariance = _covariance(positive_parts) / m + _covariance(negative_parts) / n
    return areas, covariance


def delong(scores: ArrayLike, labels: ArrayLike) -> Interval:
    """AUROC with DeLong's 95 % interval over images, on the logit scale, so it stays in [0, 1].

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.

    Returns:
        The interval; bounds are NaN with fewer than two of a class, or at an area of 0 or 1.
    """
    score, label, _ = known(scores, labels)
    n_positive = int(label.sum())
    if n_positive < 1 or len(label) - n_positive < 1:
        return Interval(math.nan)
    areas, covariance = delong_covariance(score, label)
    area, variance = float(areas[0]), float(covariance[0, 0])
    if not (0.0 < area < 1.0) or not variance > 0.0:
        return Interval(area)
    z = NormalDist().inv_cdf(0.975)
    logit = math.log(area / (1.0 - area))
    half = z * math.sqrt(variance) / (area * (1.0 - area))
    low, high = (1.0 / (1.0 + math.exp(-(logit + side * half))) for side in (-1.0, 1.0))
    return Interval(area, low, high)


def delong_difference(
    scores_a: ArrayLike, scores_b: ArrayLike, labels: ArrayLike, *, level: float = 0.95
) -> Interval:
    """AUROC of a minus that of b on the same images, with DeLong's interval.

    Args:
        scores_a: Shape (N,), finite.
        scores_b: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.
        level: Coverage in (0, 1).

    Returns:
        The interval; NaN without a class, and without bounds with one image of a class.
    """
    a, label, _ = known(scores_a, labels)
    b, _, _ = known(scores_b, labels)
    fewest = min(label.sum(), len(label) - label.sum())
    if fewest < 1:
        return Interval(math.nan)
    areas, covariance = delong_covariance(np.stack([a, b]), label)
    difference = float(areas[0] - areas[1])
    if fewest < 2:
        return Interval(difference)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    half = NormalDist().inv_cdf((1.0 + level) / 2.0) * math.sqrt(max(variance, 0.0))
    return Interval(difference, difference - half, difference + half)


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


def _covariance(parts: Floats) -> Floats:
    if parts.shape[1] < 2:
        return np.full((len(parts), len(parts)), np.nan)
    return np.atleast_2d(np.cov(parts))
