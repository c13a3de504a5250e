"""Anatomy: lungs, heart, diaphragm and body as maps of length along the X-ray beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cxr.phantom.body import Body, Pose
from monai_cxr.phantom.grid import Field, Region, profile, round_edge, smooth_step

_APEX_POWER = 2.4
_LUNG_DEPTH_CM = 15.0
_HEART_DEPTH_CM = 11.0


@dataclass(frozen=True, slots=True)
class Lung:
    """One lung on the working grid.

    Attributes:
        sign: -1 for the right lung (left on the film), +1 for the left.
        depth_cm: Length of the beam in the lung, 0 outside.
        region: Where the lung is seen, without its part behind the diaphragm and the heart.
        from_wall: Distance in mm from the inner chest wall, positive inside.
        above_dome: Height in mm above the hemidiaphragm, negative below.
        from_midline: Distance in mm from the mediastinal border, positive inside.
    """

    sign: int
    depth_cm: Field
    region: Region
    from_wall: Field
    above_dome: Field
    from_midline: Field


@dataclass(frozen=True, slots=True)
class Thorax:
    """The anatomy of one film on the working grid.

    Attributes:
        body: The measures.
        pose: Place on the film, in full-resolution pixels.
        x: mm to the patient's left of the midline.
        y: mm below the lung apices.
        spacing_mm: Distance between grid points.
        body_cm: Length of the beam in the body, 0 in the air around it.
        heart_cm: Length of the beam in heart and great vessels.
        heart: Silhouette of the heart.
        right: The right lung.
        left: The left lung.
    """

    body: Body
    pose: Pose
    x: Field
    y: Field
    spacing_mm: float
    body_cm: Field
    heart_cm: Field
    heart: Region
    right: Lung
    left: Lung

    @property
    def lungs(self) -> tuple[Lung, Lung]:
        """(right, left)."""
        return self.right, self.left


def build_thorax(body: Body, pose: Pose) -> Thorax:
    """Compute the anatomy's maps at half the film's resolution.

    Args:
        body: Measures of the patient, changed by what is there.
        pose: Place on the film.

    Returns:
        Maps of shape (rows / 2, columns / 2).
    """
    x, y = _positions(body, pose)
    heart_cm, heart = _heart(body, x, y)
    right = _lung(body, -1, x, y, heart_cm)
    left = _lung(body, 1, x, y, heart_cm)
    return Thorax(
        body=body, pose=pose, x=x, y=y, spacing_mm=2.0 * pose.spacing_mm,
        body_cm=_soft_tissue(body, x, y), heart_cm=heart_cm, heart=heart, right=right, left=left,
    )  # fmt: skip


def wall_at(body: Body, y: Field | float) -> Field:
    """Half the inner width of the rib cage in mm at height ``y``."""
    t = np.clip(np.asarray(y, dtype=np.float32) / np.float32(0.86 * body.height), 0.0, 1.0)
    taper = 1.0 - 0.05 * np.clip((np.asarray(y) - body.height) / 60.0, 0.0, 1.0)
    shape = np.sqrt(np.maximum(1.0 - (1.0 - t) ** _APEX_POWER, 0.0))
    return np.asarray(body.half_width * shape * taper, dtype=np.float32)


def border_at(body: Body, sign: int, y: Field | float) -> Field:
    """Distance in mm of the mediastinal border from the midline at height ``y``."""
    knots = [-0.3, 0.0, 0.15, 0.3, 0.45, 0.6, 1.0, 1.3]
    widths = [30, 24, 24, 27, 29, 26, 24, 22] if sign < 0 else [30, 22, 22, 25, 28, 25, 22, 20]
    shift = (
        sign
        * body.tracheal_shift
        * np.clip(1.2 - np.asarray(y, dtype=np.float32) / body.height, 0.0, 1.0)
    )
    relative = np.asarray(np.asarray(y) / body.height, dtype=np.float32)
    return np.asarray(profile(relative, knots, widths) + shift, dtype=np.float32)


def dome_at(body: Body, sign: int, x: Field | float) -> Field:
    """Height in mm of the hemidiaphragm's silhouette at lateral position ``x``."""
    top = body.height + (body.dome_drop if sign > 0 else 0.0) - body.raised[(sign + 1) // 2]
    centre, half = 0.46 * body.half_width, 0.60 * body.half_width
    away = (sign * np.asarray(x, dtype=np.float32) - centre) / half
    # Laterally the dome falls to the costophrenic angle, medially it stays higher.
    fall = np.where(away > 0, away**2, 0.5 * away**2)
    return np.asarray(top + body.dome * np.minimum(fall, 1.6), dtype=np.float32)


def heart_centre(body: Body) -> tuple[float, float]:
    """(x, y) of the heart in mm."""
    width = 2.0 * body.half_width * body.cardiothoracic_ratio
    top_left = body.height + body.dome_drop
    return 0.13 * width, top_left + 4.0 - 0.37 * width


def lung_point(body: Body, sign: int, across: float, down: float) -> tuple[float, float]:
    """A place in a lung.

    Args:
        body: The measures.
        sign: -1 right, +1 left.
        across: 0 at the mediastinum or heart, 1 at the chest wall.
        down: 0 at the apex, 1 at the diaphragm.

    Returns:
        (x, y) in mm.
    """
    y = 8.0 + down * (float(dome_at(body, sign, 0.6 * sign * body.half_width)) - 8.0)
    width = 2.0 * body.half_width * body.cardiothoracic_ratio
    heart_x, heart_y = heart_centre(body)
    inner = float(border_at(body, sign, y))
    reach = 1.0 - ((y - heart_y) / (0.45 * width)) ** 2
    if reach > 0:
        edge = sign * heart_x + (0.49 if sign > 0 else 0.5) * width * reach**0.5
        inner = max(inner, edge)
    outer = float(wall_at(body, y))
    return sign * (inner + across * (outer - inner)), y


def _positions(body: Body, pose: Pose) -> tuple[Field, Field]:
    rows = (2.0 * np.arange(pose.rows // 2, dtype=np.float32) + 0.5 - pose.centre[0])[:, None]
    columns = (2.0 * np.arange(pose.columns // 2, dtype=np.float32) + 0.5 - pose.centre[1])[None]
    cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    mm = np.float32(pose.spacing_mm)
    x = (columns * cos + rows * sin) * mm
    y = (rows * cos - columns * sin) * mm + np.float32(0.56 * body.height)
    return np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)


def _lung(body: Body, sign: int, x: Field, y: Field, heart_cm: Field) -> Lung:
    lateral = sign * x
    wall = wall_at(body, y)
    slope = (wall_at(body, y + 2.0) - wall_at(body, y - 2.0)) / 4.0
    from_wall = (wall - lateral) / np.sqrt(1.0 + np.minimum(slope, 4.0) ** 2)
    from_midline = lateral - border_at(body, sign, y)
    above = dome_at(body, sign, x) - y
    depth = round_edge(from_wall, 46.0) * round_edge(from_midline, 20.0)
    # Behind the dome the lung reaches deep into the posterior recess.
    recess = 0.42 * np.exp(np.minimum(above, 0.0) / 16.0)
    over = smooth_step(above, -1.5, 1.5)
    behind = over + (1.0 - over) * recess
    depth = np.where((y > 0) & (from_wall > 0) & (from_midline > 0), depth * behind, 0.0)
    region = (depth > 0) & (above > 0) & (heart_cm < 1.5)
    return Lung(
        sign=sign,
        depth_cm=np.asarray(_LUNG_DEPTH_CM * depth, dtype=np.float32),
        region=region,
        from_wall=np.asarray(from_wall, dtype=np.float32),
        above_dome=np.asarray(above, dtype=np.float32),
        from_midline=np.asarray(from_midline, dtype=np.float32),
    )


def _heart(body: Body, x: Field, y: Field) -> tuple[Field, Region]:
    width = 2.0 * body.half_width * body.cardiothoracic_ratio
    centre_x, centre_y = heart_centre(body)
    shift = body.tracheal_shift * 0.7
    ventricle = ellipse(
        x, y, (centre_x + 0.02 * width, centre_y), (0.52 * width, 0.34 * width), 0.72
    )
    atrium = ellipse(x, y, (-0.12 * width, centre_y + 4.0), (0.25 * width, 0.38 * width), -0.12)
    outflow = ellipse(
        x, y, (0.07 * width, centre_y - 0.26 * width), (0.30 * width, 0.34 * width), -0.25
    )
    trunk = ellipse(x, y, (17.0 + shift, 0.44 * body.height), (21.0, 34.0), -0.12)
    ascending = ellipse(x, y, (-13.0 + shift, 0.42 * body.height), (19.0, 50.0), 0.0)
    knob = ellipse(x, y, (21.0 + shift, 0.27 * body.height), (body.knob, body.knob * 1.15), 0.0)
    # A soft union: chambers and vessels meet in smooth borders.
    sharpness = np.float32(5.0)
    union = (
        -np.log(
            sum(
                np.exp(-sharpness * part) for part in (ventricle, atrium, outflow, trunk, ascending)
            )
            + 1e-20
        )
        / sharpness
    )
    cm = _HEART_DEPTH_CM * np.sqrt(np.maximum(1.0 - union, 0.0))
    knob_cm = 8.0 * np.sqrt(np.maximum(1.0 - knob, 0.0))
    silhouette = np.minimum(ventricle, atrium) < 1.0
    return np.asarray(np.maximum(cm, knob_cm), dtype=np.float32), silhouette


def ellipse(
    x: Field, y: Field, centre: tuple[float, float], axes: tuple[float, float], angle: float
) -> Field:
    """Squared radius in units of an ellipse's own: below 1 inside.

    Args:
        x: mm.
        y: mm.
        centre: (x, y) in mm.
        axes: Half axes in mm before rotation.
        angle: Rotation in radians, positive clockwise on the film.

    Returns:
        float32, at least 0.
    """
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u = (dx * cos + dy * sin) / np.float32(axes[0])
    v = (dy * cos - dx * sin) / np.float32(axes[1])
    return np.asarray(u * u + v * v, dtype=np.float32)


def _soft_tissue(body: Body, x: Field, y: Field) -> Field:
    torso = body.half_width + body.wall
    knots = [-160.0, -60.0, -38.0, -12.0, 25.0, 70.0, 120.0, 190.0, 300.0, 420.0]
    half = [58.0, 58.0, 75.0, 150.0, 205.0, 215.0, torso + 30, torso + 8, torso, torso + 6]
    relative = np.abs(x) / profile(y, knots, half)
    thickness = profile(
        y, [-160.0, -50.0, 0.0, 60.0, 200.0, 320.0],
        [11.0, 12.0, 13.5, body.thickness_cm * 0.9, body.thickness_cm, body.thickness_cm * 1.08],
    )  # fmt: skip
    cm = thickness * np.sqrt(np.maximum(1.0 - relative**3, 0.0))
    arm = _capsule(x, y, (196.0, 20.0), (body.half_width + 105.0, 260.0), 40.0)
    cm = np.maximum(cm, 8.0 * arm)
    if body.breast > 0:
        for side in (-1, 1):
            r = ellipse(x, y, (side * 0.56 * body.half_width, 0.76 * body.height),
                        (0.50 * body.half_width, 0.27 * body.height), side * -0.25)  # fmt: skip
            cm = cm + body.breast * np.sqrt(np.maximum(1.0 - r, 0.0)) * smooth_step(
                y, 0.50 * body.height, 0.85 * body.height
            )
    else:
        pectoral = smooth_step(y, 0.62 * body.height, 0.45 * body.height)
        cm = cm + 0.8 * pectoral * smooth_step(np.abs(x), 45.0, 80.0) * (cm > 0)
    return np.asarray(cm, dtype=np.float32)


def stomach_cm(thorax: Thorax) -> Field:
    """Gas in the stomach along the beam in cm, under the left hemidiaphragm."""
    body = thorax.body
    if not body.stomach_bubble:
        return np.zeros_like(thorax.x)
    place = 0.50 * body.half_width
    top = float(dome_at(body, 1, place)) + 9.0
    radius = ellipse(thorax.x, thorax.y, (place, top + 20.0), (34.0, 20.0), 0.1)
    gas = np.sqrt(np.maximum(1.0 - radius, 0.0)) * smooth_step(thorax.y, top + 28.0, top + 26.0)
    return np.asarray(4.5 * gas, dtype=np.float32)


def _capsule(
    x: Field, y: Field, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Field:
    ax, ay = end[0] - start[0], end[1] - start[1]
    dx, dy = np.abs(x) - np.float32(start[0]), y - np.float32(start[1])
    t = np.clip((dx * ax + dy * ay) / (ax * ax + ay * ay), 0.0, 1.0)
    squared = ((dx - t * ax) ** 2 + (dy - t * ay) ** 2) / radius**2
    return np.asarray(np.sqrt(np.maximum(1.0 - squared, 0.0)), dtype=np.float32)
