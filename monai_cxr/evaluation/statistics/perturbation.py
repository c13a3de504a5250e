"""Perturbation: what happens to films on their way to a model, by a stated amount.

Each function takes a film, float32, (rows, columns), [0, 1], bright = dense, and an amount in its
own unit; amount 0 (for ``resample`` and ``compress``: see there) gives back the film.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_cxr.errors import SettingsError

Film = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A realistic change with the amounts to try.

    Attributes:
        name: Its key in :data:`PERTURBATIONS`.
        unit: Unit of the amounts.
        amounts: Increasing, without "no change".
        apply: (film, amount, seed) to film.
    """

    name: str
    unit: str
    amounts: tuple[float, ...]
    apply: Callable[[Film, float, int], Film]


def window(film: Film, amount: float, seed: int = 0) -> Film:
    """Narrow or widen the grey window about its middle: contrast x 2**amount, clipped."""
    del seed
    return _film((film - 0.5) * 2.0**amount + 0.5)


def brighten(film: Film, amount: float, seed: int = 0) -> Film:
    """Move the grey window by ``amount`` of the full range, clipped."""
    del seed
    return _film(film + amount)


def add_noise(film: Film, amount: float, seed: int = 0) -> Film:
    """Add quantum noise: the dose falls to 1 / (1 + amount).

    Transmission is exp(-4 x density); its relative noise grows with the square root of what
    absorbs, so dense regions become grainy first.
    """
    generator = np.random.default_rng(seed)
    spread = 0.01 * np.sqrt(amount * np.exp(2.0 * film))
    return _film(film + spread * generator.standard_normal(film.shape))


def resample(film: Film, amount: float, seed: int = 0) -> Film:
    """Shrink by ``1 + amount`` with area averaging and enlarge again: detail is lost."""
    del seed
    rows, columns = film.shape
    small = (max(1, round(columns / (1.0 + amount))), max(1, round(rows / (1.0 + amount))))
    picture = Image.fromarray(np.asarray(film, dtype=np.float32))
    back = picture.resize(small, Image.Resampling.BOX).resize(
        (columns, rows), Image.Resampling.BICUBIC
    )
    return _film(np.asarray(back))


def rotate(film: Film, amount: float, seed: int = 0) -> Film:
    """Rotate by ``amount`` degrees, even seeds one way and odd seeds the other; corners are air."""
    angle = amount if seed % 2 == 0 else -amount
    return _film(ndimage.rotate(film, angle, reshape=False, order=1, mode="constant", cval=0.0))


def compress(film: Film, amount: float, seed: int = 0) -> Film:
    """Store as 8-bit JPEG of quality ``100 - amount``; amount 0 is already 8 bit."""
    del seed
    if not 0.0 <= amount <= 99.0:
        raise SettingsError(f"Expected a JPEG loss between 0 and 99, but got {amount}.")
    stored = io.BytesIO()
    picture = Image.fromarray(np.rint(film * 255.0).astype(np.uint8))
    picture.save(stored, format="JPEG", quality=round(100 - amount), subsampling=0)
    with Image.open(stored) as reread:
        return _film(np.asarray(reread, dtype=np.float32) / 255.0)


def collimate(film: Film, amount: float, seed: int = 0) -> Film:
    """Blacken a border: ``amount`` is the share of the film's width and height that is lost."""
    del seed
    if not 0.0 <= amount < 1.0:
        raise SettingsError(f"Expected a collimated share in [0, 1), but got {amount}.")
    rows, columns = (round(side * amount / 2.0) for side in film.shape)
    result = np.zeros_like(film)
    inside = (slice(rows, film.shape[0] - rows), slice(columns, film.shape[1] - columns))
    result[inside] = film[inside]
    return result


PERTURBATIONS: Mapping[str, Perturbation] = {
    item.name: item
    for item in (
        Perturbation("window", "octaves of contrast", (-1.0, -0.5, 0.5, 1.0), window),
        Perturbation("brightness", "share of the range", (-0.2, -0.1, 0.1, 0.2), brighten),
        Perturbation("noise", "lost dose, x - 1", (1.0, 3.0, 7.0, 15.0), add_noise),
        Perturbation("resampling", "shrinkage, x - 1", (1.0, 3.0, 5.0, 7.0), resample),
        Perturbation("rotation", "degrees", (2.0, 5.0, 10.0, 15.0), rotate),
        Perturbation("compression", "100 - JPEG quality", (10.0, 30.0, 50.0, 80.0), compress),
        Perturbation("collimation", "share cut off", (0.05, 0.1, 0.2, 0.3), collimate),
    )
}
"""The perturbations by name, with the amounts that a robustness curve tries."""


def _film(values: NDArray[np.floating]) -> Film:
    film: Film = np.clip(values, 0.0, 1.0).astype(np.float32)
    return film
