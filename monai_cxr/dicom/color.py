"""Color: pictures that are stored in colour although they are gray."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from monai_cxr.dicom import elements
from monai_cxr.errors import UnreadableImage, UnsupportedImage

_COLORED_DIFFERENCE = 0.06
_COLORED_SHARE = 0.01


def gray_of_color(cells: NDArray[np.generic], bits: int | None = None) -> NDArray[np.float32]:
    """Take the gray channel of a picture whose three channels agree.

    Args:
        cells: uint8 or uint16, shape (rows, columns, 3).
        bits: Bits of a sample; all that its cell has when None.

    Returns:
        float32, shape (rows, columns), range [0, 1] of the nominal maximum.

    Raises:
        UnsupportedImage: ``"color"`` if more than 1 % of the pixels are coloured: a photograph of
            a screen, a screenshot with markings, another modality.
    """
    maximum = 2.0 ** (bits or 8 * cells.dtype.itemsize) - 1.0
    step = max(1, min(cells.shape[:2]) // 512)
    red, green, blue = np.ascontiguousarray(np.moveaxis(cells[::step, ::step], 2, 0))
    spread = np.maximum(np.maximum(red, green), blue)
    spread -= np.minimum(np.minimum(red, green), blue)
    colored = np.count_nonzero(spread > _COLORED_DIFFERENCE * maximum) / spread.size
    if colored > _COLORED_SHARE:
        raise UnsupportedImage(
            f"{colored:.0%} of the pixels are coloured; a chest radiograph is gray. Send the "
            "original image, not a photograph or a screenshot.",
            reason="color",
        )
    return np.minimum(as_unit(cells[..., 1], maximum), np.float32(1.0))


def as_unit(cells: NDArray[np.generic], maximum: float) -> NDArray[np.float32]:
    """Divide integers by the nominal maximum of their format.

    Returns:
        float32 of the same shape; in [0, 1] for cells from 0 to ``maximum``.
    """
    unit: NDArray[np.float32] = np.true_divide(cells, np.float32(maximum), dtype=np.float32)
    return unit


def palette_to_rgb(
    cells: NDArray[np.generic], dataset: Dataset, *, little_endian: bool
) -> NDArray[np.generic]:
    """Apply the Palette Color Lookup Tables of PS3.3 C.7.9.

    Returns:
        uint16, shape (rows, columns, 3).

    Raises:
        UnreadableImage: ``"damaged_header"`` if a table is missing or malformed.
    """
    channels = []
    for color in ("Red", "Green", "Blue"):
        stem = f"{color}PaletteColorLookupTable"
        descriptor = elements.words(dataset, f"{stem}Descriptor", little_endian=little_endian)
        data = elements.words(dataset, f"{stem}Data", little_endian=little_endian)
        if descriptor is None or len(descriptor) != 3 or data is None:
            raise UnreadableImage(
                f"The {color.lower()} palette (C.7.9) is missing or malformed.",
                reason="damaged_header",
            )
        n_entries, first, bits = int(descriptor[0]) or 65536, int(descriptor[1]), int(descriptor[2])
        if bits <= 8 and len(data) <= (n_entries + 1) // 2:
            data = np.stack([data & 0xFF, data >> 8], axis=1).reshape(-1)
        if bits <= 8:
            data = data * 257
        index = np.clip(cells.astype(np.int32) - first, 0, min(n_entries, len(data)) - 1)
        channels.append(data[index].astype(np.uint16))
    return np.stack(channels, axis=2)
