"""Projection: frontal, lateral or oblique, from everything in a header that names it.

Sources in the order of trust: ViewPosition (0018,5101), ViewCodeSequence (0054,0220),
PatientOrientation (0020,0020), then the body part and every free text that describes image, series,
procedure or study. A source decides when it names one projection; one that names several ("PA and
lateral") says nothing of this image.
"""

from __future__ import annotations

import re
from functools import cache

from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.radiograph import ViewPosition

_DESCRIPTIONS = (
    "ImageType",  # a third value, in films of makers without a view
    "BodyPartExamined",  # "CHEST LAT"
    "SeriesDescription",
    "AcquisitionDeviceProcessingDescription",  # "CHEST,LAT" in films of makers without a view
    "AcquisitionDeviceProcessingCode",
    "ProtocolName",
    "AcquisitionProtocolName",
    "AcquisitionProtocolDescription",
    "ImageComments",
    "DerivationDescription",
    "CommentsOnThePerformedProcedureStep",
    "PerformedProcedureStepDescription",
    "ScheduledProcedureStepDescription",
    "RequestedProcedureDescription",
    "StudyDescription",
)
_DESCRIBING_SEQUENCES = (
    ("AnatomicRegionSequence", "CodeMeaning"),
    ("AnatomicRegionSequence", "AnatomicRegionModifierSequence", "CodeMeaning"),
    ("SeriesDescriptionCodeSequence", "CodeMeaning"),
    ("PerformedProtocolCodeSequence", "CodeMeaning"),
    ("RequestAttributesSequence", "ScheduledProcedureStepDescription"),
    ("RequestAttributesSequence", "ScheduledProtocolCodeSequence", "CodeMeaning"),
    ("RequestAttributesSequence", "RequestedProcedureDescription"),
    ("RequestAttributesSequence", "RequestedProcedureCodeSequence", "CodeMeaning"),
    ("RequestedProcedureCodeSequence", "CodeMeaning"),
    ("ProcedureCodeSequence", "CodeMeaning"),
)
"""Sequences, of which the first items count, and at the end of each the element that is read."""

# View codes of PS3.16 CID 4010 and their retired SNOMED RT forms; the tests compare with pydicom.
_CODES = {
    ViewPosition.AP: "399348003 R-10206",
    ViewPosition.PA: "272479007 R-10214 R-40888",
    ViewPosition.LATERAL: "399067008 R-102CD 399173006 R-10236 399198007 R-10232 399352003 R-10228 "
    "399260004 R-10224 30730003 G-A145",
    ViewPosition.OBLIQUE: "399312000 R-10208 399160007 R-10204 260427002 R-40783 399099002 R-10230 "
    "399135007 R-10220 399184004 R-10238 399006002 R-10212 260426006 R-40782 399368009 R-10226 "
    "399182000 R-102C1 399059000 R-10216 399356000 R-40985 399236003 R-10234 399038007 R-10210",
}
_VIEW_OF_CODE = {code: view for view, codes in _CODES.items() for code in codes.split()}

# Words of descriptions, in the languages that hospitals write them in; capitals without accents.
_WORDS = {
    ViewPosition.PA: "PA POSTEROANTERIOR",
    ViewPosition.AP: "AP ANTEROPOSTERIOR",
    ViewPosition.LATERAL: "LAT LATERAL LLAT RLAT LATL LATR LATERALE LATERALIS LATERALT "
    "LATERALNA LATERALNE LATERALNI LATERAAL LATERALES LATERO LTL SEITLICH SEITL PROFIL "
    "PROFILE PROFILO PROFILNA PERFIL DECUBITUS SIDEBILDE SIDO SIDOBILD SIVU SIVUKUVA DWARS "
    "ZIJDELINGS BOK BOCZNA BOCZNE BOCZNY BOCNI BOCNA BOCNY YAN KULG OLDALIRANYU SONINE CEWE "
    "БОК БІЧНА БОЧНА NGHIENG DECUB LDECUB RDECUB XTABLE CROSSTABLE SAGITTAL SIDEOPTAGELSE CEWEI "
    "CEMIAN",
    ViewPosition.OBLIQUE: "OBL OBLIQUE OBLIQUA OBLICUA OBLICUO OBLIQUO OBLIK SCHRAG SCHRAEG SKOS "
    "SKOSNA SIKMA RAO LAO RPO LPO КОСАЯ",
}
# Parts of words that are sure enough wherever they stand; the scripts of Asia put no spaces.
_PARTS_OF_VIEW = {
    ViewPosition.PA: "正位 正面 正侧 正側 后前 後前 후전 정면 ПРЯМ ЗАДНЕ",
    ViewPosition.AP: "前后 前後 전후",
    ViewPosition.LATERAL: "侧位 側位 侧面 側面 正侧 正側 側臥 侧卧 측면 측위 БОКОВ ПРОФИЛЬ "
    "ЛАТЕРАЛ СТРАНИЧН ΠΛΑΓΙ جانب צדד ด้านข้าง SEITLICH 侧像 側像 ソクメン",
    ViewPosition.OBLIQUE: "斜位 斜面 사위",
}
_PARTS = {
    view: re.compile("|".join(elements.without_accents(parts).upper().split()))
    for view, parts in _PARTS_OF_VIEW.items()
}
_LATERAL_IN_WORD = re.compile(
    r"(?<!BI)(?<!UNI)(?<!COL)(?<!CONTRA)(?<!KONTRA)(?<!IPSI)(?<!HOMO)LATERAL(?!I[TZ])"
)
# "Side" behind the chest, but not both, one or the left side; and from right to left.
_ACROSS = re.compile(
    r"胸[^|]{0,4}?(?<![两兩双雙両左右一患同对對健])[侧側](?![壁弯彎胸肺])|胸部?\W*(?:R\W{0,2}L|L\W{0,2}R)\b"
)
# Either frontal view, or several: beside a lateral word they say that a study has both.
_FRONTAL = "FRONTAL FRONTALE FRONT FACE FRENTE FORFRA VORNE PRZOD PREDOZADNI FRONTALNA BEIDE BOTH"
_SEVERAL = re.compile(
    r"\b(?:2|TWO|ZWEI|DUE|DOS|DEUX|DUAS|TWEE|DVE|DWA)[ -]?"
    r"(?:VIEW|V\b|VWS|EBENE|PROJ|PROIEZ|PROYEC|INCID|PLANE|PL\b|P\b|R\b|RICHT|PROS)"
)
# Words of chests and fillings, which others are joined to: CHESTLATERAL, LATCHEST, THORAXLL.
_CHEST = "CHEST CHST CXR THORAX TORAX TORACE TORAKS TORACICA MELLKAS XIONG XIONGBU חזה"
_JOINED_TO = (
    "THORACIC LUNG LUNGS RX XR DX CR DR XRAY RTG PROJ VIEW LEFT RIGHT UPRIGHT ERECT STANDING AND "
    "UND ET Y E I P A L R W"
)
# Two letters that mean a projection beside the chest, and a leg or a lobe elsewhere.
_BESIDE_CHEST = {
    **dict.fromkeys(["LL", "LLD", "RLD", "ZIJ", "OLDAL", "CE", "צד"], ViewPosition.LATERAL),
    **dict.fromkeys(("LLO", "RLO"), ViewPosition.OBLIQUE),
}
_CHEST_WORDS, _FRONTAL_WORDS = frozenset(_CHEST.split()), frozenset(_FRONTAL.split())
# Defined terms of ViewPosition (PS3.3 C.8.1.2); too short to be trusted in free text.
_TERMS = {ViewPosition.LATERAL: "LL RL RLD LLD XTL", ViewPosition.OBLIQUE: "RLO LLO"}
_VIEW_OF_WORD = {word: view for view, words in _WORDS.items() for word in words.split()}
_VIEW_OF_TERM = {word: view for view, words in _TERMS.items() for word in words.split()}
_SAGITTAL = frozenset("AP")
_LONGEST_JOINED = 32


def view_position(dataset: Dataset) -> ViewPosition:
    """Projection of an image.

    Args:
        dataset: A header.

    Returns:
        The first projection that a source names; UNKNOWN when none does. An oblique or lateral
        word in ViewPosition goes before a frontal one ("AP OBLIQUE" is oblique).
    """
    stated = elements.words_to_match(dataset, "ViewPosition")
    named = _named(stated)
    named |= {_VIEW_OF_TERM[word] for word in words_of(stated) if word in _VIEW_OF_TERM}
    for view in (ViewPosition.OBLIQUE, ViewPosition.LATERAL):
        if view in named:
            return view
    if len(named) == 1:
        return named.pop()
    for item in elements.items(dataset, "ViewCodeSequence")[:1]:
        code = elements.text(item, "CodeValue") or elements.text(item, "LongCodeValue")
        modified = _modified(item)
        if modified is not None:
            return modified
        if code in _VIEW_OF_CODE:
            return _VIEW_OF_CODE[code]
        named = _named(elements.words_to_match(item, "CodeMeaning"))
        if len(named) == 1:
            return named.pop()
    if is_sagittal(elements.texts(dataset, "PatientOrientation")):
        return ViewPosition.LATERAL
    return _described(dataset)


def _described(dataset: Dataset) -> ViewPosition:
    """The projection that free text names, the text nearest to the image first."""
    for keyword in _DESCRIPTIONS:
        named = _named(elements.words_to_match(dataset, keyword))
        if len(named) == 1:
            return named.pop()
    for *sequences, keyword in _DESCRIBING_SEQUENCES:
        item: Dataset | None = dataset
        for sequence in sequences:
            item = next(iter(elements.items(item, sequence)), None) if item is not None else None
        named = _named(elements.words_to_match(item, keyword)) if item is not None else set()
        if len(named) == 1:
            return named.pop()
    return ViewPosition.UNKNOWN


def _modified(view: Dataset) -> ViewPosition | None:
    """The oblique or lateral view that modifiers make of a view code (PS3.3 C.8.11.5)."""
    for item in elements.items(view, "ViewModifierCodeSequence"):
        code = elements.text(item, "CodeValue") or elements.text(item, "LongCodeValue")
        named = _named(elements.words_to_match(item, "CodeMeaning"))
        named |= {_VIEW_OF_CODE[code]} if code in _VIEW_OF_CODE else set()
        for position in (ViewPosition.OBLIQUE, ViewPosition.LATERAL):
            if position in named:
                return position
    return None


def is_sagittal(orientation: tuple[str, ...]) -> bool:
    """Whether the rows of an image run between front and back (PatientOrientation A or P)."""
    return bool(orientation) and orientation[0][:1].upper() in _SAGITTAL


def words_of(text: str) -> list[str]:
    """Words of free text, upper case, no accents; "P.A." and "P-A" are PA, likewise AP and LL."""
    plain = elements.without_accents(text).upper()
    plain = re.sub(r"\b(?:([AP])[./ -]([AP])|(L)[./ -](L))\b\.?", r"\1\2\3\4", plain)
    return re.findall(r"[^\W\d_]+", plain)


def names_lateral(text: str) -> bool:
    """Whether free text names a lateral or oblique projection, alone or beside others."""
    return bool(_named(text) & {ViewPosition.LATERAL, ViewPosition.OBLIQUE})


def _named(text: str) -> set[ViewPosition]:
    """The projections that a text names; a frontal one that is not told names PA and AP."""
    if not text:
        return set()
    words = words_of(text)
    plain, capitals = " ".join(words), elements.without_accents(text).upper()
    named = {view for word in words for view in _views_in(word)}
    named |= {view for view, parts in _PARTS.items() if parts.search(plain)}
    if _FRONTAL_WORDS & set(words) or _SEVERAL.search(capitals):
        named |= {ViewPosition.PA, ViewPosition.AP}
    if not text.isascii() and _ACROSS.search(capitals):
        named |= {ViewPosition.LATERAL}
    if _CHEST_WORDS & set(words):
        named |= {_BESIDE_CHEST[word] for word in words if word in _BESIDE_CHEST}
    return named


@cache
def _views_in(word: str) -> frozenset[ViewPosition]:
    """The projections that one word names, also where it is joined to others."""
    if word in _VIEW_OF_WORD:
        return frozenset({_VIEW_OF_WORD[word]})
    if _LATERAL_IN_WORD.search(word):
        return frozenset({ViewPosition.LATERAL})
    if len(word) > _LONGEST_JOINED or not any(part in word for part in _CHEST_WORDS):
        return frozenset()
    return _split(word) or frozenset()


def _split(word: str) -> frozenset[ViewPosition] | None:
    """The projections in a word that known words make up whole; None where they do not."""
    found: list[frozenset[ViewPosition] | None] = [frozenset(), *([None] * len(word))]
    for end in range(1, len(word) + 1):
        for start in range(end):
            before, part = found[start], word[start:end]
            if before is None or part not in _VOCABULARY:
                continue
            views = {v for v in (_VIEW_OF_WORD.get(part) or _BESIDE_CHEST.get(part),) if v}
            merged = before | views
            if found[end] is None or len(merged) > len(found[end] or ()):
                found[end] = merged
    return found[-1]


_VOCABULARY = frozenset({*_VIEW_OF_WORD, *_BESIDE_CHEST, *_JOINED_TO.split(), *_CHEST_WORDS})
