"""Airspace: findings that fill alveoli (infiltration, pneumonia, consolidation, oedema)."""

from __future__ import annotations

import numpy as np

from monai_cxr.phantom.anatomy import Lung, Thorax, lung_point
from monai_cxr.phantom.grid import Field, smooth_step
from monai_cxr.phantom.pathology.lesion import Lesion, blob, draw_side, lung_of, noise, visible


def draw_infiltration(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """Several faint, ill-defined, mottled patches in one lung or both."""
    sign = draw_side(rng)
    sides = (sign, -sign) if rng.random() < 0.45 else (sign,)
    mottle = noise(thorax, rng, 8.0)
    filling = np.zeros_like(thorax.x)
    for side in sides:
        zone = rng.uniform(0.3, 0.8)
        for _ in range(int(rng.integers(4, 7))):
            centre = lung_point(
                thorax.body,
                side,
                rng.uniform(0.15, 0.85),
                float(np.clip(rng.normal(zone, 0.16), 0.15, 0.92)),
            )
            size = rng.uniform(10.0, 19.0)
            radius = blob(thorax, centre, (size * 1.2, size))
            patch = np.exp(-(radius**2)) * np.float32(rng.uniform(0.6, 1.0))
            filling = np.maximum(filling, patch)
    filling = filling * np.float32(0.30 + 0.24 * severity) * (1.0 + 0.20 * mottle)
    filling = np.clip(filling, 0.0, 0.85)
    where = thorax.right.region | thorax.left.region
    return Lesion(mask=visible(filling, where, 0.3), filling=np.asarray(filling, np.float32))


def draw_pneumonia(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """One dense segmental patch with a frayed edge and air bronchograms."""
    sign = draw_side(rng, 0.55)
    centre = lung_point(thorax.body, sign, rng.uniform(0.25, 0.7), rng.uniform(0.3, 0.85))
    size = 26.0 + 20.0 * severity
    rough = 0.24 * noise(thorax, rng, 22.0) + 0.08 * noise(thorax, rng, 8.0)
    radius = blob(
        thorax, centre, (size * rng.uniform(0.9, 1.3), size * rng.uniform(0.7, 1.0)),
        angle=rng.uniform(-1.0, 1.0), roughness=rough,
    )  # fmt: skip
    core = smooth_step(radius, 1.25, 0.45)
    filling = core * np.float32(0.36 + 0.20 * severity)
    return _in_lung(lung_of(thorax, sign), core, filling, 0.35)


def draw_consolidation(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """A homogeneous lobe, cut straight by its fissure, with air bronchograms."""
    sign = draw_side(rng, 0.55)
    height = thorax.body.height
    upper = rng.random() < 0.5
    tilt, bend = rng.uniform(-0.12, 0.12), rng.uniform(-4.0, 7.0)
    fissure = height * (rng.uniform(0.44, 0.54) if upper else rng.uniform(0.50, 0.60))
    lateral = sign * thorax.x
    line = thorax.y - np.float32(fissure) - np.float32(tilt) * (lateral - 70.0)
    line = line + np.float32(bend) * ((lateral - 70.0) / 50.0) ** 2
    beyond = -line if upper else line
    extent = (0.26 + 0.24 * severity) * height
    wobble = 9.0 * noise(thorax, rng, 22.0)
    core = smooth_step(beyond, -1.0, 1.5) * smooth_step(beyond + wobble, extent + 14.0, extent - 14)
    inner = rng.uniform(20.0, 40.0)
    core = core * smooth_step(lateral, inner - 14.0, inner + 10.0)
    filling = core * np.float32(0.46 + 0.20 * severity)
    return _in_lung(lung_of(thorax, sign), core, filling, 0.4)


def _in_lung(lung: Lung, core: Field, filling: Field, share: float) -> Lesion:
    """What of a filling lies in a lung, with air bronchograms in its core."""
    return Lesion(
        mask=visible(filling, lung.region, share),
        filling=np.where(lung.depth_cm > 0, filling, 0.0).astype(np.float32),
        bronchogram=core,
    )


def draw_edema(thorax: Thorax, severity: float, rng: np.random.Generator) -> Lesion:
    """Bat-wing haze around both hila, Kerley B lines, wide upper vessels."""
    body = thorax.body
    hilum = 0.44 * body.height
    spread = (0.42 + 0.1 * severity) * body.half_width
    centre = 0.30 * body.half_width
    radius = np.sqrt(
        ((np.abs(thorax.x) - centre) / spread) ** 2
        + ((thorax.y - hilum - 8.0) / (0.30 * body.height)) ** 2
    )
    haze = np.exp(-(radius**3)) * (1.0 + 0.20 * noise(thorax, rng, 10.0))
    haze = haze * np.float32(0.20 + 0.24 * severity)
    lines = _kerley_lines(thorax, rng)
    filling = np.clip(np.maximum(haze, 0.0), 0.0, 0.9).astype(np.float32)
    upper = smooth_step(thorax.y, 0.5 * body.height, 0.25 * body.height)
    where = thorax.right.region | thorax.left.region
    return Lesion(
        mask=visible(filling, where, 0.35),
        filling=filling,
        added_cm=np.asarray(lines * np.float32(0.6 + 0.5 * severity), dtype=np.float32),
        vessels=np.asarray(1.0 + 0.9 * upper, dtype=np.float32),
    )


def _kerley_lines(thorax: Thorax, rng: np.random.Generator) -> Field:
    """Short horizontal lines that reach the pleura above both costophrenic angles."""
    lines = np.zeros_like(thorax.x)
    pitch = rng.uniform(9.0, 12.0)
    for lung in thorax.lungs:
        phase = (thorax.y + 0.10 * lung.sign * thorax.x) / pitch + rng.random()
        ridge = np.exp(-(((phase - np.round(phase)) * pitch / 1.8) ** 2))
        reach = smooth_step(lung.from_wall, 26.0, 18.0) * smooth_step(lung.from_wall, 0.5, 2.0)
        band = smooth_step(thorax.y, 0.55 * thorax.body.height, 0.68 * thorax.body.height)
        lines += ridge * reach * band * lung.region
    return np.asarray(lines, dtype=np.float32)
