"""Skeleton: ribs, spine, clavicles and scapulae as bone along the beam, and the airway."""

from __future__ import annotations

import numpy as np

from monai_cxr.phantom.anatomy import Thorax, wall_at
from monai_cxr.phantom.body import Body
from monai_cxr.phantom.grid import Field, profile, smooth_step

_N_RIBS = 10


def draw_skeleton(thorax: Thorax) -> Field:
    """Bone along the beam.

    Args:
        thorax: The anatomy.

    Returns:
        Centimetres of water that attenuate as much as the bone does.
    """
    bone = _ribs(thorax)
    bone += _spine(thorax)
    bone += _clavicles(thorax)
    bone += _scapulae(thorax)
    return bone


def airway_cm(thorax: Thorax) -> Field:
    """Length of the beam in the air of trachea and main bronchi, in cm."""
    body, y = thorax.body, thorax.y
    carina = 0.34 * body.height
    shift = profile(y, [-60.0, 0.0, carina, 300.0], [0.0, 1.0, 3.0, 3.0])
    x = thorax.x + shift - np.float32(body.tracheal_shift) * smooth_step(y, -60.0, 50.0)
    trachea = _tube(x, 8.5) * smooth_step(y, carina + 8.0, carina - 4.0)
    below = np.maximum(y - np.float32(carina), 0.0)
    ends = smooth_step(below, 42.0, 22.0) * (y > carina - 6.0)
    right = _tube((x + 0.62 * below) * 0.85, 6.0) * ends
    left = _tube((x - 1.05 * below) * 0.70, 5.5) * ends
    air = 2.2 * trachea + 1.3 * np.maximum(right, left)
    return np.asarray(air, dtype=np.float32)


def _tube(distance: Field, radius: float) -> Field:
    chord = np.sqrt(np.maximum(1.0 - (distance / np.float32(radius)) ** 2, 0.0))
    return np.asarray(chord, dtype=np.float32)


def _hollow(distance: Field, radius: float, marrow: float) -> Field:
    """Chord of a bone with a dense cortex and a marrow of relative radius ``marrow``."""
    cortex = _tube(distance, radius)
    return np.asarray(cortex - 0.75 * marrow * _tube(distance, radius * marrow), dtype=np.float32)


def _ribs(thorax: Thorax) -> Field:
    """Each rib is an inclined hoop: half an ellipse behind, a broader half in front."""
    body = thorax.body
    bone = np.zeros_like(thorax.x)
    lateral = np.abs(thorax.x) + np.float32(2.5 * thorax.pose.turn) * np.sign(thorax.x)
    for number in range(_N_RIBS):
        start = -14.0 + body.rib_spacing * number
        drop = body.rib_slope * (0.55 + 0.09 * min(number, 6))
        level = start + 0.5 * drop
        width = float(wall_at(body, max(level + 6.0, 14.0))) + 3.0
        rows = _rows(thorax.y, start - 12.0, start + drop + 14.0)
        if rows is None:
            continue
        x, y = lateral[rows], thorax.y[rows] - np.float32(level)
        bone[rows] += _hoop(x, y, width, 0.5 * drop)
    return bone


def _hoop(x: Field, y: Field, width: float, half_drop: float) -> Field:
    u, v = x / np.float32(width), y / np.float32(half_drop)
    squared = u * u + v * v
    gradient = np.sqrt((u / width) ** 2 + (v / half_drop) ** 2) * 2.0 + 1e-6
    distance = np.asarray((squared - 1.0) / gradient, dtype=np.float32)
    back = _hollow(distance, 5.2, 0.78) * smooth_step(y, 0.35 * half_drop, 0.0)
    front = _hollow(distance, 6.6, 0.85) * smooth_step(y, 0.0, 0.35 * half_drop)
    # The bony rib ends where its cartilage begins, two hands from the sternum.
    front = front * smooth_step(u, 0.42, 0.55)
    back = back * smooth_step(np.abs(x), 10.0, 22.0)
    return np.asarray(1.7 * back + 1.2 * front, dtype=np.float32)


def _rows(y: Field, top: float, bottom: float) -> slice | None:
    """Rows of the grid that meet a band of heights."""
    low, high = y.min(axis=1), y.max(axis=1)
    found = np.flatnonzero((high >= top) & (low <= bottom))
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else None


def _spine(thorax: Thorax) -> Field:
    body, y = thorax.body, thorax.y
    x = thorax.x - np.float32(4.0 * thorax.pose.turn)
    size = np.float32(20.0) + np.clip(y, -80.0, 300.0) * np.float32(0.018)
    width = np.float32(15.0) + np.clip(y, -80.0, 300.0) * np.float32(0.018)
    phase = (y + np.float32(0.3 * body.rib_spacing)) / size
    phase = phase - np.floor(phase)
    column = smooth_step(np.abs(x) - width, 2.0, -3.0)
    disc = smooth_step(np.abs(phase - 0.5), 0.36, 0.46)
    pedicle = np.exp(-(((np.abs(x) - 0.62 * width) / 3.6) ** 2) - ((phase - 0.32) / 0.16) ** 2)
    process = np.exp(-((x / 2.6) ** 2) - ((phase - 0.75) / 0.2) ** 2)
    bone = column * (2.0 - 0.9 * disc + 0.6 * pedicle + 0.5 * process)
    return np.asarray(bone, dtype=np.float32)


def _clavicles(thorax: Thorax) -> Field:
    body: Body = thorax.body
    lateral = np.abs(thorax.x)
    tilt = np.sign(thorax.x) * np.float32(3.0 * thorax.pose.turn)
    centre = profile(
        lateral, [0.0, 18.0, 50.0, 90.0, 130.0, 165.0, 240.0],
        [26.0, 24.0, 13.0, 3.0, -7.0, -10.0, -10.0],
    )  # fmt: skip
    thick = profile(lateral, [0.0, 15.0, 30.0, 80.0, 130.0, 165.0], [9.5, 9.5, 7.0, 5.5, 6.0, 8.0])
    distance = (thorax.y - centre + tilt) * np.float32(0.96)
    shell = _hollow(distance / thick, 1.0, 0.72)
    scale = body.half_width / 135.0
    ends = smooth_step(lateral, 9.0, 13.0) * smooth_step(lateral, 170.0 * scale, 158.0 * scale)
    return np.asarray(3.0 * shell * ends, dtype=np.float32)


def _scapulae(thorax: Thorax) -> Field:
    """A thin blade with a denser lateral border, and the head of the humerus beside it."""
    body, y = thorax.body, thorax.y
    lateral = np.abs(thorax.x)
    swing = 14.0 if body.sex == "M" else 10.0
    medial = profile(y, [-20.0, 0.0, 70.0, 150.0, 200.0], [110.0, 112.0, 118.0, 134.0, 140.0])
    outer = profile(y, [-20.0, 10.0, 50.0, 150.0, 200.0], [168.0, 172.0, 160.0, 142.0, 140.0])
    medial, outer = medial + np.float32(swing), outer + np.float32(swing)
    blade = smooth_step(lateral - medial, 0.0, 2.5) * smooth_step(outer - lateral, 0.0, 2.5)
    blade = blade * smooth_step(y, -14.0, -4.0) * smooth_step(y, 152.0, 142.0)
    border = np.exp(-(((outer - lateral - 4.0) / 3.2) ** 2)) * (blade > 0)
    spine = np.exp(-(((y - 22.0 + 0.22 * (lateral - 110.0)) / 3.5) ** 2)) * (blade > 0)
    r = np.sqrt((lateral - 190.0) ** 2 + (y - 16.0) ** 2)
    head = _tube(r, 24.0)
    x_shaft = lateral - 197.0 - 0.22 * (y - 20.0)
    shaft = _hollow(x_shaft, 12.5, 0.55) * smooth_step(y, 25.0, 40.0) * (y < 330.0)
    bone = 0.55 * blade + 1.4 * border + 0.9 * spine + 3.0 * head + 2.4 * shaft
    return np.asarray(bone, dtype=np.float32)
