"""NIfTI pose: an array of two axes to rows by columns, as its affine says, or as the picture shows.

NIfTI-1 (nifti1.h, METHOD 1) says nothing of directions where both codes are 0. Writers differ:
ITK puts the first row first, dcm2niix the last one, and an array saved from numpy has rows before
columns. The array is then taken in the pose in which it looks like a frontal chest film. Left and
right cannot be told apart by that; all four poses here keep them as those writers do. Nor does
anything say whether low values are bright, and dcm2niix leaves MONOCHROME1 as it is: where no pose
looks like a chest and the negative of one does, that is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_cxr.picture.chest_likeness import likeness, model
from monai_cxr.picture.frontal_view import is_clearly_negative
from monai_cxr.picture.quality import sampled

ASSUMED, BY_PICTURE = "orientation_assumed", "orientation_by_picture"
"""Flags: no orientation is stated; another than the usual one is taken, because it looks right."""

_POLARITY = "polarity_by_picture"


def as_film(
    values: NDArray[np.float32], axes: NDArray[np.float64] | None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Turn (i, j) into rows by columns.

    Args:
        values: The array.
        axes: Where its axes point, shape (3, 2), in RAS+; None when nothing is stated.

    Returns:
        The film with the patient's left on the viewer's right, and flags.
    """
    if axes is None:
        return _by_picture(values)
    first_is_x = abs(axes[0, 0]) >= abs(axes[0, 1])
    film = values.T if first_is_x else values
    x, other = (0, 1) if first_is_x else (1, 0)
    up = axes[2, other] if abs(axes[2, other]) > abs(axes[1, other]) else axes[1, other]
    if up > 0:
        film = film[::-1]
    if axes[0, x] > 0:
        film = film[:, ::-1]
    return np.ascontiguousarray(film), ()


def _by_picture(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The usual pose (columns, rows from the top), unless another one is clearly more like."""
    poses = [values.T, values.T[::-1], values, values[::-1]]
    seen = [likeness(sampled(pose)) for pose in poses]
    upright = [one["upright"] for one in seen]
    best = int(np.argmax(upright))
    if max(upright) <= model().doubt_below:
        negative = int(np.argmax([one["inverted"] for one in seen]))
        if is_clearly_negative(sampled(poses[negative]), seen[negative]):
            posed = (BY_PICTURE,) if negative > 0 else ()
            return np.float32(1.0) - poses[negative], (ASSUMED, *posed, _POLARITY)
    is_clear = upright[best] > max(model().doubt_below, upright[0] + model().pose_margin)
    film = np.ascontiguousarray(poses[best if is_clear else 0])
    return film, (ASSUMED, BY_PICTURE) if is_clear and best > 0 else (ASSUMED,)
