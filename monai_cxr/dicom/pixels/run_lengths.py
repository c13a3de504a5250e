"""Run lengths: one frame of RLE Lossless (PS3.5 Annex G) by PackBits of imagecodecs.

The decoder of whole frames there reads past the end of damaged ones; PackBits, which decodes one
segment within bounds, does not. So the header is read here, and what does not fit is refused.
"""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from monai_cxr.optional import require

_HEADER = struct.Struct("<16L")


def decode_gray_rle(
    stream: bytes, n_cells: int, n_bytes: int
) -> NDArray[np.unsignedinteger] | None:
    """Decode a gray frame: a segment for each byte of a cell, the most significant first (G.2).

    Args:
        stream: Header and segments.
        n_cells: Rows times columns.
        n_bytes: Bytes of a cell, 1 or 2.

    Returns:
        uint8 or uint16 cells in one row; None where a segment is missing, damaged, or holds more
        or less than a plane, which other decoders may forgive.

    Raises:
        MissingDependency: If imagecodecs is not installed.
    """
    codecs = require("imagecodecs", extra="fast-codecs")
    if len(stream) < _HEADER.size:
        return None
    n_segments, *starts = _HEADER.unpack_from(stream)
    bounds = [*starts[:n_bytes], len(stream)]
    if n_segments != n_bytes or bounds[0] < _HEADER.size or bounds != sorted(bounds):
        return None
    planes: NDArray[np.uint8] = np.empty((n_bytes, n_cells), dtype=np.uint8)
    for plane, (start, end) in zip(planes, pairwise(bounds), strict=True):
        try:
            decoded = codecs.packbits_decode(stream[start:end], out=plane)
        except (RuntimeError, ValueError):
            return None
        if decoded.size != n_cells:
            return None
    cells: NDArray[np.unsignedinteger] = planes[0]
    if n_bytes == 2:
        cells = np.left_shift(cells, 8, dtype="<u2")
        cells |= planes[1]
    return cells
