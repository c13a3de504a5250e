"""Projection: frontal, lateral or oblique, from everything in a header that names it.

Sources in the order of trust: ViewPosition (0018,5101), ViewCodeSequence (0054,0220),
PatientOrientation (0020,0020), then free-text descriptions. A source decides when it names one
projection; one that names several ("PA and lateral") says nothing of this image.
"""

from __future__ import annotations

import re

from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.radiograph import ViewPosition

_DESCRIPTIONS = (
    "SeriesDescription",
    "AcquisitionDeviceProcessingDescription",  # "CHEST,LAT" in films of makers without a view
    "ProtocolName",
    "PerformedProcedureStepDescription",
)

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

# Words of descriptions, in the languages that hospitals write them in.
_WORDS = {
    ViewPosition.PA: "PA",
    ViewPosition.AP: "AP",
    ViewPosition.LATERAL: "LAT LATERAL LLAT RLAT LATL LATR LATERALE LATERALIS LATERALT LATERALNA "
    "SEITLICH SEITL PROFIL PROFILE PROFILO PERFIL DECUBITUS 側面 侧位",
    ViewPosition.OBLIQUE: "OBL OBLIQUE OBLIQUA OBLICUA OBLIK RAO LAO RPO LPO",
}
# Defined terms of ViewPosition (PS3.3 C.8.1.2); too short to be trusted in free text.
_TERMS = {ViewPosition.LATERAL: "LL RL RLD LLD", ViewPosition.OBLIQUE: "RLO LLO"}
_VIEW_OF_WORD = {word: view for view, words in _WORDS.items() for word in words.split()}
_VIEW_OF_TERM = _VIEW_OF_WORD | {word: view for view, ws in _TERMS.items() for word in ws.split()}
_SAGITTAL = frozenset("AP")


def view_position(dataset: Dataset) -> ViewPosition:
    """Projection of an image.

    Args:
        dataset: A header.

    Returns:
        The first projection that a source names; UNKNOWN when none does. An oblique or lateral
        word in ViewPosition goes before a frontal one ("AP OBLIQUE" is oblique).
    """
    named = _named(elements.text(dataset, "ViewPosition"), _VIEW_OF_TERM)
    for view in (ViewPosition.OBLIQUE, ViewPosition.LATERAL):
        if view in named:
            return view
    if len(named) == 1:
        return named.pop()
    for item in elements.items(dataset, "ViewCodeSequence")[:1]:
        code = elements.text(item, "CodeValue") or elements.text(item, "LongCodeValue")
        if code in _VIEW_OF_CODE:
            return _VIEW_OF_CODE[code]
        named = _named(elements.text(item, "CodeMeaning"), _VIEW_OF_WORD)
        if len(named) == 1:
            return named.pop()
    if is_sagittal(elements.texts(dataset, "PatientOrientation")):
        return ViewPosition.LATERAL
    for keyword in _DESCRIPTIONS:
        named = _named(elements.text(dataset, keyword), _VIEW_OF_WORD)
        if len(named) == 1:
            return named.pop()
    return ViewPosition.UNKNOWN


def is_sagittal(orientation: tuple[str, ...]) -> bool:
    """Whether the rows of an image run between front and back (PatientOrientation A or P)."""
    return bool(orientation) and orientation[0][:1].upper() in _SAGITTAL


def words_of(text: str) -> list[str]:
    """Words of free text in upper case without accents; "P.A." and "P-A" are PA, likewise AP."""
    plain = re.sub(r"\b([AP])[./ -]([AP])\b\.?", r"\1\2", elements.without_accents(text).upper())
    return re.findall(r"[^\W\d_]+", plain)


def names_lateral(text: str) -> bool:
    """Whether free text names a lateral or oblique projection, alone or beside others."""
    return bool(_named(text, _VIEW_OF_WORD) & {ViewPosition.LATERAL, ViewPosition.OBLIQUE})


def _named(text: str, views: dict[str, ViewPosition]) -> set[ViewPosition]:
    return {views[word] for word in words_of(text) if word in views}
