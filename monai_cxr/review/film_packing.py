"""Film packing: pixels on their way to a browser: a small copy first, then the exact film, in gzip.

Neighbours of a film are alike, so each value is sent as its difference from the one above it, the
high bytes before the low ones. What a browser unpacks natively is then about a fourth of the film.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREVIEW_SIDE = 512
"""Longer side of the small copy, about a hundred kilobytes on the wire."""

_GZIP = 31
"""Window of 32 KiB, with the head and tail of a gzip file."""

_FASTEST, _MOST_MEMORY = 1, 9


def small_copy(values: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], int]:
    """Means over squares of a film, for a first look.

    Args:
        values: Shape (rows, columns).

    Returns:
        The copy, at most :data:`PREVIEW_SIDE` long, and how many rows and columns of the film one
        of its own stands for; an empty copy of a film that is as small itself.
    """
    step = -(-max(values.shape) // PREVIEW_SIDE)
    rows, columns = (side // step for side in values.shape)
    if step < 2 or not rows or not columns:
        return np.zeros((0, 0), np.uint16), 1
    squares = values[: rows * step, : columns * step].reshape(rows, step, columns, step)
    sums = squares.sum(axis=3, dtype=np.uint32).sum(axis=1, dtype=np.uint32)
    return (sums // np.uint32(step * step)).astype("<u2"), step


def as_differences(values: NDArray[np.uint16]) -> list[NDArray[np.uint8]]:
    """A film as differences from row to row, without a loss.

    Args:
        values: Shape (rows, columns).

    Returns:
        High bytes and low bytes, each (rows, columns): of twice the difference, less one where it
        is negative, so that small ones have a high byte of zero whatever their sign.
    """
    steps = values.astype(np.uint16)
    steps[1:] -= values[:-1]
    signed = steps.view(np.int16)
    folded = ((signed << 1) ^ (signed >> 15)).view(np.uint16)
    return [(folded >> 8).astype(np.uint8), (folded & 0xFF).astype(np.uint8)]


def from_differences(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The inverse of :func:`as_differences`, as the viewer computes it."""
    folded = (high.astype(np.uint16) << 8) | low
    signed = (folded >> 1).view(np.int16) ^ -(folded & 1).view(np.int16)
    values: NDArray[np.uint16] = np.cumsum(signed.view(np.uint16), axis=0, dtype=np.uint16)
    return values


def gzipped(content: bytes) -> bytes:
    """Content in gzip: runs are found, and nothing that takes longer."""
    packer = zlib.compressobj(_FASTEST, zlib.DEFLATED, _GZIP, _MOST_MEMORY, zlib.Z_RLE)
    return packer.compress(content) + packer.flush()


def unzipped(content: bytes) -> bytes:
    """The inverse, for a client that does not take gzip."""
    return zlib.decompress(content, _GZIP)


def unzipped_size(content: bytes) -> int:
    """Bytes that a gzip file holds, below 4 GiB."""
    return int.from_bytes(content[-4:], "little")


def preview_header(copy: NDArray[Any], step: int) -> dict[str, int]:
    """What a viewer must know of the small copy."""
    return {"rows": copy.shape[0], "columns": copy.shape[1], "step": step}
