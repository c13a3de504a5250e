"""Quality: measures of a film as it was read, for the report and for drift."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 256
_UNIFORM_RANGE = 0.06
_SURELY_BUSY = 0.0601
_Cell = TypeVar("_Cell", bound=np.generic)


def sampled(pixels: NDArray[_Cell]) -> NDArray[_Cell]:
    """Every n-th pixel of every n-th row: 256 to 511 along the shorter side.

    Enough for fractions and percentiles. Of a film that is as small, all pixels; so a sample is
    its own sample.
    """
    step = max(1, min(pixels.shape) // _SIDE)
    return np.ascontiguousarray(pixels[::step, ::step])


def measure(pixels: NDArray[np.float32]) -> dict[str, float]:
    """Measure a film by its sample.

    Args:
        pixels: Of the film, or its sample: float32, shape (rows, columns), range [0, 1].

    Returns:
        ``clipped_fraction`` (exactly 0 or 1), ``padding_fraction`` (0 here, the reader knows),
        ``border_fraction`` (constant rows and columns at the edges), ``entropy_bits`` (of 64 gray
        levels, at most 6), ``inversion_suspicion`` (mean of four corners minus the mean of the
        centre, -1 to 1: around a chest is air, so a positive value means probably inverted),
        ``mean`` and ``standard_deviation``. The fractions are shares of the area.
    """
    grid = sampled(pixels)
    return {
        "clipped_fraction": np.count_nonzero((grid <= 0.0) | (grid >= 1.0)) / grid.size,
        "padding_fraction": 0.0,
        "border_fraction": border_fraction(grid),
        "entropy_bits": _entropy(grid),
        "inversion_suspicion": _corner_brightness(grid),
        "mean": float(grid.mean()),
        "standard_deviation": float(grid.std()),
    }


def border_fraction(grid: NDArray[np.float32]) -> float:
    """Share of the area taken by uniform rows and columns at the edges (collimation, padding)."""
    top, bottom, left, right = inner_box(grid)
    return 1.0 - (bottom - top) * (right - left) / grid.size


def inner_box(grid: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the film without uniform rows and columns at its edges."""
    edges = (grid[0], grid[-1], grid[:, 0], grid[:, -1])
    if all(float(edge.max()) - float(edge.min()) > _SURELY_BUSY for edge in edges):
        return 0, grid.shape[0], 0, grid.shape[1]  # most films: no row or column need be asked
    top, bottom = _inner(np.ptp(grid, axis=1))
    left, right = _inner(np.ptp(grid, axis=0))
    return top, bottom, left, right


def _inner(ranges: NDArray[np.float32]) -> tuple[int, int]:
    busy = np.flatnonzero(ranges > _UNIFORM_RANGE)
    return (int(busy[0]), int(busy[-1]) + 1) if busy.size else (0, 0)


def _entropy(grid: NDArray[np.float32]) -> float:
    levels = Image.fromarray((grid * np.float32(63.0)).astype(np.uint8))
    counts = np.asarray(levels.histogram()[:64])  # of bytes; numpy would widen them first
    shares = counts[counts > 0] / grid.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _corner_brightness(grid: NDArray[np.float32]) -> float:
    height, width = (max(1, n // 10) for n in grid.shape)
    corners = [
        grid[:height, :width],
        grid[:height, -width:],
        grid[-height:, :width],
        grid[-height:, -width:],
    ]
    middle = grid[grid.shape[0] // 4 : -(grid.shape[0] // 4) or None, :]
    middle = middle[:, grid.shape[1] // 4 : -(grid.shape[1] // 4) or None]
    return float(np.mean([corner.mean() for corner in corners]) - middle.mean())
