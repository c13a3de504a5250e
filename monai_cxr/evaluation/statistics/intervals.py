"""Intervals: a statistic with its patient replicates, and the interval that they give.

Every interval that is drawn comes from :func:`patient_interval`, whatever the statistic: of one
finding, of a difference between models or groups, or of a mean over findings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.evaluation.statistics.clusters import Clusters, pooled
from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

MOST_EMPTY_REPLICATES = 0.05
"""Above this share of replicates without a class, no interval is given."""

FEWEST_REPLICATES = 20
"""With fewer replicates no interval is given: its ends would be single draws."""

FEW_PATIENTS = 6
"""With fewer effective patients, resampled intervals cover the truth in fewer than 93 %."""

_FLOOR_OF_BIAS = 1.0 / (math.sqrt(2.0) - 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """A statistic of the data and of its replicates.

    Attributes:
        estimate: Estimate of the data itself.
        replicates: float64, shape (B,); NaN where a replicate lacked a class.
        clusters: The patients that it rests on, see :func:`rarer_class`.
    """

    estimate: float
    replicates: Floats
    clusters: Clusters

    def minus(self, other: Resampled) -> Resampled:
        """The paired difference of two statistics on the same replicates."""
        shares = _shares_of_variance(np.stack([self.replicates, -other.replicates]))
        return Resampled(
            self.estimate - other.estimate,
            self.replicates - other.replicates,
            pooled((self.clusters, other.clusters), shares),
        )

    @property
    def drawn(self) -> Floats:
        """Replicates that have a value; empty where too many, or too few in all, have none."""
        values = self.replicates[~np.isnan(self.replicates)]
        least = max(FEWEST_REPLICATES, (1 - MOST_EMPTY_REPLICATES) * len(self.replicates))
        return values if len(values) >= least else np.empty(0)


def mean_of(parts: Sequence[Resampled], shares: ArrayLike | None = None) -> Resampled:
    """Mean of statistics on the same replicates, always over all of them.

    A replicate that lost a class of one part takes that part's value from the replicate that
    follows, so that no replicate is a mean over fewer parts. Where more than 5 % lost it, the part
    has no distribution, and the mean has none.

    Args:
        parts: One or more.
        shares: Weight of each part; equal by default. They are scaled to add up to 1.

    Returns:
        The mean, resting on each part's patients by the part's share of the variance.
    """
    if len(parts) == 1:
        return parts[0]
    weights = np.ones(len(parts)) if shares is None else np.asarray(shares, dtype=np.float64)
    weights = weights / weights.sum()
    filled = np.stack([_filled(part) for part in parts]) * weights[:, None]
    return Resampled(
        float(weights @ [part.estimate for part in parts]),
        filled.sum(axis=0),
        pooled([part.clusters for part in parts], _shares_of_variance(filled)),
    )


def patient_interval(statistic: Resampled, *, of_area: bool = False) -> Interval:
    """95 % percentile interval over patients, widened for few of them (Hesterberg 2015).

    Drawing n patients understates the variance by (n - 1) / n and takes the normal for Student's
    t. So the quantiles are taken further out: at Phi(t_{n-1} sqrt(n / (n - 1))).

    Args:
        statistic: Estimate, replicates and patients.
        of_area: Whether it lies in [0, 1] as an area does. No resampling can move an area of 0 or
            1, so its interval is then Wilson's over the patients: the variance of an area is at
            most that of so many independent trials (van Dantzig 1951).

    Returns:
        The interval; its bounds are NaN with fewer than 20 replicates or what 2 patients are
        worth, and where more than 5 % of the replicates lack a class, because what is left would
        be too narrow.
    """
    estimate, values, n = statistic.estimate, statistic.drawn, statistic.clusters.n_effective
    if math.isnan(estimate) or not len(values) or n < 2:
        return Interval(estimate)
    if of_area and estimate in (0.0, 1.0):
        return wilson(estimate * n, n)
    tail = _tail(0.025, n)
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Interval(estimate, float(low), float(high))


def mean_interval(parts: Sequence[Resampled], shares: ArrayLike | None = None) -> Interval:
    """95 % interval of a mean of areas, always over all of them.

    An area of 0 or 1, or one that too many replicates cannot give, has no replicates to go by. It
    brings Wilson's interval over its patients instead, which is too wide rather than too narrow
    (van Dantzig 1951); the parts are put together as independent ones (Zou and Donner 2008).

    Args:
        parts: At least one area, on the same replicates.
        shares: Weight of each; equal by default. They are scaled to add up to 1.

    Returns:
        The interval; of one area, its own.
    """
    weights = np.ones(len(parts)) if shares is None else np.asarray(shares, dtype=np.float64)
    weights = weights / weights.sum()
    mean = float(weights @ [part.estimate for part in parts])
    moved = np.array([bool(len(p.drawn)) and 0.0 < p.estimate < 1.0 for p in parts])
    if len(parts) == 1 or moved.all() or not moved.any():
        whole = parts[0] if len(parts) == 1 else mean_of(parts, weights)
        return patient_interval(whole, of_area=True)
    rest = mean_of([p for p, m in zip(parts, moved, strict=True) if m], weights[moved])
    pieces = [(float(weights[moved].sum()), patient_interval(rest, of_area=True))]
    for part, weight in zip(parts, weights, strict=True):
        if not (len(part.drawn) and 0.0 < part.estimate < 1.0):
            n = part.clusters.worth
            pieces.append((float(weight), wilson(part.estimate * n, n)))
    below = math.hypot(*(w * (piece.estimate - piece.low) for w, piece in pieces))
    above = math.hypot(*(w * (piece.high - piece.estimate) for w, piece in pieces))
    return Interval(mean, max(0.0, mean - below), min(1.0, mean + above))


def difference_interval(difference: Resampled, of: tuple[Interval, Interval]) -> Interval:
    """95 % interval of the difference of two areas, also where one of them is 0 or 1.

    No resampling moves such an area, so the bounds are then recovered from the two areas' own
    intervals (MOVER; Zou and Donner 2008).

    Args:
        difference: First minus second.
        of: Intervals of the first and the second area.
    """
    first, second = of
    if not {first.estimate, second.estimate} & {0.0, 1.0} or math.isnan(first.low + second.low):
        return patient_interval(difference)
    below = math.hypot(first.estimate - first.low, second.high - second.estimate)
    above = math.hypot(first.high - first.estimate, second.estimate - second.low)
    middle = difference.estimate
    return Interval(middle, max(-1.0, middle - below), min(1.0, middle + above))


def error_interval(statistic: Resampled) -> Interval:
    """95 % interval of a binned calibration error, freed of the resampling bias.

    Binned errors grow when data are resampled (their floor is noise), so plain percentiles would
    lie above the estimate. The replicates are moved by their own bias. The estimate itself is too
    large by the same noise: resampling a perfectly calibrated model adds (sqrt 2 - 1) of the floor,
    so the lower bound is let down by the floor that this bias tells of, to 0 at least.

    Args:
        statistic: The error; never negative.

    Returns:
        The interval around the estimate. Where the rarer class is worth fewer than
        :data:`FEW_PATIENTS` its bounds are NaN: the share of positives is then so uncertain that
        what is drawn from them holds the error of endless films in four of five data sets only.
    """
    values = statistic.drawn
    if not len(values) or statistic.clusters.n_effective < FEW_PATIENTS:
        return Interval(statistic.estimate)
    bias = float(values.mean()) - statistic.estimate
    moved = np.maximum(statistic.replicates - bias, 0.0)
    interval = patient_interval(Resampled(statistic.estimate, moved, statistic.clusters))
    floor = max(0.0, bias) * _FLOOR_OF_BIAS
    return Interval(interval.estimate, max(0.0, interval.low - floor), interval.high)


def mean_error_interval(parts: Sequence[Resampled]) -> Interval:
    """Interval of a mean of binned calibration errors, see :func:`error_interval`.

    Patients of several findings are not patients of one: the bounds are NaN where the findings are
    worth fewer than :data:`FEW_PATIENTS` on average. Weights would not do: a finding whose few
    positives were missed brings little variance.

    Args:
        parts: At least one error, on the same replicates.
    """
    whole = mean_of(parts)
    worth = float(np.mean([part.clusters.worth for part in parts]))
    return error_interval(whole) if worth >= FEW_PATIENTS else Interval(whole.estimate)


def interval_of_draws(estimate: float, draws: Floats) -> Interval:
    """The middle 95 % of draws around an estimate; none where under half of them are known."""
    known = draws[~np.isnan(draws)]
    if math.isnan(estimate) or len(known) < len(draws) // 2:
        return Interval(estimate)
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def _tail(tail: float, n: int) -> float:
    # Heavy, and served models have no use for it: imported where intervals are computed.
    from scipy.special import ndtr, stdtrit

    return float(ndtr(stdtrit(n - 1, tail) * math.sqrt(n / (n - 1))))


def _filled(part: Resampled) -> Floats:
    """Replicates without gaps, each gap filled from the next; all NaN where none can be used."""
    values = part.replicates
    missing = np.isnan(values)
    if not len(part.drawn):
        return np.full_like(values, np.nan)
    there = np.flatnonzero(~missing)
    following = np.searchsorted(there, np.arange(len(values))) % len(there)
    filled: Floats = values[there[following]]
    return filled


def _shares_of_variance(parts: Floats) -> Floats:
    """Share of the variance of the sum that each part, shape (M, B), brings; none is negative."""
    there = parts[:, ~np.isnan(parts).any(axis=0)]
    if there.shape[1] < 2:
        return np.full(len(parts), 1.0 / len(parts))
    centred = there - there.mean(axis=1, keepdims=True)
    brought = np.maximum(centred @ centred.sum(axis=0), 0.0)
    total = float(brought.sum())
    shares: Floats = brought / total if total > 0.0 else np.full(len(parts), 1.0 / len(parts))
    return shares
