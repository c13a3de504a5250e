"""Scope by the picture: does it look like a frontal chest film? No header can talk this away."""

from __future__ import annotations

from dataclasses import dataclass

from monai_cxr.picture import chest_likeness, frontal_view
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
    some = film.pixels if film.sample is None else film.sample
    model = chest_likeness.model()
    grid = chest_likeness.shown(some)
    values = dict(chest_likeness.likeness_of_shown(grid))
    upright = values.pop("upright")
    pose = ""
    if upright < model.doubt_below:
        other = max(values, key=values.__getitem__)
        if values[other] > max(model.doubt_below, upright + model.pose_margin):
            pose = other
    frontal = frontal_view.frontal_log_odds_of_shown(chest_likeness.turned(grid, pose))
    # Another pose is only believed of a picture that is a frontal view beyond doubt.
    view = frontal_view.model()
    least = view.doubt_below if pose else view.refuse_below
    is_like = upright if not pose else values[pose]
    is_doubtful = is_like < model.doubt_below or frontal < view.doubt_below
    if is_like < model.refuse_below or frontal < least or (is_doubtful and not header_says_chest):
        return refuse(
            "not_chest",
            "The picture does not look like a frontal chest radiograph: its log-odds are "
            f"{is_like:.1f} for a chest and {frontal:.1f} for a frontal view.",
        )
    flags += (_POSE_FLAGS[pose],) if pose else ()
    return ScopeDecision(True, flags=(*flags, "doubtful_content") if is_doubtful else flags)


def refuse(reason: str, sentence: str) -> ScopeDecision:
    """A refusal with its stable code and its sentence."""
    return ScopeDecision(False, reason, sentence)


def _picture_flags(film: Radiograph) -> tuple[str, ...]:
    flags = {
        "low_resolution": min(film.full_shape) < LOW_RESOLUTION_SIDE,
        "hard_collimation": film.quality.get("border_fraction", 0.0) > _HARD_COLLIMATION,
    }
    return tuple(name for name, is_set in flags.items() if is_set)
