"""Reduction: JPEG 2000 films decoded at 1/2, 1/4 or 1/8 of their resolution, where that is enough.

A JPEG 2000 codestream holds the picture as wavelets, each level of which halves it (ISO 15444-1,
B.5): the finest levels, which cost most, are not decoded. Sample (i, j) of the result lies at pixel
(step * i, step * j) of the file and is low-passed. Only films whose grayscale chain does not depend
on the values of all pixels are decoded so; every other film and syntax is decoded exactly.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.config import IGNORE
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless

from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.elements import MALFORMED
from monai_cxr.dicom.header.parsing import ParsedFile
from monai_cxr.dicom.pixels import decoding, packing
from monai_cxr.dicom.pixels.codestream import decomposition_levels
from monai_cxr.dicom.pixels.grayscale import Grayscale, GrayscalePolicy
from monai_cxr.dicom.pixels.presentation import CONFLICT

MAX_LEVELS = 3
"""Halvings at most."""

FLAG = "reduced_resolution"
"""Flag of a film that was decoded so."""

_SYNTAXES = frozenset({JPEG2000, JPEG2000Lossless})
_GRAY = frozenset({"MONOCHROME1", "MONOCHROME2"})


def decode_reduced(
    parsed: ParsedFile,
    facts: HeaderFacts,
    chain: Grayscale,
    policy: GrayscalePolicy,
    *,
    min_side: int,
    frame: int = 0,
) -> tuple[NDArray[np.generic], int] | None:
    """Decode a frame at the lowest resolution that is enough.

    Args:
        parsed: Header and place of the pixels.
        facts: Facts of the same header.
        chain: Its grayscale chain.
        policy: Which values of interest will be shown.
        min_side: The shorter side keeps at least so many pixels.
        frame: Which frame, counted from 0.

    Returns:
        Pixel cells as :func:`monai_cxr.dicom.pixels.decoding.decode` gives them, of shape
        (ceil(rows / step), ceil(columns / step)), and the step; None where the film must be decoded
        exactly.

    Raises:
        UnreadableImage: If the pixels are damaged.
        UnsupportedImage: See :func:`monai_cxr.dicom.pixels.decoding.decode`.
    """
    if UID(parsed.transfer_syntax, IGNORE) not in _SYNTAXES or not _pointwise(chain, policy, facts):
        return None
    decoding.check_layout(parsed, facts)
    packed = packing.packed_frame(parsed, facts, frame)
    stream, precision = packed.data, packed.precision
    if packed.syntax not in _SYNTAXES or precision is None or precision > chain.bits_stored:
        return None
    levels = _levels(facts, decomposition_levels(stream), min_side)
    if levels == 0:
        return None
    step = 2**levels
    try:
        with Image.open(BytesIO(stream), formats=("JPEG2000",)) as image:
            image.reduce = levels  # type: ignore[method-assign, assignment]
            cells = np.array(image)
    except MALFORMED:
        return None  # a tile may have fewer levels than the header says
    if cells.shape != (-(-facts.rows // step), -(-facts.columns // step)):
        return None
    if cells.dtype not in (np.uint8, np.uint16):
        return None
    if cells.dtype == np.uint16:
        cells = np.right_shift(cells, 16 - precision)  # Pillow stretches values to the whole cell
    elif facts.bits_allocated == 16:
        cells = cells.astype(np.uint16)
    return decoding.at_high_bit(cells, precision, facts, parsed.dataset), step


def _pointwise(chain: Grayscale, policy: GrayscalePolicy, facts: HeaderFacts) -> bool:
    """Whether a mean of stored values is shown like the mean of what is shown, near enough.

    Padding values would bleed into the film, and percentiles be taken of other values.
    """
    if CONFLICT in chain.flags:
        return False
    from_header = bool(chain.voi_luts or chain.windows) or chain.bits_stored <= 8
    return (
        policy.voi in ("auto", "header")
        and from_header
        and chain.padding is None
        and not chain.logarithm
        and not chain.signed
        and facts.samples_per_pixel == 1
        and facts.photometric_interpretation in _GRAY
    )


def _levels(facts: HeaderFacts, available: int, min_side: int) -> int:
    """Halvings after which the shorter side is long enough, and that Pillow counts as we do."""
    sides = (facts.rows, facts.columns)
    for levels in range(min(available, MAX_LEVELS), 0, -1):
        step = 2**levels
        # Pillow rounds the sides where the standard rounds up, and then finds the data broken.
        alike = all((side + step // 2) // step == -(-side // step) for side in sides)
        if alike and min(sides) >= step * min_side:
            return levels
    return 0
