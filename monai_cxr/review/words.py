"""Words: what codes mean to a reader, in a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "age_unknown": "The age is not in the header; the model learned from adults.",
        "anisotropic_pixels": "Pixels are not square.",
        "body_part_near_chest": "The header names a body part near the chest.",
        "body_part_unknown": "The header names no body part; the picture looks like a chest.",
        "burned_in_annotation": "The header says that text is burned into the picture.",
        "color_encoded": "The film was stored as colour; gray was computed.",
        "description_disagrees": "The description names another part or projection.",
        "doubtful_content": "The picture is an unusual chest film: treat the scores with caution.",
        "extreme_window": "The header's window cuts off much of the film.",
        "field_of_view_transformed": "The detector turned or flipped the field of view.",
        "flat": "The film has hardly any contrast.",
        "for_processing": "Raw detector values, not meant to be looked at.",
        "hard_collimation": "Almost half of the picture is uniform border.",
        "invalid_rescale": "The header's rescale slope is 0 and was not used.",
        "invalid_window": "The header's window is not allowed and was not used.",
        "low_resolution": "Fewer than 224 pixels a side.",
        "lut_depth": "A lookup table contradicts its own depth.",
        "lut_malformed": "A lookup table is malformed and was not used.",
        "lut_short": "A lookup table is shorter than it says.",
        "mirrored_by_header": "The header says that the film is mirrored (patient's right on the "
        "right).",
        "modality_not_standard": "The header's modality is not a standard word for a radiograph.",
        "modality_unknown": "The header names no modality.",
        "no_window": "The header has no window; the film's own range is used.",
        "orientation_assumed": "The file states no orientation.",
        "orientation_by_header": "The header states an unusual orientation.",
        "polarity_conflict": "The header contradicts itself about black and white.",
        "presentation_lut_ignored": "The header's presentation table was not used.",
        "probably_inverted": "Black and white are probably swapped: the scores are not reliable.",
        "probably_rotated": "The film probably lies on its side: the scores are not reliable.",
        "probably_upside_down": "The film is probably upside down: the scores are not reliable.",
        "projection_unknown": "Neither PA nor AP is stated.",
        "reduced_resolution": "The film was decoded at reduced resolution.",
        "secondary_capture": "A secondary capture, not the original image.",
        "window_fallback": "The header's window shows nothing; the film's own range is used.",
    }
)
"""Flags of a film by code."""

SERIOUS = frozenset(
    {"doubtful_content", "flat", "for_processing", "probably_inverted", "probably_rotated"}
    | {"probably_upside_down", "mirrored_by_header"}
)
"""Flags that put the scores themselves in doubt."""

SCOPE_REASONS = frozenset(
    {"bad_range", "bad_shape", "bit_depth", "blank", "body_part", "color", "lateral", "modality"}
    | {"multi_frame", "not_a_film", "not_chest", "not_human", "oblique", "pediatric", "photometric"}
    | {"sop_class", "too_small", "unsupported"}
)
"""Reasons that say 'out of the model's scope'; every other one says 'could not be read'."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "bit_depth": "unusual bit depth",
        "blank": "blank film",
        "body_part": "not a chest",
        "changed_file": "file was changed",
        "codec_missing": "decoder missing",
        "color": "colour picture",
        "damaged_header": "damaged header",
        "damaged_pixels": "damaged pixels",
        "empty_file": "empty file",
        "lateral": "lateral film",
        "missing_file": "file is gone",
        "modality": "not a radiograph",
        "model_failed": "model failed",
        "multi_frame": "several frames",
        "no_model": "no model loaded",
        "no_pixels": "no pixels",
        "not_a_film": "not a film",
        "not_an_image": "not an image",
        "not_chest": "not a chest film",
        "not_dicom": "not DICOM",
        "not_human": "not human",
        "oblique": "oblique film",
        "pediatric": "younger than 18",
        "photometric": "not a gray picture",
        "sop_class": "not a radiograph",
        "too_large": "too large",
        "too_small": "too small",
        "unreadable": "cannot be read",
    }
)
"""Reasons of refusals and failures by code, as two or three words."""


MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "mean": "Mean brightness",
        "standard_deviation": "Contrast (standard deviation)",
        "entropy_bits": "Gray levels in use (entropy, bits)",
        "inversion_suspicion": "Corners brighter than the centre",
        "clipped_fraction": "Pure black or white (share)",
        "border_fraction": "Uniform border (share)",
        "padding_fraction": "Padding (share)",
    }
)
"""Measures of a picture by name, the most telling first."""


def flag_words(code: str) -> str:
    """The sentence of a flag; an unknown code as words."""
    return FLAGS.get(code, code.replace("_", " ").capitalize() + ".")


def reason_words(code: str) -> str:
    """The words of a reason; an unknown code as words."""
    return REASONS.get(code, code.replace("_", " "))


def percent(share: float) -> str:
    """A share for people: whole percents, tenths below 2 %, never 0 % or 100 % by rounding."""
    value = share * 100.0
    if value < 0.1:
        return "< 0.1 %"
    if value < 1.95:
        return f"{value:.1f} %"
    if value > 99.0:
        return "> 99 %"
    return f"{value:.0f} %"


def duration(seconds: float) -> str:
    """A waiting time for people: minutes, hours or days."""
    minutes = max(seconds, 0.0) / 60.0
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{minutes:.0f} min"
    hours, rest = divmod(int(minutes), 60)
    if hours < 24:
        return f"{hours} h {rest:02d}"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def day(acquired: str) -> str:
    """``YYYYMMDD`` as an ISO date; anything else unchanged."""
    if len(acquired) == 8 and acquired.isdigit():
        return f"{acquired[:4]}-{acquired[4:6]}-{acquired[6:]}"
    return acquired
