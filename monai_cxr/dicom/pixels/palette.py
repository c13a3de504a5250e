"""Palette: cells that index a colour table (PS3.3 C.7.9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.errors import UnreadableImage, UnsupportedImage


def palette_to_rgb(
    cells: NDArray[np.generic], dataset: Dataset, *, little_endian: bool
) -> NDArray[np.generic]:
    """Apply the Palette Color Lookup Tables of PS3.3 C.7.9.

    Returns:
        uint16, shape (rows, columns, 3).

    Raises:
        UnreadableImage: ``"damaged_header"`` if a table is missing, malformed or too short.
        UnsupportedImage: ``"photometric"`` if it comes in segments.
    """
    channels, depth, declared = [], 0, 0
    for color in ("Red", "Green", "Blue"):
        stem = f"{color}PaletteColorLookupTable"
        descriptor = elements.words(dataset, f"{stem}Descriptor", little_endian=little_endian)
        data = elements.words(dataset, f"{stem}Data", little_endian=little_endian)
        if data is None and elements.has(dataset, f"Segmented{stem}Data"):
            raise UnsupportedImage(
                "The palette comes in segments (0028,1221), which is not read. Export the image "
                "again as MONOCHROME2.",
                reason="photometric",
            )
        if descriptor is None or len(descriptor) != 3 or data is None:
            raise UnreadableImage(
                f"The {color.lower()} palette (C.7.9) is missing or malformed.",
                reason="damaged_header",
            )
        n_entries, first, bits = int(descriptor[0]) or 65536, int(descriptor[1]), int(descriptor[2])
        if bits <= 8 and len(data) <= (n_entries + 1) // 2:
            data = np.stack([data & 0xFF, data >> 8], axis=1).reshape(-1)
        if len(data) < n_entries and int(cells.max()) - first >= len(data):
            raise UnreadableImage(
                f"The {color.lower()} palette has {len(data)} of its {n_entries} entries, and the "
                "pixels need more. Export the image again.",
                reason="damaged_header",
            )
        depth = max(depth, int(data.max()).bit_length())
        declared = max(declared, bits)
        index = np.clip(cells.astype(np.int32) - first, 0, min(n_entries, len(data)) - 1)
        channels.append(data[index].astype(np.float32))
    # The tables tell their depth where it is not the declared one, as those of LUTs do.
    bits = declared if declared == depth or depth == declared - 1 else max(depth, 8)
    scale = np.float32(65535.0 / (2**bits - 1))
    return np.asarray(np.rint(np.stack(channels, axis=2) * scale), dtype=np.uint16)
