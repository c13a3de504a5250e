"""Preprocessing: a film to the network's input, one function for training and serving."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from monai_cxr.errors import SettingsError
from monai_cxr.radiograph import Radiograph

ResizePolicy = Literal["stretch", "pad", "center_crop", "center_crop_0.875", "center_crop_bicubic"]
RESIZE_POLICIES: tuple[str, ...] = get_args(ResizePolicy)
"""``stretch``: both sides to the size, as NIH's own PNGs were made. ``pad``: keep the aspect ratio
and fill with black. ``center_crop``: keep the aspect ratio and cut the longer side.
``center_crop_0.875``: of that square, the middle 0.875 of each side, as ImageNet's evaluation
resizes the shorter side to 256 and cuts 224 (timm's ``crop_pct``). ``center_crop_bicubic``: as
``center_crop``, by Pillow's bicubic filter instead of a triangle."""

MEAN = 0.5
"""Subtracted from pixels in [0, 1] before they enter the network."""

STANDARD_DEVIATION = 0.25
"""Divides after the mean is subtracted; NIH's films have 0.50 and 0.25, rounded."""


def prepare(
    film: Radiograph | NDArray[np.float32], size: int, *, resize: ResizePolicy = "stretch"
) -> NDArray[np.float32]:
    """Resize a film to a square with antialiasing.

    Args:
        film: A radiograph, or its float32 pixels of shape (rows, columns) in [0, 1].
        size: Side of the output in pixels.
        resize: One of :data:`RESIZE_POLICIES`; recorded in the bundle's metadata.

    Returns:
        float32, shape (size, size), range [0, 1].

    Raises:
        SettingsError: If the policy is unknown or the size is below 1.

    Example:
        >>> prepare(np.ones((4, 2), dtype=np.float32), 2).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    if resize not in RESIZE_POLICIES:
        raise SettingsError(f"Expected resize as one of {RESIZE_POLICIES}, but got '{resize}'.")
    if size < 1:
        raise SettingsError(f"Expected a size of at least 1, but got {size}.")
    if isinstance(film, Radiograph):
        pixels, (rows, columns), step = film.pixels, film.full_shape, film.step
    else:
        pixels, (rows, columns), step = film, film.shape, 1
    if resize.startswith("center_crop"):
        side, cubic = cropped_side((rows, columns), resize), resize.endswith("_bicubic")
        return _resize(
            pixels,
            _Axis(size, (rows - side) // 2, side, step, cubic),
            _Axis(size, (columns - side) // 2, side, step, cubic),
        )
    if resize == "pad":
        scale = size / max(rows, columns)
        height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
        result = np.zeros((size, size), dtype=np.float32)
        top, left = (size - height) // 2, (size - width) // 2
        result[top : top + height, left : left + width] = _resize(
            pixels, _Axis(height, 0, rows, step), _Axis(width, 0, columns, step)
        )
        return result
    return _resize(pixels, _Axis(size, 0, rows, step), _Axis(size, 0, columns, step))


def cropped_side(shape: tuple[int, int], resize: str) -> int:
    """Side in pixels of the central square that a ``center_crop`` policy keeps of a film."""
    share = 0.875 if resize == "center_crop_0.875" else 1.0
    return max(1, round(min(shape) * share))


def normalise(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift and scale pixels in [0, 1] to about zero mean and unit variance.

    Args:
        pixels: float32, any shape, range [0, 1].

    Returns:
        float32 of the same shape, range [-2, 2].
    """
    return np.asarray((pixels - MEAN) / STANDARD_DEVIATION, dtype=np.float32)


class _Axis(NamedTuple):
    """How one side is resized, in pixels of the file.

    Attributes:
        size: Size of the output.
        start: First pixel that is shown.
        extent: How many are shown.
        step: From one sample to the next.
        cubic: Bicubic instead of bilinear.
    """

    size: int
    start: int
    extent: int
    step: int
    cubic: bool = False

    @property
    def samples(self) -> slice:
        """The samples that lie in what is shown."""
        return slice(-(-self.start // self.step), -(-(self.start + self.extent) // self.step))


def _resize(pixels: NDArray[np.float32], rows: _Axis, columns: _Axis) -> NDArray[np.float32]:
    """Resize with antialiasing, by a filter as wide as the reduction, as Pillow has it.

    Rows first: each row of the film is then read about twice, and the columns are few.
    """
    shown = np.ascontiguousarray(pixels[rows.samples, columns.samples], dtype=np.float32)
    if shown.shape == (rows.size, columns.size) and rows.step == 1:
        return np.array(shown)
    fewer_rows = _filter(rows) @ shown
    resized = (_filter(columns) @ _transposed(fewer_rows)).T
    return np.ascontiguousarray(np.clip(resized, 0.0, 1.0), dtype=np.float32)


def _transposed(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """A transposed copy, by way of rows that are a cache line longer.

    The same column of rows of 1,024 falls in one set of the cache, which then holds few of them:
    without the line, copying takes three times as long.
    """
    height, width = rows.shape
    longer = np.empty((height, width + 16), dtype=np.float32)
    longer[:, :width] = rows
    return np.ascontiguousarray(longer[:, :width].T)


@lru_cache(maxsize=64)
def _filter(axis: _Axis) -> csr_array:
    """Weights of the samples in each output pixel, sparse float32 of shape (size, samples)."""
    samples = axis.samples
    length = samples.stop - samples.start
    scale = axis.extent / axis.size
    reach = max(scale / axis.step, 1.0)
    centre = (np.arange(axis.size) + 0.5) * scale - 0.5
    centre = (centre + axis.start) / axis.step - samples.start
    half = 2 * reach if axis.cubic else reach
    first = np.floor(centre - half).astype(np.intp) + 1
    taps = first[:, None] + np.arange(int(np.ceil(2 * half)) + 1)
    distance = np.abs(taps - centre[:, None]) / reach
    weights = _cubic(distance) if axis.cubic else np.maximum(1.0 - distance, 0.0)
    weights[(taps < 0) | (taps >= length)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    row, tap = np.nonzero(weights)
    values = weights[row, tap].astype(np.float32)
    return csr_array((values, (row, taps[row, tap])), shape=(axis.size, length))


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution with a = -0.5, of distances of at least 0; zero from 2 on."""
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))
