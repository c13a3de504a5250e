"""Run length: how long a chart runs before it alarms, by Markov chain, and the limits that follow.

A one-sided CUSUM adds up what exceeds an allowance (Page 1954); an EWMA remembers with a fading
weight (Roberts 1959). Both are Markov chains on a discretised state, whose expected time to alarm
is a linear system (Brook and Evans 1972; Lucas and Saccucci 1990).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

ALLOWANCE = 0.5
"""Half of the shift, in standard deviations of a day, that a CUSUM is made to find (1)."""

SMOOTHING = 0.2
"""Weight of today in an EWMA."""

_STATES = 80
_EWMA_STATES = 81
_NODES = 7


def cusum_run_length(limit: float, shift: float = 0.0, allowance: float = ALLOWANCE) -> float:
    """Expected number of days until a one-sided CUSUM alarms.

    Args:
        limit: h, above 0, in standard deviations of a day.
        shift: True shift of the daily values, in standard deviations, in the chart's direction.
        allowance: k.

    Returns:
        Average run length from a start at 0, at least 1.
    """
    width = 2 * limit / (2 * _STATES - 1)
    places = width * np.arange(_STATES)
    edges = np.concatenate([[-np.inf], places + width / 2])
    # From each state the next value is state + z - k; below the first edge it is held at 0.
    steps = ndtr(edges[None, 1:] - places[:, None] + allowance - shift) - ndtr(
        edges[None, :-1] - places[:, None] + allowance - shift
    )
    lengths = np.linalg.solve(np.eye(_STATES) - steps, np.ones(_STATES))
    return float(lengths[0])


def ewma_run_length(limit: float, shift: float = 0.0, smoothing: float = SMOOTHING) -> float:
    """Expected number of days until a one-sided EWMA (held at 0 from below) alarms.

    Args:
        limit: L, in standard deviations of the EWMA itself, above 0.
        shift: As for :func:`cusum_run_length`.
        smoothing: Weight of today, in (0, 1].
    """
    bound = limit * math.sqrt(smoothing / (2 - smoothing))
    width = 2 * bound / (2 * _EWMA_STATES - 1)
    places = width * np.arange(_EWMA_STATES)
    edges = np.concatenate([[-np.inf], places + width / 2])
    scaled = (edges[None, :] - (1 - smoothing) * places[:, None]) / smoothing - shift
    steps = ndtr(scaled[:, 1:]) - ndtr(scaled[:, :-1])
    lengths = np.linalg.solve(np.eye(_EWMA_STATES) - steps, np.ones(_EWMA_STATES))
    return float(lengths[0])


@cache
def cusum_limit(days: float, baseline_days: int = 0, allowance: float = ALLOWANCE) -> float:
    """The limit at which a CUSUM that stands still alarms once in so many days on average.

    Args:
        days: Wanted mean time between false alarms.
        baseline_days: Days that the baseline was learnt from; its error shifts a chart that stands
            still. 0 for a baseline without error.
        allowance: k.
    """
    return _solved(partial(cusum_run_length, allowance=allowance), days, baseline_days, 30.0)


@cache
def ewma_limit(days: float, baseline_days: int = 0, smoothing: float = SMOOTHING) -> float:
    """Limit of an EWMA for a stated time between false alarms."""
    return _solved(partial(ewma_run_length, smoothing=smoothing), days, baseline_days, 8.0)


def limits_for(
    n_charts: int, days_between_alarms: float, baseline_days: int = 0
) -> tuple[float, float]:
    """Limits of all charts together.

    Args:
        n_charts: One-sided charts that run side by side, at least 1; each has a CUSUM and an EWMA.
        days_between_alarms: Wanted mean time between false alarms of any of them.
        baseline_days: See :func:`cusum_limit`.

    Returns:
        (CUSUM limit, EWMA limit). False alarms of charts that stand still come at rates that add
        up; both kinds of a chart count as two, which is safe, because they alarm together.
    """
    each = days_between_alarms * 2 * n_charts
    return cusum_limit(each, baseline_days), ewma_limit(each, baseline_days)


def expected_run_length(
    length_at: Callable[[float, float], float], limit: float, baseline_days: int
) -> float:
    """Run length of a chart that stands still beside a baseline with an error.

    The error of a mean of m days is normal with a variance of 1 / m; the rates of false alarms are
    averaged over it by Gauss-Hermite quadrature.

    Args:
        length_at: Run length by limit and shift.
        limit: The limit.
        baseline_days: m; 0 for no error.
    """
    if not baseline_days:
        return length_at(limit, 0.0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    shifts = nodes / math.sqrt(baseline_days)
    rates = [1.0 / length_at(limit, float(shift)) for shift in shifts]
    return float(weights.sum() / (weights @ np.array(rates)))


def _solved(
    length_at: Callable[[float, float], float], wanted: float, baseline_days: int, high: float
) -> float:
    """Bisection on a function that grows."""
    low = 0.1
    for _ in range(16):
        middle = (low + high) / 2
        is_short = expected_run_length(length_at, middle, baseline_days) < wanted
        low, high = (middle, high) if is_short else (low, middle)
    return (low + high) / 2
