"""Gray: pictures that are stored in colour although they are gray, and levels in [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import UnsupportedImage

_COLORED_DIFFERENCE = 0.06
_COLORED_SHARE = 0.01


def gray_of_color(cells: NDArray[np.generic], bits: int | None = None) -> NDArray[np.float32]:
    """The gray channel of a picture whose three channels agree.

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


def heat_share(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """How hot each pixel of a map is, [0, 1]: 0 where it speaks against, 1 where it is hottest."""
    low, high = max(float(heat.min()), 0.0), float(heat.max())
    if high <= low:
        return np.zeros_like(heat)
    return np.asarray(np.clip((heat - low) / (high - low), 0, 1), dtype=np.float32)


def as_unit(cells: NDArray[np.generic], maximum: float) -> NDArray[np.float32]:
    """Divide integers by the nominal maximum of their format.

    Returns:
        float32 of the same shape; in [0, 1] for cells from 0 to ``maximum``.
    """
    unit: NDArray[np.float32] = np.true_divide(cells, np.float32(maximum), dtype=np.float32)
    return unit
