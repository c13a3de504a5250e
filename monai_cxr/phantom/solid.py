"""Solid: a phantom's thorax as a volume, for other than frontal films: slices, laterals, obliques.

A film is drawn from maps of length along the beam (:mod:`monai_cxr.phantom.anatomy`); a slice needs
to know where along it each organ lies. The same measures place simple bodies here: lungs between
rib cage and mediastinum, heart and great vessels in front of the spine, ribs that fall forwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, rotate

from monai_cxr.phantom.anatomy import border_at, dome_at, heart_centre, wall_at
from monai_cxr.phantom.body import Body, draw_body
from monai_cxr.phantom.grid import Field, Region, profile
from monai_cxr.phantom.patients import examine, stream_of_body
from monai_cxr.phantom.settings import PhantomSettings

Plane = Literal["axial", "coronal", "sagittal"]

_ABOVE_MM, _BELOW_MM = 110.0, 360.0


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """A thorax in voxels.

    Attributes:
        density: float32, shape (down, back, left): relative to water, 0 in air. The axes run from
            head to feet, from front to back and from the patient's right to left.
        spacing_mm: Side of a voxel.
    """

    density: Field
    spacing_mm: float


def solid_thorax(settings: PhantomSettings, *, patient: int, spacing_mm: float = 3.0) -> Solid:
    """Fill a patient's thorax; the same arguments give the same voxels.

    Args:
        settings: Seed and population.
        patient: Index of the patient, from 0.
        spacing_mm: Side of a voxel.

    Returns:
        The healthy thorax without arms, as on a lateral film.
    """
    visit = examine(settings, patient=patient, follow_up=0)
    body = draw_body(visit, stream_of_body(settings, patient), 1.0)
    rng = np.random.default_rng([settings.seed, patient, 3])
    half_width, half_depth = body.half_width + body.wall + 50.0, 5.0 * body.thickness_cm + 50.0
    y, z, x = np.meshgrid(
        np.arange(-_ABOVE_MM, _BELOW_MM, spacing_mm, dtype=np.float32),
        np.arange(-half_depth, half_depth, spacing_mm, dtype=np.float32),
        np.arange(-half_width, half_width, spacing_mm, dtype=np.float32),
        indexing="ij",
    )
    density = _tissue(body, x, y, z)
    density = _lungs(body, density, x, y, z, rng)
    density = _mediastinum(body, density, x, y, z)
    density = _bones(body, density, x, y, z)
    return Solid(np.asarray(gaussian_filter(density, 0.5), dtype=np.float32), spacing_mm)


def project(solid: Solid, degrees: float) -> Field:
    """Draw a radiograph of the volume in parallel beams.

    Args:
        solid: The thorax.
        degrees: Turn of the patient about the long axis: 0 frontal, 90 and 270 lateral.

    Returns:
        float32, shape (down, across), range [0, 1]: the water along each beam, bright = dense.
    """
    turned = rotate(solid.density, degrees, axes=(1, 2), order=1, reshape=True)
    depth_cm = np.maximum(turned.sum(axis=1) * (solid.spacing_mm / 10.0), 0.0)
    low, high = np.percentile(depth_cm[depth_cm > 1.0], (1.0, 99.0))
    return np.asarray(np.clip((depth_cm - low) / (high - low), 0.0, 1.0), dtype=np.float32)


def slice_of(
    solid: Solid, plane: Plane, at: float, *, window: tuple[float, float] = (-600.0, 1500.0)
) -> Field:
    """Cut a slice as computed tomography shows it.

    Args:
        solid: The thorax.
        plane: Across which axis.
        at: Where along that axis, from 0 to 1.
        window: Centre and width in Hounsfield units.

    Returns:
        float32, range [0, 1]: rows run from front to back in an axial slice, else from the head
        down.
    """
    axis = ("axial", "coronal", "sagittal").index(plane)
    position = round(at * (solid.density.shape[axis] - 1))
    hounsfield = 1000.0 * (np.take(solid.density, position, axis=axis) - 1.0)
    centre, width = window
    return np.asarray(np.clip((hounsfield - centre) / width + 0.5, 0.0, 1.0), dtype=np.float32)


def deform(solid: Solid, rng: np.random.Generator, *, largest_mm: float = 14.0) -> Solid:
    """Bend a volume smoothly and stretch its axes: another patient of the same make.

    Args:
        solid: Any volume, the phantom's or a patient's.
        rng: Source of chance.
        largest_mm: Deviation of the shifts.

    Returns:
        The same number of voxels.
    """
    shape = solid.density.shape
    grid = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
    places = []
    for axis, n in enumerate(shape):
        coarse = gaussian_filter(rng.standard_normal((9, 9, 9)), 1.0) * 3.5
        at = [g * np.float32(8.0 / (m - 1)) for g, m in zip(grid, shape, strict=True)]
        shift = map_coordinates(coarse.astype(np.float32), at, order=1) * (largest_mm / 3.0)
        zoom = np.exp(rng.uniform(-0.18, 0.18))
        middle = 0.5 * (n - 1)
        places.append((grid[axis] - middle) * zoom + middle + shift / solid.spacing_mm)
    moved = map_coordinates(solid.density, places, order=1, cval=0.0)
    return Solid(np.asarray(moved, dtype=np.float32), solid.spacing_mm)


def _ellipse(x: Field, z: Field, half_x: Field, half_z: Field | float, power: float) -> Field:
    across = np.abs(x) / np.maximum(half_x, 1.0)
    along = np.abs(z) / np.maximum(half_z, 1.0)
    return np.asarray(across**power + along**power, dtype=np.float32)


def _half_depth(body: Body) -> float:
    """Half the antero-posterior thickness in mm."""
    return 5.0 * body.thickness_cm


def _tissue(body: Body, x: Field, y: Field, z: Field) -> Field:
    torso = body.half_width + body.wall
    half_x = profile(
        y, [-110.0, -45.0, -10.0, 40.0, 120.0, 360.0],
        [58.0, 62.0, 150.0, torso + 24.0, torso, torso - 4.0],
    )  # fmt: skip
    depth = _half_depth(body)
    half_z = profile(
        y, [-110.0, -45.0, 0.0, 70.0, 200.0, 360.0],
        [52.0, 54.0, 0.62 * depth, 0.92 * depth, depth, 1.05 * depth],
    )  # fmt: skip
    density = (_ellipse(x, z, half_x, half_z, 2.4) < 1.0).astype(np.float32)
    if body.breast > 0:
        centre, half = 0.52 * body.half_width, 0.45 * body.half_width
        radius = (
            ((np.abs(x) - centre) / half) ** 2
            + ((y - 0.78 * body.height) / (0.26 * body.height)) ** 2
            + ((z + 0.92 * depth) / (8.0 * body.breast + 14.0)) ** 2
        )
        density[(radius < 1.0) & (z < -0.4 * depth)] = 0.95
    return density


def _lungs(
    body: Body, density: Field, x: Field, y: Field, z: Field, rng: np.random.Generator
) -> Field:
    """Air within the rib cage, beside the mediastinum and above the diaphragm, with vessels."""
    cage_z = np.maximum(_half_depth(body) - 0.8 * body.wall - 6.0, 45.0)
    tall = np.sqrt(np.clip(y / (0.45 * body.height), 0.0, 1.0))
    cage = _ellipse(x, z, wall_at(body, y), cage_z * (0.45 + 0.55 * tall), 2.3) < 1.0
    vessels = gaussian_filter(rng.standard_normal(x.shape).astype(np.float32), 1.3)
    vessels = np.maximum(vessels / vessels.std() - 1.5, 0.0)
    for sign in (-1, 1):
        lateral = sign * x
        back = np.clip((z + 0.2 * cage_z) / (1.2 * cage_z), 0.0, 1.0)
        front = np.clip((-z - 0.3 * cage_z) / (0.7 * cage_z), 0.0, 1.0)
        dome = dome_at(body, sign, x) + 62.0 * back**1.6 + 22.0 * front**2
        # The lungs meet in front of the heart and reach back beside the spine.
        nearer = np.where(z > 0.45 * cage_z, 20.0, border_at(body, sign, y))
        air = cage & (lateral > nearer * np.where(z < -0.75 * cage_z, 0.35, 1.0)) & (y > 0)
        air &= y < dome
        hilum = np.exp(-((lateral - 35.0) ** 2 + (y - 0.48 * body.height) ** 2 + z**2) / 4500.0)
        filling = 1.0 - body.lung_air + 0.5 * vessels * (0.35 + hilum) + 0.25 * hilum
        density = np.where(air, np.minimum(filling, 1.0), density).astype(np.float32)
    return density


def _mediastinum(body: Body, density: Field, x: Field, y: Field, z: Field) -> Field:
    depth = _half_depth(body)
    width = 2.0 * body.half_width * body.cardiothoracic_ratio
    centre_x, centre_y = heart_centre(body)
    dx, dy, dz = x - centre_x, y - centre_y, z + 0.25 * depth
    heart = (dx / (0.5 * width)) ** 2 + ((dy - 0.2 * dx) / (0.38 * width)) ** 2
    heart = heart + (dz / (0.36 * width)) ** 2
    arch_y, radius = 0.34 * body.height, 0.30 * depth
    along = np.hypot(y - arch_y, z - 0.05 * depth)
    arch = (np.hypot(along - radius, x - 10.0) < body.knob) & (y < arch_y)
    descending = np.hypot(x - 22.0, z - 0.05 * depth - radius) < 0.8 * body.knob
    descending &= (y >= arch_y) & (y < body.height + 80.0)
    ascending = (np.hypot(x + 12.0, z - 0.05 * depth + radius) < body.knob) & (y > arch_y)
    ascending &= y < centre_y
    blood: Region = (heart < 1.0) | arch | descending | ascending
    density = np.where(blood, 1.05, density).astype(np.float32)
    windpipe = np.hypot(x - body.tracheal_shift, z - 0.12 * depth) < 9.0
    density[windpipe & (y < 0.36 * body.height)] = 0.0
    if body.stomach_bubble:
        top = body.height + body.dome_drop + 14.0
        gas = ((x - 0.45 * body.half_width) / 42.0) ** 2 + ((y - top - 18.0) / 22.0) ** 2
        density[(gas + ((z + 0.3 * depth) / 45.0) ** 2) < 1.0] = 0.0
    return density


def _bones(body: Body, density: Field, x: Field, y: Field, z: Field) -> Field:
    depth = _half_depth(body)
    spine_z = 0.55 * depth
    disc = np.abs(np.mod(y, 24.0) - 12.0) > 9.5
    vertebra = ((x / 19.0) ** 2 + ((z - spine_z) / 17.0) ** 2) < 1.0
    bone = np.where(vertebra & ~disc, 1.45, 0.0)
    process = (np.abs(x) < 5.0) & (z > spine_z) & (z < 0.9 * depth)
    bone = np.maximum(bone, np.where(process & (np.mod(y + 0.4 * z, 24.0) < 13.0), 1.4, 0.0))
    cage_z = np.maximum(depth - 0.8 * body.wall - 6.0, 45.0)
    half = wall_at(body, y)
    shell = _ellipse(x, z, half + 7.0, cage_z + 7.0, 2.3)
    inner = _ellipse(x, z, half, cage_z, 2.3)
    falling = y - body.rib_slope * 0.5 * (1.0 - z / cage_z)
    rib = (shell < 1.0) & (inner >= 1.0) & (np.mod(falling, body.rib_spacing) < 9.0)
    rib &= (y > 4.0) & (y < body.height + 70.0)
    bone = np.maximum(bone, np.where(rib, 1.5, 0.0))
    sternum = (np.abs(x) < 18.0) & (np.abs(z + 0.90 * depth) < 6.0) & (y > 25.0) & (y < 190.0)
    bone = np.maximum(bone, np.where(sternum, 1.35, 0.0))
    blade = (np.abs(np.abs(x) - 105.0 + 0.2 * y) < 36.0) & (np.abs(z - 0.80 * depth) < 4.0)
    blade &= (y > -5.0) & (y < 125.0)
    bone = np.maximum(bone, np.where(blade, 1.4, 0.0))
    inside = density > 0.0
    return np.where(inside & (bone > 0.0), bone, density).astype(np.float32)
