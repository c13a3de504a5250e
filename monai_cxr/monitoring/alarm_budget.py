"""Alarm budget: thresholds so that false alarms stay within what readers can bear.

"At most two a shift" is a number of false alarms an hour at this site's volume. The threshold of
each finding is the lowest whose expected false alarms fit its share of the budget; what that costs
in sensitivity is said beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BudgetedThreshold:
    """A threshold that keeps a budget.

    Attributes:
        finding: Name of the finding.
        threshold: Flag at or above it; above 1 where the budget allows no flag at all.
        false_alarms: Expected number a shift, with its 95 % interval.
        sensitivity: Share of positive films still flagged, with its 95 % interval.
        n: Labelled films.
        n_positive: Of these, positive.
    """

    finding: str
    threshold: float
    false_alarms: Interval
    sensitivity: Interval
    n: int
    n_positive: int


def thresholds_within(
    probabilities: Mapping[str, ArrayLike],
    labels: Mapping[str, ArrayLike],
    *,
    budget: float,
    films_a_shift: float,
    weights: Mapping[str, float] | None = None,
) -> tuple[BudgetedThreshold, ...]:
    """Choose thresholds that together keep a budget of false alarms.

    Args:
        probabilities: Shape (N,) by finding, calibrated.
        labels: Shape (N,) by finding: 0, 1 or NaN; films at this site's prevalence.
        budget: False alarms a shift, over all findings together, above 0.
        films_a_shift: Films that are read in a shift, above 0.
        weights: Shares of the budget by finding; equal ones when None.

    Raises:
        SettingsError: If the budget or the volume is not above 0.
    """
    if not (budget > 0 and films_a_shift > 0):
        raise SettingsError(
            f"Expected a budget and a number of films above 0, but got {budget:g} and "
            f"{films_a_shift:g}."
        )
    names = list(probabilities)
    shares = {name: (weights or {}).get(name, 1.0) for name in names}
    total = sum(shares.values())
    return tuple(
        _one(
            name,
            np.asarray(probabilities[name], dtype=np.float64),
            np.asarray(labels[name], dtype=np.float64),
            budget * shares[name] / total,
            films_a_shift,
        )
        for name in names
    )


def _one(name: str, p: Floats, y: Floats, budget: float, films: float) -> BudgetedThreshold:
    known = ~(np.isnan(p) | np.isnan(y))
    p, y = p[known], y[known]
    n, n_positive = len(p), int(y.sum())
    if not n:
        return BudgetedThreshold(name, math.inf, Interval(math.nan), Interval(math.nan), 0, 0)
    candidates = np.unique(p)[::-1]
    negatives = np.sort(p[y == 0])
    false = (len(negatives) - np.searchsorted(negatives, candidates, side="left")) / n * films
    fits = np.flatnonzero(false <= budget)
    threshold = float(candidates[fits[-1]]) if len(fits) else math.nextafter(1.0, 2.0)
    flagged = p >= threshold
    share = wilson(float((flagged & (y == 0)).sum()), n)
    alarms = Interval(share.estimate * films, share.low * films, share.high * films)
    return BudgetedThreshold(
        name, threshold, alarms, wilson(float(y[flagged].sum()), n_positive), n, n_positive
    )


def kept(expected: float, observed: int, shifts: int) -> tuple[float, bool]:
    """Whether what happened fits the budget.

    Args:
        expected: False alarms a shift that were expected.
        observed: False alarms that readers found.
        shifts: In how many shifts.

    Returns:
        Observed a shift, and whether it is no more than a Poisson count of that mean would be in
        97.5 of 100 times.
    """
    from scipy.stats import poisson

    if shifts < 1:
        return math.nan, True
    return observed / shifts, observed <= float(poisson.ppf(0.975, expected * shifts))


def expected_by(
    flags: Sequence[bool], labels: ArrayLike, groups: Sequence[str], films: float
) -> dict[str, float]:
    """Expected false alarms by group (hour, maker, view), at each group's own volume.

    Args:
        flags: Shape (N,).
        labels: Shape (N,): 0, 1 or NaN, which is left out.
        groups: Shape (N,): a name a film.
        films: Films of all groups together in the time that is asked for: a shift, or a day.
    """
    y = np.asarray(labels, dtype=np.float64)
    f = np.asarray(flags, dtype=bool)
    names = np.asarray(groups, dtype=object).astype(str)
    n = int((~np.isnan(y)).sum())
    return {
        str(name): float((f & (y == 0) & (names == name)).sum()) / n * films if n else math.nan
        for name in np.unique(names)
    }
