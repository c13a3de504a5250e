"""Scope by the picture: does it look like a frontal chest film? No header can talk this away."""

from __future__ import annotations

from dataclasses import dataclass

from monai_cxr.picture import chest_likeness
from monai_cxr.radiograph import Radiograph

SMALLEST_SIDE = 64
LOW_RESOLUTION_SIDE = 224
_BLANK_DEVIATION = 0.015
_BLANK_ENTROPY_BITS = 1.0
_HARD_COLLIMATION = 0.45
_POSE_FLAGS = {
    "upside_down": "probably_upside_down",
    "rotated": "probably_rotated",
    "rotated_other": "probably_rotated",
    "inverted": "probably_inverted",
}


@dataclass(frozen=True, slots=True)
class ScopeDecision:
    """Whether the model may read an image, and why not.

    Attributes:
        accepted: Whether it may.
        reason: Stable code of the refusal, ``""`` when accepted.
        sentence: The refusal for a human, ``""`` when accepted.
        flags: Cautions, as stable codes.
    """

    accepted: bool
    reason: str = ""
    sentence: str = ""
    flags: tuple[str, ...] = ()


def check_pixels(film: Radiograph, *, header_says_chest: bool = False) -> ScopeDecision:
    """Decide from the picture alone.

    Args:
        film: A film with its quality measures.
        header_says_chest: Whether a header vouches for it; one that names no body part does not,
            and a doubtful picture is then refused instead of flagged. Plain image files have no
            header that could vouch and are treated as if it did.

    Returns:
        A refusal, or an acceptance with flags.
    """
    rows, columns = film.full_shape
    if min(rows, columns) < SMALLEST_SIDE:
        return refuse(
            "too_small",
            f"The image has {rows} x {columns} pixels; at least {SMALLEST_SIDE} a side are needed.",
        )
    quality = film.quality
    if (
        quality.get("standard_deviation", 1.0) < _BLANK_DEVIATION
        or quality.get("entropy_bits", 6.0) < _BLANK_ENTROPY_BITS
    ):
        return refuse("blank", "The image is blank or nearly so.")
    flags = _picture_flags(film)
    model = chest_likeness.model()
    values = dict(chest_likeness.likeness(film.pixels if film.sample is None else film.sample))
    upright = values.pop("upright")
    if upright >= model.doubt_below:
        return ScopeDecision(True, flags=flags)
    pose = max(values, key=values.__getitem__)
    if values[pose] > max(model.doubt_below, upright + model.pose_margin):
        return ScopeDecision(True, flags=(*flags, _POSE_FLAGS[pose]))
    if upright < model.refuse_below or not header_says_chest:
        return refuse(
            "not_chest",
            f"The picture does not look like a frontal chest film (log-odds {upright:.1f}).",
        )
    return ScopeDecision(True, flags=(*flags, "doubtful_content"))


def refuse(reason: str, sentence: str) -> ScopeDecision:
    """A refusal with its stable code and its sentence."""
    return ScopeDecision(False, reason, sentence)


def _picture_flags(film: Radiograph) -> tuple[str, ...]:
    flags = {
        "low_resolution": min(film.full_shape) < LOW_RESOLUTION_SIDE,
        "hard_collimation": film.quality.get("border_fraction", 0.0) > _HARD_COLLIMATION,
    }
    return tuple(name for name, is_set in flags.items() if is_set)
