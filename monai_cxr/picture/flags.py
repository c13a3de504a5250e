"""Flags: what a caution that came with a film means, in a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "age_unknown": "The age is not in the header; the model learned from adults.",
        "age_outside_training": "Hardly any patient that the model learned from was so young or so "
        "old.",
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
        "unlike_training": "The film is unlike 99 in 100 films that the model was checked on.",
        "window_fallback": "The header's window shows nothing; the film's own range is used.",
    }
)
"""Flags of a film by code."""


def flag_words(code: str) -> str:
    """The sentence of a flag; an unknown code as words."""
    return FLAGS.get(code, code.replace("_", " ").capitalize() + ".")
