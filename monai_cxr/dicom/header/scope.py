"""Scope: is this a frontal chest radiograph that the model may read? A reason code if not.

The header decides first, because it costs nothing; then the pixels, which no header can talk away.
Each refusal has a stable code and a sentence; what can be read with caution gets flags. The rules
are written down in ``docs/explanation/scope.md`` with their measured error rates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.projection import names_lateral, words_of
from monai_cxr.errors import UnsupportedImage
from monai_cxr.picture.scope import ScopeDecision, check_pixels, refuse
from monai_cxr.radiograph import Radiograph, ViewPosition

ADULT_AGE_YEARS = 18.0
"""Younger patients are refused: the model learned from adults."""

_MODALITIES = frozenset({"CR", "DX", "RG"})
_SAID_OF_RADIOGRAPHS = frozenset(
    {"XR", "DR", "RX", "XRAY", "X-RAY", "CXR", "CR/DX", "CRDX", "DX/CR", "DDR", "RAD", "CD"}
)
"""No Defined Terms (PS3.3 C.7.3.1.1.1), but what makers and de-identifiers write for one."""

_OTHER = (
    "AR ASMT AU BDUS BI BMD CFM CT CTPROTOCOL DG DMS DOC ECG EEG EMG EOG EPS ES FID FS GM HC HD IO "
    "IOL IVOCT IVUS KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN "
    "POS PR PT PX REG RESP RF RTDOSE RTIMAGE RTPLAN RTRECORD RTSEGANN RTSTRUCT RWV SC SEG SM SMR "
    "SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC"
)
_OTHER_MODALITIES = frozenset(_OTHER.split())
"""Defined Terms of what is no radiograph, or need not be one."""

_RADIOGRAPHS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
        "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray - For Presentation
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray - For Processing
    }
)
_SECONDARY_CAPTURES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.7.2",  # Multi-frame Grayscale Byte Secondary Capture
        "1.2.840.10008.5.1.4.1.1.7.3",  # Multi-frame Grayscale Word Secondary Capture
    }
)
RADIOGRAPH_CLASSES = _RADIOGRAPHS | _SECONDARY_CAPTURES
"""SOP Classes that can hold a radiograph: CR, DX, and grayscale Secondary Capture."""

# BodyPartExamined is free text in practice; accents are gone by now.
_CHEST = re.compile(
    r"CHEST|CHST|CXR|THORA|THX|TORAX|TORAC|TORAKS|LUNG|PULM|POUMON|POLMON|BRUSTKORB|BROSTKORG|"
    r"BRYSTKAS|BORSTKAS|PIERSIOW|HRUDNI|MELLKAS|RINTAKEHA|KEUHKO|GOGUS|AKCIGER|PLUCA|PLICE|PLUCNI|"
    r"NGUC|\bDADA\b|\bPARU|DIBDIB|\bPHOI\b|TORAK|KRUTIN|KRUSKURV|PLAUC|RINDKERE|KOPSU|GRUDN|"
    r"PRSNI|\bPRSA\b|PLAMAN|PECHO|POITRINE|KLATK|\bKLP\b|XIONG|"
    r"ГРУД|ГРЪД|ОГК|ОГП|ФЛГ|ФЛЮОРО|ЛЕГКИ|ЛЕГЕН|БЯЛ ДРОБ|ТОРАК|ΘΩΡΑ|ΠΝΕΥΜ|胸|肺|흉부|흉곽|가슴|폐|"
    r"キョウ[ブフ]|صدر|سينه|سینه|ريه|ریه|חזה|ריאות|ทรวงอก|หนาอก|ปอด|छाती|বুক|நெஞ|ᲒᲣᲚᲛᲙᲔᲠᲓ|ԿՐԾՔ"
)
_NEAR_CHEST = re.compile(r"RIB|STERNUM|CLAVIC|HEART|CORONARY|MEDIASTIN|TRUNK|TORSO")
_SPINE = re.compile(
    r"SPINE|LUMB|VERTEB|WIRBEL|COLUMN|COLONN|COLOANA|RACHIS|BACK|KREGOSLUP|\bPATER|GERINC|OMURGA|"
    r"KICMA|KRALJEZN|SELKARANKA|RYGGRAD|COT SONG|ПОЗВОН|ХРЕБ|ГРЪБН|椎|脊|척추|흉추|ΣΠΟΝΔΥΛ"
)
_BESIDE_SPINE = re.compile(r"CHEST|CXR|LUNG|PULM|胸部|肺|ОГК|КЛЕТК")
"""What is the chest even where the spine is named as well."""

_OTHER_PART = re.compile(
    r"ABDOMEN|PELVIS|SHOULDER|HUMERUS|ELBOW|FOREARM|WRIST|HAND|FINGER|THUMB|HIP|FEMUR|THIGH|KNEE|"
    r"LEG|ANKLE|FOOT|TOE|EXTREMITY|ARM|SKULL|HEAD|FACE|SINUS|MANDIBLE|TEETH|NECK|BREAST|"
    r"CSPINE|TSPINE|LSPINE|SPINE|SCAPULA|CALCANEUS|COCCYX|SACRUM|WHOLEBODY"
)
_ANISOTROPY = 1.02


def is_radiograph_class(sop_class_uid: str) -> bool:
    """Whether a SOP Class can hold a radiograph: CR, DX, or a grayscale Secondary Capture."""
    return sop_class_uid in RADIOGRAPH_CLASSES


def check_header(facts: HeaderFacts) -> ScopeDecision:
    """Decide from the header alone.

    Args:
        facts: Facts of a DICOM header.

    Returns:
        A refusal, or an acceptance that the pixels may still overturn.
    """
    refusal = _kind_refusal(facts) or _patient_refusal(facts)
    return refusal or ScopeDecision(True, flags=_header_flags(facts))


def check_scope(film: Radiograph, facts: HeaderFacts | None = None) -> ScopeDecision:
    """Decide from header and pixels.

    Args:
        film: The film.
        facts: Facts of its header; None for a plain image file.

    Returns:
        One decision with the flags of both.
    """
    if facts is None:
        return _view_refusal(film.view) or check_pixels(film, header_says_chest=True)
    header = check_header(facts)
    if not header.accepted:
        return header
    picture = check_pixels(film, header_says_chest=bool(_CHEST.search(facts.body_part)))
    return replace(picture, flags=(*header.flags, *picture.flags))


def require_header_in_scope(facts: HeaderFacts) -> None:
    """Refuse by the header, before any pixel is decoded.

    Raises:
        UnsupportedImage: With the reason of the refusal.
    """
    _require(check_header(facts))


def require_in_scope(film: Radiograph, facts: HeaderFacts | None) -> Radiograph:
    """Return the film with the flags of its scope.

    Raises:
        UnsupportedImage: With the reason of the refusal.
    """
    decision = check_scope(film, facts)
    _require(decision)
    flags = tuple(dict.fromkeys((*film.flags, *decision.flags)))
    return replace(film, flags=flags, in_range=True)  # as when the film was made


def for_presentation(images: Sequence[HeaderFacts]) -> tuple[HeaderFacts, ...]:
    """Leave out raw images of a study that also has them FOR PRESENTATION.

    Args:
        images: Facts of the images of any number of studies.

    Returns:
        The same in the same order, without the FOR PROCESSING images whose study shows the same
        view (or an unknown one) FOR PRESENTATION.
    """
    needless = raw_beside_processed([(f.key.study_uid, f.view, f.for_processing) for f in images])
    return tuple(facts for facts, out in zip(images, needless, strict=True) if not out)


def raw_beside_processed(images: Sequence[tuple[str, ViewPosition, bool]]) -> tuple[bool, ...]:
    """Which images are raw and shown FOR PRESENTATION by another one of their study.

    Args:
        images: (Study Instance UID, view, whether FOR PROCESSING) of each.

    Returns:
        For each image, whether its study shows the same view (or an unknown one) otherwise.
    """
    unknown = ViewPosition.UNKNOWN
    shown = {(study, view) for study, view, is_raw in images if not is_raw}
    studies = {study for study, _ in shown}

    def is_needless(study: str, view: ViewPosition, is_raw: bool) -> bool:
        same_view = (study, view) in shown or (study, unknown) in shown
        return is_raw and study in studies and (same_view or view is unknown)

    return tuple(is_needless(*image) for image in images)


def _require(decision: ScopeDecision) -> None:
    if not decision.accepted:
        raise UnsupportedImage(decision.sentence, reason=decision.reason)


def _kind_refusal(facts: HeaderFacts) -> ScopeDecision | None:
    """Modality, SOP class, body part, projection, frames."""
    if not _is_radiography(facts):
        shown = facts.modality if re.fullmatch(r"[A-Z0-9]{2,10}", facts.modality) else "unknown"
        return refuse("modality", f"Modality is {shown}; a radiograph has CR or DX.")
    of_standard = facts.sop_class_uid.startswith("1.2.840.10008.")
    if of_standard and not is_radiograph_class(facts.sop_class_uid):
        return refuse("sop_class", "The SOP Class is not that of a radiograph.")
    refusal = _body_part_refusal(facts) or _view_refusal(facts.view)
    if refusal is not None:
        return refusal
    if facts.n_frames > 1:
        return refuse("multi_frame", f"The image has {facts.n_frames} frames; a film has one.")
    return None


def _is_radiography(facts: HeaderFacts) -> bool:
    """By Modality; where it is no Defined Term, or "other", the SOP Class is the witness."""
    modality = facts.modality
    if not modality or modality in _MODALITIES or modality in _SAID_OF_RADIOGRAPHS:
        return True
    says_nothing = modality not in _OTHER_MODALITIES or modality == "OT"
    return says_nothing and facts.sop_class_uid in _RADIOGRAPHS


def _view_refusal(view: ViewPosition) -> ScopeDecision | None:
    if view not in (ViewPosition.LATERAL, ViewPosition.OBLIQUE):
        return None
    name = view.value.lower()
    return refuse(name, f"The projection is {name}; the model reads frontal films.")


def _body_part_refusal(facts: HeaderFacts) -> ScopeDecision | None:
    """By the body part; where the header has none, by descriptions that name another one only."""
    part = facts.body_part
    if _is_chest(part or facts.description):
        return None
    other = _OTHER_PART.search(part) if part else _other_part_in(facts.description)
    if not part and other is None:
        return None
    named = other[0] if other else "not known"  # only a known word is quoted: it is free text
    return refuse("body_part", f"The body part in the header is {named}; expected CHEST.")


def _other_part_in(description: str) -> re.Match[str] | None:
    """The first word of free text that is a body part other than the chest."""
    matches = (_OTHER_PART.fullmatch(word) for word in words_of(description))
    return next((match for match in matches if match is not None), None)


def _is_chest(part: str) -> bool:
    """Whether a text names the chest or what lies next to it, and not the spine."""
    if _SPINE.search(part) and not _BESIDE_SPINE.search(part):
        return False  # the thoracic spine, by whatever name
    return bool(_CHEST.search(part) or _NEAR_CHEST.search(part))


def _patient_refusal(facts: HeaderFacts) -> ScopeDecision | None:
    if facts.not_human:
        return refuse("not_human", "The header names an animal.")
    if facts.patient_age_years is not None and facts.patient_age_years < ADULT_AGE_YEARS:
        return refuse(
            "pediatric",
            f"The patient is younger than {ADULT_AGE_YEARS:g} years; the model learned adults.",
        )
    return None


def _header_flags(facts: HeaderFacts) -> tuple[str, ...]:
    orientation = tuple(v for v in facts.patient_orientation if v)[:2]
    disagrees = _other_part_in(facts.description) is not None or names_lateral(facts.description)
    part = facts.body_part
    flags = {
        "modality_unknown": not facts.modality,
        "modality_not_standard": bool(facts.modality) and facts.modality not in _MODALITIES,
        "secondary_capture": facts.sop_class_uid in _SECONDARY_CAPTURES,
        "body_part_unknown": not part,
        "body_part_near_chest": bool(part) and not _CHEST.search(part),
        "projection_unknown": facts.view is ViewPosition.UNKNOWN,
        "age_unknown": facts.patient_age_years is None,
        "description_disagrees": disagrees,
        "mirrored_by_header": orientation == ("R", "F"),
        "orientation_by_header": len(orientation) == 2
        and orientation not in (("L", "F"), ("R", "F")),
        "field_of_view_transformed": facts.rotation_degrees != 0.0 or facts.horizontal_flip,
        "anisotropic_pixels": not 1 / _ANISOTROPY <= facts.pixel_aspect <= _ANISOTROPY,
        "burned_in_annotation": facts.burned_in_annotation,
    }
    return tuple(name for name, is_set in flags.items() if is_set)
