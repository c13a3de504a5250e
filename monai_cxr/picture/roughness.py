"""Roughness: how far neighbouring pixels lie apart; a radiograph is smooth, noise is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROWS = 24
_ROUGH, _SMOOTHER = 0.08, 0.35


def some_rows(cells: NDArray[np.generic]) -> NDArray[np.generic]:
    """About 24 whole rows of a picture: neighbours in a row are kept."""
    step = max(1, cells.shape[0] // _ROWS)
    return np.ascontiguousarray(cells[::step])


def roughness(rows: NDArray[np.generic]) -> float:
    """Mean step between neighbours in a row, in units of the spread of the values.

    Films measure 0.005 to 0.05, noise about 0.3.
    """
    values = rows.astype(np.float32)
    some = values[:, :: max(1, values.shape[1] // 256)].flatten()
    low, high = some.size // 100, some.size - 1 - some.size // 100
    some.partition((low, high))
    spread = float(some[high] - some[low])
    steps = values[:, 1:] - values[:, :-1]
    return float(np.abs(steps, out=steps).mean()) / spread if spread > 0 else 0.0


def is_byte_swapped(rows: NDArray[np.generic]) -> bool:
    """Whether cells of two bytes are noise as they lie, and a picture in the other byte order.

    The mean step between neighbours of a film is a hundredth of its range; swapped, the low byte
    weighs 256 times as much as the high one, and it is a fifth.

    Args:
        rows: Some rows of a picture, of any type.
    """
    if rows.dtype.itemsize != 2 or rows.dtype.kind not in "ui" or rows.shape[1] < 2:
        return False
    here = roughness(rows)
    return here > _ROUGH and roughness(rows.byteswap()) < _SMOOTHER * here
