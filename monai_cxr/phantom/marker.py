"""Marker: the lead letter that tells the patient's side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from monai_cxr.phantom.body import Pose
from monai_cxr.phantom.grid import Field
from monai_cxr.phantom.physics import Acquisition

_HEIGHT_MM = 15.0
# Strokes in units of the letter's height, as a marker of bent wire would be.
_STROKES: Mapping[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "L": (((0.0, 0.0), (0.0, 1.0), (0.55, 1.0)),),
    "R": (
        ((0.0, 1.0), (0.0, 0.0), (0.38, 0.0), (0.52, 0.10), (0.56, 0.26), (0.52, 0.42),
         (0.38, 0.52), (0.0, 0.52)),
        ((0.28, 0.52), (0.58, 1.0)),
    ),
}  # fmt: skip


def stamp_marker(film: Field, pose: Pose, acquisition: Acquisition) -> Field:
    """Lay the marker on a film; lead is white.

    Args:
        film: float32, shape (rows, columns).
        pose: Shape and pixel spacing.
        acquisition: Which letter, and where.

    Returns:
        The film with the marker, same shape.
    """
    image = Image.new("F", (pose.columns, pose.rows), 0.0)
    draw = ImageDraw.Draw(image)
    height = _HEIGHT_MM / pose.spacing_mm
    top = acquisition.marker_place[0] * pose.rows
    left = acquisition.marker_place[1] * pose.columns - 0.28 * height
    for stroke in _STROKES[acquisition.marker]:
        points = [(left + x * height, top + y * height) for x, y in stroke]
        draw.line(points, fill=1.0, width=max(round(0.15 * height), 1), joint="curve")
    lead = np.asarray(image, dtype=np.float32)
    return np.asarray(film * (1.0 - lead) + np.float32(1.02) * lead, dtype=np.float32)
