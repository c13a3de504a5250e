"""Shares: proportions of images with intervals that count patients (Wilson, by design effect)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.statistics.clusters import clusters_of, sum_of_squares
from monai_cxr.prediction import Interval


def wilson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion of independent trials (Wilson 1927).

    Args:
        successes: Count, at most n.
        n: Trials; need not be whole.
        level: Coverage in (0, 1).

    Returns:
        Interval in [0, 1]; NaN without trials.
    """
    if not n > 0:
        return Interval(math.nan)
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def effective_trials(hits: NDArray[np.bool_], patients: NDArray[np.intp]) -> float:
    """Effective number of independent trials behind a share of images (Rao and Scott 1992).

    The variance of the share between patients, by linearisation, against that of as many
    independent images, is the design effect; the images are divided by it. Patients understate
    their variance by (m - 1) / m, with m - 1 what the patients of the rarer outcome are worth. The
    design effect is at least 1 (Korn and Graubard 1998). A share of 0 or 1 shows no variance: there
    each patient is one trial.

    Args:
        hits: Shape (N,), the outcome of each image that counts.
        patients: Shape (N,), codes from 0.

    Returns:
        At most N, at least 1; 0 without images.
    """
    n = len(hits)
    if not n:
        return 0.0
    share = float(hits.mean())
    n_patients = int(np.count_nonzero(np.bincount(patients)))
    if share in (0.0, 1.0) or n_patients < 2:
        return float(n_patients)
    residual = np.bincount(patients, weights=hits - share).astype(np.float64, copy=False)
    rarer = min(clusters_of(patients[hits]).worth, clusters_of(patients[~hits]).worth)
    variance = sum_of_squares(residual) / n**2 * (rarer + 1.0) / rarer
    independent = share * (1.0 - share)
    return max(1.0, min(float(n), independent / variance if variance > 0.0 else float(n)))


def share_interval(hits: NDArray[np.bool_], patients: NDArray[np.intp]) -> Interval:
    """A share of images with Wilson's 95 % interval over its effective number of trials.

    Nothing is drawn, so no class can be lost, and a share of 0 or 1 is not taken for certain.

    Args:
        hits: Shape (N,), the outcome of each image that counts.
        patients: Shape (N,), codes from 0.

    Returns:
        Interval in [0, 1]; NaN without images.
    """
    if not len(hits):
        return Interval(math.nan)
    n = effective_trials(hits, patients)
    share = float(hits.mean())
    interval = wilson(share * n, n)
    return Interval(share, min(interval.low, share), max(interval.high, share))


def paired_share_difference(
    first: NDArray[np.bool_], second: NDArray[np.bool_], patients: NDArray[np.intp]
) -> Interval:
    """Difference of two shares of the same images, second minus first.

    It is what was gained minus what was lost. Each of these is a share with Wilson's interval, and
    the bounds are recovered from both (MOVER; Zou and Donner 2008) with the correlation of two
    cells of a multinomial. Where the two agree on every image the interval still has a width, which
    a bootstrap's would not.

    Args:
        first: Shape (N,), the outcome of each image by one rule.
        second: Shape (N,), by another.
        patients: Shape (N,), codes from 0.

    Returns:
        Interval in [-1, 1]; NaN without images.
    """
    gained = share_interval(~first & second, patients)
    lost = share_interval(first & ~second, patients)
    return gained_minus_lost(gained, lost)


def gained_minus_lost(gained: Interval, lost: Interval) -> Interval:
    """The difference of two cells of a multinomial, from the interval of each (MOVER).

    Args:
        gained: Share of images that the second rule alone calls positive.
        lost: Share that the first rule alone does.

    Returns:
        Interval in [-1, 1]; NaN where a share is.
    """
    p, q = gained.estimate, lost.estimate
    if math.isnan(p):
        return Interval(math.nan)
    rest = (1.0 - p) * (1.0 - q)
    together = -math.sqrt(p * q / rest) if rest > 0.0 else 0.0

    def arm(a: float, b: float) -> float:
        return math.sqrt(a * a + b * b - 2.0 * together * a * b)

    below = arm(p - gained.low, lost.high - q)
    above = arm(gained.high - p, q - lost.low)
    return Interval(p - q, max(-1.0, p - q - below), min(1.0, p - q + above))


def trials_of(share: Interval) -> float:
    """The trials behind a 95 % Wilson interval: the inverse of :func:`wilson`.

    Both bounds b satisfy (p - b)^2 = z^2 b (1 - b) / n.

    Args:
        share: Estimate and bounds, as a file holds them.

    Returns:
        n; NaN where the bounds are not known, or lie on the estimate.
    """
    z = NormalDist().inv_cdf(0.975)
    for bound in sorted((share.low, share.high), key=lambda b: -abs(b - share.estimate)):
        if 0.0 < bound < 1.0 and bound != share.estimate:
            return z * z * bound * (1.0 - bound) / (share.estimate - bound) ** 2
    return math.nan


def mean_of_shares(shares: Sequence[Interval]) -> Interval:
    """Mean of independent shares, its bounds recovered from theirs (MOVER; Zou and Donner 2008).

    Args:
        shares: K shares of different images, with intervals.

    Returns:
        The mean; NaN where one is.
    """
    estimates, low, high = np.array([(s.estimate, s.low, s.high) for s in shares]).T
    mean, k = float(estimates.mean()), len(shares)
    below = math.sqrt(float(((estimates - low) ** 2).sum())) / k
    above = math.sqrt(float(((high - estimates) ** 2).sum())) / k
    return Interval(mean, mean - below, mean + above)
