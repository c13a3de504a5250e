"""Grid: positions on the film, smooth profiles and soft noise, all in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float32]
"""float32, shape (rows, columns) of the working grid."""

Region = NDArray[np.bool_]
"""bool, shape (rows, columns) of the working grid."""


def smooth_step(values: Field, low: float, high: float) -> Field:
    """Rise smoothly from 0 at ``low`` to 1 at ``high`` (3t² - 2t³); ``low`` may exceed ``high``."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def round_edge(distance: Field, radius: float) -> Field:
    """Thickness profile of a body with a rounded rim.

    Args:
        distance: Distance from the silhouette in mm, positive inside.
        radius: Depth in mm at which the full thickness is reached.

    Returns:
        float32 in [0, 1]: 0 outside, a quarter circle, then 1.
    """
    t = 1.0 - np.clip(distance / np.float32(radius), 0.0, 1.0)
    return np.asarray(np.sqrt(1.0 - t * t), dtype=np.float32)


def profile(at: Field, knots: Sequence[float], values: Sequence[float]) -> Field:
    """Read a smooth curve through knots at every position (sampled finely, read linearly)."""
    fine = np.linspace(knots[0], knots[-1], 257)
    curve = gaussian_filter(np.interp(fine, knots, values), 5.0, mode="nearest")
    return np.interp(at, fine, curve).astype(np.float32)


def resize(field: Field, shape: tuple[int, int]) -> Field:
    """Resample a field bicubically to a shape (rows, columns)."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    resized = image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.float32)


def blur(field: Field, sigma: float) -> Field:
    """Blur a field; a wide blur is done on a coarser grid."""
    step = int(sigma // 3)
    if step < 2:
        return np.asarray(gaussian_filter(field, sigma, mode="nearest"), dtype=np.float32)
    rows, columns = field.shape
    coarse = np.asarray(
        Image.fromarray(field).resize(
            (max(columns // step, 2), max(rows // step, 2)), Image.Resampling.BOX
        ),
        dtype=np.float32,
    )
    return resize(gaussian_filter(coarse, sigma / step, mode="nearest"), (rows, columns))


def soft_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Field:
    """Draw smooth noise with a mean near 0 and a deviation near 1.

    Args:
        rng: Source of chance.
        shape: (rows, columns).
        cell: Size of the blobs in pixels.

    Returns:
        float32, shape ``shape``.
    """
    half = max(0.5 * cell, 1.0)
    coarse = (int(shape[0] / half) + 3, int(shape[1] / half) + 3)
    noise = gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), 1.0, mode="wrap")
    # The blur and the interpolation keep about a quarter of the deviation.
    return np.asarray(resize(noise, shape) * np.float32(3.7), dtype=np.float32)
