"""Scope: is this a frontal chest radiograph that the model may read? A reason code if not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from monai_cxr.dicom.attributes import HeaderFacts
from monai_cxr.errors import UnsupportedImage
from monai_cxr.radiograph import Radiograph, ViewPosition

_MODALITIES = frozenset({"CR", "DX", "RG", "XR", ""})


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


def check_header(facts: HeaderFacts) -> ScopeDecision:
    """Decide from the header alone."""
    if facts.modality not in _MODALITIES:
        return _refuse("modality", f"Modality is '{facts.modality[:16]}'; expected CR or DX.")
    if facts.view is ViewPosition.LATERAL:
        return _refuse("lateral", "The projection is lateral; the model reads frontal films.")
    if facts.body_part and "CHEST" not in facts.body_part and "THORAX" not in facts.body_part:
        if facts.body_part in ("RIBCAGE", "RIB", "RIBS", "LUNG"):
            return ScopeDecision(True, flags=("body_part_near_chest",))
        return _refuse("body_part", f"BodyPartExamined is '{facts.body_part[:16]}', not CHEST.")
    return ScopeDecision(True)


def check_scope(radiograph: Radiograph, facts: HeaderFacts | None = None) -> ScopeDecision:
    """Decide from header and pixels."""
    return check_header(facts) if facts is not None else ScopeDecision(True)


def require_header_in_scope(facts: HeaderFacts) -> None:
    """Raise if the header alone refuses."""
    decision = check_header(facts)
    if not decision.accepted:
        raise UnsupportedImage(decision.sentence, reason=decision.reason)


def require_in_scope(radiograph: Radiograph, facts: HeaderFacts | None) -> Radiograph:
    """Return the film with the flags of its scope, or raise."""
    decision = check_scope(radiograph, facts)
    if not decision.accepted:
        raise UnsupportedImage(decision.sentence, reason=decision.reason)
    flags = tuple(dict.fromkeys((*radiograph.flags, *decision.flags)))
    return replace(radiograph, flags=flags)


def _refuse(reason: str, sentence: str) -> ScopeDecision:
    return ScopeDecision(False, reason, sentence)
