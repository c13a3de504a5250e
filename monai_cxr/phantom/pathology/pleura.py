"""Pleura: findings between lung and chest wall (effusion, pneumothorax, thickening)."""

from __future__ import annotations

import numpy as np

from monai_cxr.phantom.anatomy import Lung, Thorax
from monai_cxr.phantom.grid import Field, Region, smooth_step
from monai_cxr.phantom.pathology.lesion import Lesion, draw_side, lung_of, noise, visible


def draw_effusion(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """Fluid that blunts the costophrenic angle and climbs the chest wall in a meniscus."""
    sign = draw_side(rng)
    sides = (sign, -sign) if rng.random() < 0.25 else (sign,)
    filling = np.zeros_like(thorax.x)
    mask = np.zeros(thorax.x.shape, dtype=np.bool_)
    added = np.zeros_like(thorax.x)
    for side in sides:
        lung = lung_of(thorax, side)
        height = (24.0 + 104.0 * severity) * (1.0 if side == sign else rng.uniform(0.5, 1.0))
        fluid = _fluid(thorax, lung, height) * (lung.depth_cm > 0)
        filling = np.maximum(filling, fluid)
        added += 0.6 * fluid * lung.region
        mask |= (
            (fluid > 0.5)
            & (lung.from_wall > 0)
            & (lung.from_midline > 0)
            & (lung.above_dome > -6.0)
            & (lung.depth_cm > 0)
        )
    return Lesion(mask=mask, filling=filling, added_cm=added)


def draw_pneumothorax(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """A thin visceral line with no vessels between it and the chest wall."""
    sign = draw_side(rng)
    lung = lung_of(thorax, sign)
    height = thorax.body.height
    width = (13.0 + 40.0 * severity) * (
        0.40 + 0.60 * smooth_step(thorax.y, 0.85 * height, 0.05 * height)
    )
    beyond = np.asarray(lung.from_wall - width, dtype=np.float32)
    free = smooth_step(beyond, 0.8, -0.8) * (lung.depth_cm > 0)
    line = np.exp(-((beyond / 1.7) ** 2)) * lung.region
    # The free space holds air alone; the lung beside it is smaller and so a little denser.
    air = -(1.0 - thorax.body.lung_air) * lung.depth_cm * free
    inner = (lung.depth_cm > 0) * (1.0 - free) * np.float32(0.08 + 0.16 * severity)
    return Lesion(
        mask=np.asarray((beyond < 2.0) & lung.region, dtype=np.bool_),
        filling=np.asarray(inner, dtype=np.float32),
        added_cm=np.asarray(1.2 * line + air, dtype=np.float32),
        vessels=np.asarray(1.0 - free, dtype=np.float32),
    )


def draw_pleural_thickening(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """An apical cap or a lateral band of irregular thickness, at times with chalk in it."""
    sign = draw_side(rng)
    lung = lung_of(thorax, sign)
    height = thorax.body.height
    thick = (12.0 + 13.0 * severity) * (1.0 + 0.33 * noise(thorax, rng, 20.0))
    apical = rng.random() < 0.4
    if apical:
        reach = smooth_step(thorax.y, 0.30 * height, 0.18 * height)
        thick = thick * 1.25
    else:
        top = rng.uniform(0.22, 0.40) * height
        bottom = top + (0.38 + 0.2 * severity) * height
        reach = smooth_step(thorax.y, top, top + 36.0) * smooth_step(
            thorax.y, bottom, bottom - 36.0
        )
    thick = thick * reach
    band = smooth_step(lung.from_wall - thick, 1.5, -1.5) * (thick > 1.5) * (lung.depth_cm > 0)
    chalk = np.exp(-(((lung.from_wall - 0.8 * thick) / 2.2) ** 2)) * band
    chalk = chalk * (noise(thorax, rng, 9.0) > 0.1) * np.float32(rng.random() < 0.75)
    added = 2.3 * band + 2.2 * chalk
    return Lesion(
        mask=_own(band, lung),
        filling=np.asarray((0.40 + 0.16 * severity) * band, dtype=np.float32),
        added_cm=np.asarray(added, dtype=np.float32),
    )


def _fluid(thorax: Thorax, lung: Lung, height: float) -> Field:
    floor = thorax.body.height + thorax.body.dome - thorax.body.raised[(lung.sign + 1) // 2]
    climb = 0.42 + 0.58 * np.exp(-np.maximum(lung.from_wall, 0.0) / 20.0)
    surface = floor + 6.0 - height * climb
    return smooth_step(np.asarray(thorax.y - surface, dtype=np.float32), -4.0, 6.0)


def _own(amount: Field, lung: Lung) -> Region:
    return visible(amount, lung.region, 0.5)
