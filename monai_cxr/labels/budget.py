"""Budget: what the next labels buy, forecast by a learning curve, and where it cannot be told.

AUROC(n) = a - b / n^c, fitted by weighted least squares to AUROCs of nested subsets (the power law
of Cortes et al., NIPS 1993, with the form of Nechaev et al., arXiv 2510.11553). A forecast is only
given where the curve is known well enough to say more than "between no gain and everything".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.prediction import Interval
from monai_cxr.tables import require_columns

CURVE_COLUMNS = ("finding", "n", "draw", "auroc")
"""A learning curve as a table: AUROC on the same test films after training on n patients."""

Floats = NDArray[np.float64]
_FEWEST_SIZES = 3
_REPLICATES = 400
_WIDEST = 0.1
"""A forecast whose interval is wider says nothing that helps to decide."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What more labels are worth for one finding.

    Attributes:
        finding: Name of the finding.
        n: Largest number of labelled patients of the curve.
        auroc: AUROC there, as the curve has it.
        plateau: ``a``: what no number of labels would exceed, by this curve.
        gains: Gain in AUROC by number of further labels, each with a 95 % interval.
        reason: Why nothing is forecast; ``""`` where it is.
    """

    finding: str
    n: int
    auroc: float
    plateau: Interval
    gains: tuple[tuple[int, Interval], ...]
    reason: str = ""


def forecast(
    curve: pd.DataFrame, more: Sequence[int] = (100, 1000), *, seed: int = 0
) -> tuple[Forecast, ...]:
    """Forecast each finding of a learning curve.

    Args:
        curve: Rows of :data:`CURVE_COLUMNS`; several draws of a size, at least three sizes.
        more: Numbers of further labelled patients.
        seed: Seed of the bootstrap over draws.

    Raises:
        InvalidTable: If a column is missing or a value is out of its range.
    """
    require_columns(curve, CURVE_COLUMNS, what="learning curve")
    values = curve[["n", "auroc"]].to_numpy(np.float64)
    if not len(curve) or not ((values[:, 0] > 0) & (values[:, 1] >= 0) & (values[:, 1] <= 1)).all():
        raise InvalidTable(
            "Expected a learning curve of n above 0 and AUROCs in [0, 1].", reason="bad_curve"
        )
    return tuple(
        _forecast_one(str(name), part, more, np.random.default_rng(seed))
        for name, part in curve.groupby("finding", sort=False)
    )


def _forecast_one(
    name: str, part: pd.DataFrame, more: Sequence[int], generator: np.random.Generator
) -> Forecast:
    sizes = np.sort(part["n"].unique()).astype(np.float64)
    largest = float(sizes[-1])
    observed = float(part.loc[part["n"] == largest, "auroc"].mean())
    nothing = Forecast(name, int(largest), observed, Interval(math.nan), ())
    if len(sizes) < _FEWEST_SIZES:
        return _without(nothing, f"{len(sizes)} sizes; at least {_FEWEST_SIZES} are needed")
    groups = [part.loc[part["n"] == size, "auroc"].to_numpy(np.float64) for size in sizes]
    if min(map(len, groups)) < 2:
        return _without(nothing, "one draw of a size; at least two are needed")
    means = np.array([group.mean() for group in groups])
    if means[-1] - means[0] < 2 * _standard_error(groups):
        return _without(nothing, "the curve does not rise beyond its noise")
    weights = np.array([1 / max(group.var(ddof=1) / len(group), 1e-6) for group in groups])
    fitted = fit_curve(sizes, means, weights)
    draws = []
    for _ in range(_REPLICATES):
        drawn = np.array([_drawn_mean(group, generator) for group in groups])
        draws.append(fit_curve(sizes, drawn, weights))
    replicates = np.array(draws)
    gains = []
    for extra in more:
        gain = float(_curve(fitted, largest + extra) - _curve(fitted, largest))
        spread = _curve(replicates.T, largest + extra) - _curve(replicates.T, largest)
        gains.append((extra, _interval(gain, spread)))
    plateau = _interval(float(fitted[0]), replicates[:, 0])
    made = Forecast(name, int(largest), float(_curve(fitted, largest)), plateau, tuple(gains))
    widest = max(interval.high - interval.low for _, interval in gains) if gains else 0.0
    if widest > _WIDEST:
        return _without(made, f"the gain is uncertain by {widest:.2f}; draw more subsets")
    return made


def fit_curve(sizes: Floats, aurocs: Floats, weights: Floats) -> Floats:
    """Fit a - b / n^c.

    Args:
        sizes: Shape (K,), above 0.
        aurocs: Shape (K,), in [0, 1].
        weights: Shape (K,), inverse variances.

    Returns:
        (a, b, c), with a in [0, 1], b at least 0 and c in [0.05, 2].
    """
    best, least = np.array([aurocs[-1], 0.0, 0.5]), math.inf
    for power in np.linspace(0.05, 2.0, 79):
        x = -(sizes**-power)
        total = weights.sum()
        mean_x, mean_y = weights @ x / total, weights @ aurocs / total
        slope = weights @ ((x - mean_x) * (aurocs - mean_y)) / (weights @ (x - mean_x) ** 2)
        slope = max(float(slope), 0.0)
        level = float(np.clip(mean_y - slope * mean_x, 0.0, 1.0))
        loss = float(weights @ (aurocs - (level + slope * x)) ** 2)
        if loss < least - 1e-15:
            best, least = np.array([level, slope, power]), loss
    return best


def _curve(parameters: Floats, n: float) -> Floats:
    a, b, c = parameters
    value: Floats = a - b * n**-c
    return value


def _drawn_mean(group: Floats, generator: np.random.Generator) -> float:
    """Mean of a draw with replacement, spread as the few draws of a size deserve (Student's t)."""
    n = len(group)
    return float(group.mean() + group.std(ddof=1) / math.sqrt(n) * generator.standard_t(n - 1))


def _standard_error(groups: Sequence[Floats]) -> float:
    first, last = groups[0], groups[-1]
    return math.sqrt(first.var(ddof=1) / len(first) + last.var(ddof=1) / len(last))


def _interval(estimate: float, replicates: Floats) -> Interval:
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def _without(known: Forecast, reason: str) -> Forecast:
    return Forecast(known.finding, known.n, known.auroc, known.plateau, (), reason)
