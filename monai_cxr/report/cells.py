"""Page cells: numbers and intervals as the cells of a table show them."""

from __future__ import annotations

import math

from monai_cxr.prediction import Interval

_NONE = "\N{EN DASH}"


def interval_cell(interval: Interval, digits: int = 3) -> str:
    """An estimate with its interval in small print."""
    if math.isnan(interval.estimate):
        return '<span class="none">not estimable</span>'
    if math.isnan(interval.low):
        return f"{interval.estimate:.{digits}f} <small>(no interval)</small>"
    low, high = f"{interval.low:.{digits}f}", f"{interval.high:.{digits}f}"
    return f"{interval.estimate:.{digits}f} <small>({low}\N{EN DASH}{high})</small>"


def signed_cell(interval: Interval) -> str:
    """A difference with its interval; its sign is always there."""
    if math.isnan(interval.estimate):
        return _NONE
    if math.isnan(interval.low):
        return _plus(interval.estimate)
    low, high = _plus(interval.low), _plus(interval.high)
    return f"{_plus(interval.estimate)} <small>({low} to {high})</small>"


def _plus(value: float) -> str:
    """A signed number with a real minus sign, and no sign before 0.000."""
    text = f"{value:+.3f}"
    return text[1:] if float(text) == 0.0 else text.replace("-", "\N{MINUS SIGN}")


def value_cell(value: float, digits: int = 3) -> str:
    """A number, or a dash."""
    return _NONE if math.isnan(value) else f"{value:.{digits}f}"


def percent_cell(value: float) -> str:
    """A share as a percentage, or a dash."""
    return _NONE if math.isnan(value) else f"{100 * value:.1f} %"
