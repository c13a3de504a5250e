"""Focal: round things (mass, nodule, hiatal hernia) and the large heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monai_cxr.phantom.anatomy import Thorax, lung_point
from monai_cxr.phantom.body import Body
from monai_cxr.phantom.grid import Field, smooth_step
from monai_cxr.phantom.pathology.lesion import (
    Lesion,
    ball,
    blob,
    draw_side,
    lung_of,
    noise,
    visible,
)

_PART_SOLID, _CALCIFIED = 0.2, 0.85
"""Shares of nodules up to which they are part-solid, and from which they are calcified."""


def draw_mass(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """A lobulated or spiculated ball of more than 3 cm."""
    sign = draw_side(rng)
    centre = lung_point(thorax.body, sign, rng.uniform(0.25, 0.75), rng.uniform(0.2, 0.8))
    size = 17.0 + 17.0 * severity
    lobes = 0.13 * noise(thorax, rng, 0.9 * size) + 0.03 * noise(thorax, rng, 0.3 * size)
    axes = (size * rng.uniform(0.9, 1.15), size)
    radius = blob(thorax, centre, axes, angle=rng.uniform(-1.5, 1.5), roughness=lobes)
    texture = 1.0 + 0.08 * noise(thorax, rng, 0.4 * size)
    edge = smooth_step(radius, 1.12, 0.86)
    cm = 0.2 * size * ball(np.asarray(0.93 * radius, dtype=np.float32)) * edge * texture
    if rng.random() < 0.5:
        turn = np.arctan2(thorax.y - centre[1], thorax.x - centre[0])
        rays = np.maximum(np.cos(turn * int(rng.integers(9, 14)) + rng.uniform(0, 6)), 0.0) ** 6
        cm = cm + 0.9 * rays * smooth_step(radius, 1.5, 0.95) * smooth_step(radius, 0.8, 1.0)
    seen = lung_of(thorax, sign).depth_cm > 0
    return Lesion(
        mask=np.asarray((radius < 1.0) & seen, dtype=np.bool_),
        added_cm=np.asarray(cm * seen, dtype=np.float32),
    )


def draw_nodule(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """One to four nodules of less than 3 cm, of uneven outline and density, vessels through them.

    Most are solid soft tissue, some part-solid with a hazy rim, the smaller ones may be calcified.
    """
    cm = np.zeros_like(thorax.x)
    mask = np.zeros(thorax.x.shape, dtype=np.bool_)
    for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.3, 0.3, 0.25, 0.15]))):
        sign = draw_side(rng)
        centre = lung_point(thorax.body, sign, rng.uniform(0.2, 0.82), rng.uniform(0.15, 0.88))
        size = (7.2 + 6.8 * severity) * rng.uniform(0.75, 1.08)
        kind = rng.random()
        cm = np.maximum(cm, _nodule_cm(thorax, centre, size, kind, rng))
        outline = blob(thorax, centre, (size, size))
        reach = max(1.0, 0.8 * thorax.spacing_mm / size)
        mask |= (outline < reach) & (lung_of(thorax, sign).depth_cm > 0)
    lungs = (thorax.right.depth_cm + thorax.left.depth_cm) > 0
    return Lesion(mask=mask, added_cm=np.asarray(cm * lungs, dtype=np.float32))


def _nodule_cm(
    thorax: Thorax, centre: tuple[float, float], size: float, kind: float, rng: np.random.Generator
) -> Field:
    """Water along the beam of one nodule, with what is dense about its kind."""
    angle = float(rng.uniform(-1.6, 1.6))
    flat = float(rng.uniform(0.78, 1.0))
    lobes = 0.10 * noise(thorax, rng, 0.9 * size) + 0.03 * noise(thorax, rng, 0.4 * size)
    radius = blob(thorax, centre, (size, size * flat), angle=angle, roughness=lobes)
    edge = rng.uniform(0.15, 0.35)
    body = ball(np.asarray(0.94 * radius, dtype=np.float32)) * smooth_step(
        radius, 1.0 + edge, 1.0 - edge
    )
    texture = 1.0 + 0.10 * noise(thorax, rng, 0.6 * size)
    cm = 0.2 * size * body * texture
    if kind < _PART_SOLID:
        halo = np.exp(-((radius / 1.25) ** 2))
        return np.asarray(1.3 * cm * smooth_step(radius, 0.9, 0.4) + 0.10 * size * halo)
    if kind > _CALCIFIED:
        core = blob(thorax, centre, (0.7 * size, 0.7 * size * flat), angle=angle, roughness=lobes)
        return np.asarray(1.5 * cm + 0.2 * size * ball(core) ** 2)
    tail = np.arctan2(thorax.y - centre[1], thorax.x - centre[0])
    strands = np.maximum(np.cos(tail * int(rng.integers(3, 6)) + rng.uniform(0, 6)), 0.0) ** 8
    outside = smooth_step(radius, 1.7, 1.0) * smooth_step(radius, 0.8, 1.0)
    return np.asarray(1.75 * cm + 0.03 * size * strands * outside)


def draw_hernia(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """Stomach behind the heart: a round wall, fluid below a level, gas above it."""
    body = thorax.body
    size = 32.0 + 18.0 * severity
    centre = (float(rng.uniform(-24.0, 38.0)), body.height - 0.30 * size + rng.uniform(-4.0, 8.0))
    radius = blob(
        thorax, centre, (size * 1.12, size), roughness=0.04 * noise(thorax, rng, 20.0)
    )  # fmt: skip
    level = centre[1] + size * rng.uniform(-0.20, 0.50)
    tilt = rng.normal(0.0, 0.02)
    fluid = smooth_step(thorax.y - level + np.float32(tilt) * thorax.x, -1.0, 1.0)
    inside = ball(radius)
    rim = np.exp(-(((radius - 0.97) * size / 2.4) ** 2))
    cm = inside * (1.5 * fluid - 5.2 * (1.0 - fluid)) + 1.0 * rim
    return Lesion(
        mask=np.asarray(radius < 1.04, dtype=np.bool_),
        filling=np.asarray(smooth_step(radius, 1.03, 0.97), dtype=np.float32),
        added_cm=np.asarray(cm, dtype=np.float32),
    )


def alter_for_cardiomegaly(body: Body, severity: float, rng: np.random.Generator) -> Body:
    """Widen the heart beyond half of the thorax."""
    return replace(body, cardiothoracic_ratio=0.54 + 0.13 * severity)


def draw_cardiomegaly(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """The heart is already large; mark its silhouette."""
    above = (thorax.right.above_dome > -8.0) & (thorax.left.above_dome > -8.0)
    return Lesion(mask=visible(thorax.heart_cm, thorax.heart & above, 0.01))
