"""Tally: percentiles of pixels from how often each value occurs.

A film's sample has a hundred thousand pixels and a few thousand values: what is asked of every
pixel is asked of every value once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def percentiles(
    values: NDArray[np.float64], counts: NDArray[np.intp], wanted: Sequence[float]
) -> NDArray[np.float64]:
    """Percentiles by linear interpolation, as :func:`numpy.percentile` has them of each pixel.

    Args:
        values: Shape (n,), in any order.
        counts: How often each occurs; not all 0.
        wanted: In [0, 100].

    Returns:
        float64, one a percentile wanted.
    """
    order = np.argsort(values, kind="stable")
    up_to = np.cumsum(counts[order])
    position = (up_to[-1] - 1) * (np.asarray(wanted, dtype=np.float64) / 100.0)
    below = np.floor(position)
    lower, upper = (
        values[order[np.searchsorted(up_to, rank, side="right")]]
        for rank in (below, np.ceil(position))
    )
    share, gap = position - below, upper - lower
    # From the nearer end, so that equal ends give themselves.
    return np.asarray(np.where(share < 0.5, lower + gap * share, upper - gap * (1.0 - share)))
