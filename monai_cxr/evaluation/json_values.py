"""JSON values: numbers and intervals as JSON holds them; what is not known is null, never NaN."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from monai_cxr.prediction import Interval


def number(value: float) -> float | None:
    """The number, or None if it is not finite."""
    return float(value) if math.isfinite(value) else None


def numbers(values: Iterable[float], digits: int = 6) -> list[float | None]:
    """Numbers of a curve, rounded."""
    return [round(float(value), digits) if math.isfinite(value) else None for value in values]


def interval_to_json(interval: Interval) -> dict[str, float | None]:
    """``{estimate, low, high}`` with null where there is no number."""
    return {
        "estimate": number(interval.estimate),
        "low": number(interval.low),
        "high": number(interval.high),
    }


def interval_from_json(value: Mapping[str, float | None]) -> Interval:
    """The inverse of :func:`interval_to_json`."""
    parts = (value[name] for name in ("estimate", "low", "high"))
    return Interval(*(math.nan if part is None else float(part) for part in parts))
