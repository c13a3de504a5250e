"""Chart content: a chart as plain values, for JSON, for the file of a period and for pages."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from monai_cxr.monitoring.charts import Baseline, Chart


def chart_content(one: Chart, since: date | None = None) -> dict[str, Any]:
    """A chart as JSON, with its points from a day on.

    Args:
        one: The chart.
        since: First day of the points; None for all since the baseline or the last reset.

    Returns:
        Name, what is missing for a baseline, limits, baseline and points; days in ISO 8601.
    """
    points = [point for point in one.points if since is None or point.day >= since]
    return {
        "name": one.name,
        "missing": one.missing,
        "cusum_limit": one.cusum_limit,
        "ewma_limit": one.ewma_limit,
        "baseline": None if one.baseline is None else _baseline(one.baseline),
        "points": [
            {
                "day": point.day.isoformat(),
                "n": point.n,
                "value": point.value,
                "up": point.up,
                "down": point.down,
                "ewma": point.ewma,
                "alarm": point.alarm,
            }
            for point in points
        ],
    }


def _baseline(base: Baseline) -> dict[str, Any]:
    return {
        "first_day": base.first.isoformat(),
        "last_day": base.last.isoformat(),
        "n_days": base.n_days,
        "n_films": base.n_films,
        "levels": base.levels,
        "mean": sum(base.levels) / len(base.levels),
        "standard_error": math.hypot(
            base.film_deviation / math.sqrt(base.n_films),
            base.day_deviation / math.sqrt(base.n_days),
        ),
    }
