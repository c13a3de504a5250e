"""Volume: findings that change how much lung there is (atelectasis, emphysema, fibrosis)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from monai_cxr.phantom.anatomy import Thorax, lung_point
from monai_cxr.phantom.body import Body
from monai_cxr.phantom.grid import Field, Region, smooth_step
from monai_cxr.phantom.pathology.lesion import Lesion, blob, draw_side, lung_of, noise, visible

_PLATES, _UPPER_LOBE, _LOWER_LOBE = range(3)


def alter_for_atelectasis(body: Body, severity: float, rng: np.random.Generator) -> Body:
    """Raise the hemidiaphragm; a collapsed lobe also draws the trachea to its side."""
    sign, kind = _atelectasis_kind(rng)
    lift = (6.0 + 12.0 * severity) * (1.0 if kind == _PLATES else 0.8)
    raised = (body.raised[0] + lift * (sign < 0), body.raised[1] + lift * (sign > 0))
    shift = 0.0 if kind == _PLATES else sign * (5.0 + 8.0 * severity)
    return replace(body, raised=raised, tracheal_shift=body.tracheal_shift + shift)


def draw_atelectasis(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """Plate-like bands above the diaphragm, or a collapsed upper or lower lobe."""
    sign, kind = _atelectasis_kind(rng)
    lung = lung_of(thorax, sign)
    if kind == _PLATES:
        filling = _plates(thorax, sign, severity, rng)
        return Lesion(
            mask=visible(filling, lung.region, 0.45),
            filling=np.asarray(filling * 0.55 * (lung.depth_cm > 0), dtype=np.float32),
            added_cm=np.asarray(0.8 * filling * lung.region, dtype=np.float32),
        )
    wedge = _collapsed_lobe(thorax, sign, kind, severity)
    seen = (lung.region | (thorax.heart & (sign * thorax.x > 0))) & (lung.from_midline > 0)
    return Lesion(
        mask=visible(wedge, seen & (lung.above_dome > 0), 0.5),
        filling=np.asarray(
            (0.55 + 0.15 * severity) * wedge * (lung.depth_cm > 0), dtype=np.float32
        ),
        added_cm=np.asarray(1.2 * wedge * seen * (lung.above_dome > 0), dtype=np.float32),
    )


def alter_for_emphysema(body: Body, severity: float, rng: np.random.Generator) -> Body:
    """Overinflate: low flat diaphragm, narrow heart, wide rib spaces, dark lungs."""
    return replace(
        body,
        height=body.height + 10.0 + 16.0 * severity,
        dome=body.dome * (0.5 - 0.3 * severity),
        cardiothoracic_ratio=body.cardiothoracic_ratio * (0.93 - 0.08 * severity),
        rib_spacing=body.rib_spacing + 2.0,
        lung_air=0.80 + 0.07 * severity,
    )


def draw_emphysema(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """Few thin vessels and thin-walled bullae in dark lungs."""
    added = np.zeros_like(thorax.x)
    vessels = np.full_like(thorax.x, 0.55 - 0.3 * severity)
    for _ in range(int(rng.integers(2, 5))):
        sign = draw_side(rng)
        centre = lung_point(thorax.body, sign, rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.6))
        size = rng.uniform(14.0, 26.0)
        radius = blob(
            thorax, centre, (size, size * rng.uniform(0.8, 1.1)),
            roughness=0.05 * noise(thorax, rng, 14.0),
        )  # fmt: skip
        rim = np.exp(-(((radius - 1.0) * size / 1.7) ** 2))
        inside = smooth_step(radius, 1.0, 0.8)
        added += (0.5 * rim - 1.1 * inside) * lung_of(thorax, sign).region
        vessels *= 1.0 - inside
    return Lesion(
        mask=thorax.right.region | thorax.left.region,
        added_cm=np.asarray(added, dtype=np.float32),
        vessels=np.asarray(vessels, dtype=np.float32),
    )


def alter_for_fibrosis(body: Body, severity: float, rng: np.random.Generator) -> Body:
    """Shrink the lungs: both hemidiaphragms rise."""
    lift = 5.0 + 9.0 * severity
    return replace(body, raised=(body.raised[0] + lift, body.raised[1] + lift))


def draw_fibrosis(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """Coarse reticulation and honeycombing, densest at the bases and below the pleura."""
    body = thorax.body
    zone = np.zeros_like(thorax.x)
    for lung in thorax.lungs:
        start = rng.uniform(0.30, 0.55) * body.height
        low = smooth_step(thorax.y + 14.0 * noise(thorax, rng, 40.0), start, start + 70.0)
        depth = 32.0 + 32.0 * severity
        rind = smooth_step(np.minimum(lung.from_wall, lung.above_dome + 14.0), depth, 0.3 * depth)
        zone += low * rind * lung.region
    zone = zone * np.clip(0.75 + 0.3 * noise(thorax, rng, 30.0), 0.2, 1.0)
    walls = _honeycomb(thorax, zone > 0.05, rng.uniform(8.5, 12.5), rng)
    filling = np.clip(zone * (0.10 + (0.34 + 0.18 * severity) * walls), 0.0, 0.95)
    return Lesion(
        mask=visible(zone, thorax.right.region | thorax.left.region, 0.4),
        filling=np.asarray(filling, dtype=np.float32),
        added_cm=np.asarray(0.5 * zone * walls, dtype=np.float32),
    )


def _atelectasis_kind(rng: np.random.Generator) -> tuple[int, int]:
    sign = draw_side(rng)
    return sign, int(rng.choice(3, p=[0.6, 0.2, 0.2]))


def _plates(thorax: Thorax, sign: int, severity: float, rng: np.random.Generator) -> Field:
    plates = np.zeros_like(thorax.x)
    for _ in range(int(rng.integers(2, 4))):
        centre = lung_point(thorax.body, sign, rng.uniform(0.3, 0.65), rng.uniform(0.58, 0.93))
        length = (26.0 + 22.0 * severity) * rng.uniform(0.8, 1.2)
        thick = rng.uniform(2.4, 3.6) + 1.2 * severity
        angle = float(rng.normal(0.0, 0.25))
        dx, dy = thorax.x - np.float32(centre[0]), thorax.y - np.float32(centre[1])
        along = dx * np.float32(np.cos(angle)) + dy * np.float32(np.sin(angle))
        across = dy * np.float32(np.cos(angle)) - dx * np.float32(np.sin(angle))
        across = across + 0.0022 * along**2  # plates are slightly bent
        plate = np.exp(-((across / thick) ** 2)) * smooth_step(np.abs(along), length, 0.75 * length)
        plates = np.maximum(plates, plate)
    return np.asarray(plates, dtype=np.float32)


def _collapsed_lobe(thorax: Thorax, sign: int, kind: int, severity: float) -> Field:
    body = thorax.body
    lateral = sign * thorax.x
    if kind == _UPPER_LOBE:
        # Concave below: the fissure climbs from the hilum to the lateral wall.
        share = np.clip((lateral - 22.0) / (0.75 * body.half_width), 0.0, 1.0)
        edge = body.height * (0.46 - (0.10 + 0.22 * (1.0 - severity)) * share**0.7)
        return smooth_step(thorax.y - edge, 2.0, -2.0)
    top = 0.42 * body.height
    share = np.clip((thorax.y - top) / (1.1 * body.height - top), 0.0, 1.0)
    edge = 22.0 + (0.30 + 0.28 * severity) * body.half_width * share
    below = smooth_step(thorax.y, top, top + 10.0)
    return np.asarray(smooth_step(lateral - edge, 2.0, -2.0) * below, dtype=np.float32)


def _honeycomb(thorax: Thorax, where: Region, cell: float, rng: np.random.Generator) -> Field:
    """Walls between the cells of a jittered lattice, 1 on a wall, 0 inside a cell."""
    walls = np.zeros_like(thorax.x)
    reach = 320.0
    axis = np.arange(-reach, reach, cell)
    lattice = np.stack(np.meshgrid(axis, axis + 150.0), axis=-1).reshape(-1, 2)
    lattice = lattice + rng.uniform(-0.42, 0.42, lattice.shape) * cell
    rows, columns = np.nonzero(where)
    if rows.size:
        warp = 4.0 * noise(thorax, rng, 26.0)[rows, columns]  # cells of uneven size
        points = np.stack([thorax.x[rows, columns] + warp, thorax.y[rows, columns]], axis=1)
        distance, _ = cKDTree(lattice).query(points, k=2)
        gap = np.diff(np.asarray(distance), axis=1)[:, 0]
        walls[rows, columns] = np.exp(-((gap / (0.30 * cell)) ** 2))
    return walls
