"""Second look: do the decoded cells bear out what the header says of bits, order and polarity?

A radiograph is smooth: neighbouring pixels are alike. A reading that cuts bits off, takes a sign
for a value or swaps two bytes tears it: neighbours then lie half of the range apart. Each other
reading of the same cells is tried, and where one heals what the header's tears, the picture
decides, with a flag. Elements that say how values are coded in a codestream are the codestream's
(PS3.5 A.4); where the two elements of polarity contradict each other, no rule can tell which is
right, and the pose check can.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.pixels.decoding import Frame
from monai_cxr.dicom.pixels.grayscale import Codes, Grayscale, render
from monai_cxr.dicom.pixels.presentation import CONFLICT, grayscale
from monai_cxr.picture.chest_likeness import likeness
from monai_cxr.picture.frontal_view import is_clearly_negative
from monai_cxr.picture.quality import sampled
from monai_cxr.picture.roughness import is_byte_swapped, some_rows

BITS, SIGN, ORDER = (
    "bits_stored_disagrees",
    "pixel_representation_disagrees",
    "byte_order_disagrees",
)
"""Flags: what of the header the pixels contradict."""

_TORN = 1e-4
_HEALED = 0.4
_OVERLAY_GROUPS, _OVERLAY_BIT = range(0x6000, 0x6020, 2), 0x0102


def look_again(frame: Frame, dataset: Dataset, *, little_endian: bool) -> tuple[Codes, Grayscale]:
    """Read the grayscale chain of a header, and hold it against the picture.

    Args:
        frame: Decoded gray cells, uint8 or uint16, shape (rows, columns).
        dataset: The header.
        little_endian: Byte order of the file.

    Returns:
        The cells, in the other byte order where that is theirs, and the chain with the bits, the
        sign and the polarity that the picture shows; with a flag where the header says otherwise.
    """
    chain = grayscale(dataset, little_endian=little_endian)
    cells, chain = _healed(frame, chain, dataset)
    return cells, _with_polarity(cells, chain) if CONFLICT in chain.flags else chain


def _healed(frame: Frame, chain: Grayscale, dataset: Dataset) -> tuple[Codes, Grayscale]:
    cells: Codes = frame.cells  # type: ignore[assignment]
    some: Codes = some_rows(cells)  # type: ignore[assignment]
    if chain.bits_stored > 8 and is_byte_swapped(some):
        return cells.byteswap(), replace(chain, flags=(*chain.flags, ORDER))
    used = chain.high_bit + 1
    lost = _lost_bits(some, used, dataset)
    moved = _moved(some, lost, chain)
    if moved is not None:
        return cells, replace(chain, high_bit=moved, flags=(*chain.flags, BITS))
    precision = frame.precision
    if lost and precision is not None and used < precision and not chain.signed:
        bits = max(precision, lost)
        deeper = replace(chain, bits_stored=bits, high_bit=bits - 1)
        if chain.high_bit == chain.bits_stored - 1:
            return cells, replace(deeper, flags=(*chain.flags, BITS))
    torn = _torn(_values(some, chain), 2.0**chain.bits_stored)
    if torn <= _TORN:
        return cells, chain
    others = []
    if lost and chain.high_bit == chain.bits_stored - 1:
        others.append((replace(chain, bits_stored=lost, high_bit=lost - 1, signed=False), BITS))
    others.append((replace(chain, signed=not chain.signed), SIGN))
    for other, flag in others:
        if _torn(_values(some, other), 2.0**chain.bits_stored) < _HEALED * torn:
            return cells, replace(other, flags=(*chain.flags, flag))
    return cells, chain


def _with_polarity(cells: Codes, chain: Grayscale) -> Grayscale:
    """The polarity in which the picture looks like a chest; the shape's where that is not clear."""
    picture = render(sampled(cells), chain).pixels
    if not is_clearly_negative(picture, likeness(picture)):
        return chain
    flags = (*chain.flags, "polarity_by_picture")
    return replace(chain, inverse=not chain.inverse, flags=flags)


def _lost_bits(some: Codes, used: int, dataset: Dataset) -> int:
    """Bits of the deepest value above the bits in use; 0 where none lies there, or overlays may."""
    depth = int(some.max()).bit_length()
    if depth <= used or any(
        (elements.integer(dataset, group << 16 | _OVERLAY_BIT) or 0) >= used
        for group in _OVERLAY_GROUPS
    ):
        return 0
    return depth


def _moved(some: Codes, lost: int, chain: Grayscale) -> int | None:
    """Where the highest bit is where the values lie at the other end of the cell; else None.

    High Bit may point to the top of the cell while the values lie at its bottom, or the reverse.
    """
    bits = chain.bits_stored
    shift = min(chain.high_bit + 1 - bits, 16)
    if shift > 0:
        low_bits = some.astype(np.int32) & (2**shift - 1)
        is_below = int(some.max()) < 2**bits and bool(low_bits.any())
        return bits - 1 if is_below else None
    is_windowed_above = any(window.center >= 2.0**bits for window in chain.windows)
    if lost <= bits or chain.signed or is_windowed_above:
        return None
    return None if (some & (2 ** (lost - bits) - 1)).any() else lost - 1


def _values(some: Codes, chain: Grayscale) -> NDArray[np.int32]:
    """Stored values of some cells, as the chain reads them."""
    bits = min(chain.bits_stored, some.dtype.itemsize * 8)
    shift = min(max(chain.high_bit + 1 - bits, 0), some.dtype.itemsize * 8 - bits)
    values = (some.astype(np.int32) >> shift) & (2**bits - 1)
    if chain.signed:
        values[values >= 2 ** (bits - 1)] -= 2**bits
    return np.asarray(values, dtype=np.int32)


def _torn(values: NDArray[np.int32], span: float) -> float:
    """Share of neighbours in a row that lie more than half of a span apart.

    Saturated values and padding have honest edges: neighbours of the extremes are not counted.
    """
    inside = (values > values.min()) & (values < values.max())
    steps = np.abs(np.diff(values, axis=1)) > 0.5 * span
    return float(np.mean(steps & inside[:, 1:] & inside[:, :-1]))
