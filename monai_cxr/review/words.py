"""Words: what codes mean to a reader, in a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
