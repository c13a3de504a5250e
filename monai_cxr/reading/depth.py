"""Depth: how many bits the values of a deep cell fill, where nothing says so.

Films of detectors have 9 to 15 bits, and are saved in cells of 16. The largest value does not tell:
a letter or a frame that is drawn in has the cell's, and one odd pixel lies above. So the depth is
the smallest that holds all values but a few strays, or but what is drawn at the top of the cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ASSUMED, UNFILLED = "depth_assumed", "range_unfilled"
"""Flags: the depth is a conclusion from the values; the film fills less than half of its range."""

_DEPTHS = (8, 9, 10, 11, 12, 13, 14, 15)
_STRAY, _MARK, _AT_THE_TOP = 5e-4, 0.03, 0.6
_FRAME, _FRAME_AT_THE_TOP = 0.6, 0.99
_TOP = 0.9
_HALF, _PERCENTILE = 0.5, 99.5


def depth_of(
    sample: NDArray[np.generic], largest: int, told_bits: int | None = None
) -> tuple[int, tuple[str, ...]]:
    """Bits that the values of a picture fill.

    Args:
        sample: Some of its values, shape (rows, columns): whole numbers from 0 to 65535.
        largest: Of all values.
        told_bits: What the file says; a writer then scales values to the whole cell, or does not.

    Returns:
        8, 10, 12, 14, 15 or 16 (or what the file says), and flags.
    """
    if told_bits is not None:
        bits = told_bits if largest < 2**told_bits else 16
        return bits, unfilled(sample, 2.0**bits - 1.0)
    bits = next((depth for depth in _DEPTHS if _holds(depth, sample, largest)), 16)
    flags = () if bits == 16 else (ASSUMED,)
    return bits, (*flags, *unfilled(sample, 2.0**bits - 1.0))


def unfilled(sample: NDArray[np.generic], maximum: float) -> tuple[str, ...]:
    """The flag of a film whose 99.5th percentile lies below half of the range it is shown in.

    What lies at the very top, a drawn mark or frame, is not counted where the rest is dark.
    """
    values = sample.astype(np.float32)
    below = values[values < _TOP * maximum]
    some = below if below.size >= (1.0 - _FRAME) * values.size else values
    is_low = float(np.percentile(some, _PERCENTILE)) < _HALF * maximum
    return (UNFILLED,) if is_low else ()


def _holds(depth: int, sample: NDArray[np.generic], largest: int) -> bool:
    if largest < 2**depth:
        return True
    above = sample[sample >= 2**depth]
    share = above.size / sample.size
    if share <= _STRAY:
        return True
    at_the_top = float(np.mean(above >= _TOP * largest))
    if share <= _MARK and at_the_top >= _AT_THE_TOP:
        return True
    return share <= _FRAME and at_the_top >= _FRAME_AT_THE_TOP
