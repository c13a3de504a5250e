"""Lesion: what a finding adds to the thorax, and the shapes findings are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cxr.phantom.anatomy import Lung, Thorax, ellipse
from monai_cxr.phantom.grid import Field, Region, soft_noise


@dataclass(frozen=True, slots=True)
class Lesion:
    """One finding on the working grid.

    Attributes:
        mask: Where it is seen.
        filling: Share in [0, 1] of the lung's air that is lost, or None.
        added_cm: Water added along the beam in cm, negative where tissue gives way to air, or
            None.
        vessels: Factor on the vessels' visibility, or None.
        bronchogram: Visibility in [0, 1] of air-filled bronchi inside the opacity, or None.
    """

    mask: Region
    filling: Field | None = None
    added_cm: Field | None = None
    vessels: Field | None = None
    bronchogram: Field | None = None


def draw_side(rng: np.random.Generator, right_share: float = 0.5) -> int:
    """Choose a lung: -1 right, +1 left."""
    return -1 if rng.random() < right_share else 1


def lung_of(thorax: Thorax, sign: int) -> Lung:
    """The lung of a side: -1 right, +1 left."""
    return thorax.right if sign < 0 else thorax.left


def noise(thorax: Thorax, rng: np.random.Generator, cell_mm: float) -> Field:
    """Smooth noise on the film's working grid with blobs of a size in mm."""
    return soft_noise(rng, thorax.x.shape, cell_mm / thorax.spacing_mm)


def blob(
    thorax: Thorax,
    centre: tuple[float, float],
    axes: tuple[float, float],
    *,
    angle: float = 0.0,
    roughness: Field | float = 0.0,
) -> Field:
    """Relative radius of a possibly rough ellipse: below 1 inside.

    Args:
        thorax: The anatomy, for the positions.
        centre: (x, y) in mm.
        axes: Half axes in mm.
        angle: Rotation in radians.
        roughness: Added to the radius, for example a multiple of ``noise``.

    Returns:
        float32, shape of the working grid.
    """
    squared = ellipse(thorax.x, thorax.y, centre, axes, angle)
    return np.asarray(np.sqrt(squared) + roughness, dtype=np.float32)


def ball(radius: Field) -> Field:
    """Relative chord of a ball at relative radii: 1 in the middle, 0 from radius 1 on."""
    chord = np.sqrt(np.maximum(1.0 - np.maximum(radius, 0.0) ** 2, 0.0))
    return np.asarray(chord, dtype=np.float32)


def visible(amount: Field, where: Region, share: float = 0.4) -> Region:
    """Where an amount reaches a share of its largest value inside a region."""
    inside = np.where(where, amount, 0.0)
    largest = float(inside.max())
    if largest <= 0.0:
        return np.zeros(amount.shape, dtype=np.bool_)
    return np.asarray(inside >= share * largest, dtype=np.bool_)
