"""Evidence: what a result takes over from its film: identity and study as they are, geometry.

A PACS files a result by the study's attributes, so they are repeated byte for byte, in the film's
own character set and even where they are odd. What a library must be able to read, such as
geometry, is taken only where it is well formed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, time

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.tag import Tag
from pydicom.uid import UID

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.scope import is_radiograph_class
from monai_cxr.dicom.results.instances import InstanceReference
from monai_cxr.errors import UnsupportedImage

REQUIRED_STUDY_KEYWORDS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
"""Attributes of type 2: present in every result, empty where the film has none."""

STUDY_KEYWORDS = (
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", *REQUIRED_STUDY_KEYWORDS),
    *("IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence"),
    *("OtherPatientIDs", "OtherPatientIDsSequence", "PatientBirthTime", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "ClinicalTrialSponsorName"),
    *("ClinicalTrialProtocolID", "ClinicalTrialSubjectID", "StudyDescription"),
    *("IssuerOfAccessionNumberSequence", "PhysiciansOfRecord", "ProcedureCodeSequence"),
    *("PatientAge", "PatientSize", "PatientWeight"),
)
"""Attributes of patient and study (PS3.3 C.7.1, C.7.2) that a result repeats."""

_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64


def film_evidence(header: Dataset) -> Dataset:
    """What a library needs to know about a film to write a result; its study is added afterwards.

    Args:
        header: Header of the film.

    Returns:
        A small data set of UIDs, well-formed dates, and geometry.

    Raises:
        UnsupportedImage: ``"no_identity"`` if a UID is missing, malformed or longer than 64
            characters, because the result could not be filed in the study; ``"sop_class"`` if it
            is no radiograph. A component with a leading zero, which old rooms write, is kept.
    """
    result = Dataset()
    for keyword in _UIDS:
        value = elements.identifier(header, keyword)
        if not _UID.fullmatch(value) or len(value) > _LONGEST_UID:
            state = "malformed" if value else "missing"
            raise UnsupportedImage(
                f"{keyword} is {state}, so no result can be filed in the study. "
                "Send the film with valid UIDs.",
                reason="no_identity",
            )
        result[keyword] = DataElement(Tag(keyword), "UI", UID(value), validation_mode=IGNORE)
    if not is_radiograph_class(result.SOPClassUID):
        raise UnsupportedImage(
            "The SOP Class is not that of a radiograph, so no result can cite it.",
            reason="sop_class",
        )
    for keyword in REQUIRED_STUDY_KEYWORDS:
        setattr(result, keyword, "")
    result.StudyDate = _date(header, "StudyDate")
    result.StudyTime = _time(header, "StudyTime")
    result.Modality = _code_string(header, "Modality") or "OT"
    for keyword in ("Rows", "Columns"):
        setattr(result, keyword, max(elements.integer(header, keyword) or 0, 0))
    _add_geometry(result, header)
    return result


def repeat_study(result: Dataset, header: Dataset) -> None:
    """Give a result the patient and study attributes of its film, as the film has them.

    Values are copied as bytes, and with them the film's Specific Character Set (0008,0005), or its
    absence; whatever else a result says is ASCII, which every character set contains.

    Args:
        result: The result; what it says of these attributes is replaced.
        header: Header of the film.
    """
    for keyword in STUDY_KEYWORDS:
        tag = Tag(keyword)
        if tag in result:
            del result[tag]
        element = _carried(header, keyword)
        if element is not None:
            result[tag] = element
        elif keyword in REQUIRED_STUDY_KEYWORDS:
            setattr(result, keyword, "")
    requests = _requests(header)
    if requests and "ReferencedRequestSequence" not in result and result.get("Modality") == "SR":
        result.ReferencedRequestSequence = requests
    # pydicom decodes and encodes again what it takes for text of another data set.
    correct_ambiguous_vr(result, True)
    result.set_original_encoding(False, True, result._character_set)


def sop_reference(sop_class_uid: str, sop_uid: str) -> Dataset:
    """An item that refers to an instance (PS3.3 Table 10-11)."""
    return elements.data_set(ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=sop_uid)


def study_reference(study: Dataset, instances: Iterable[InstanceReference]) -> Dataset:
    """Hierarchical SOP Instance Reference (PS3.3 Table 10-3b) of instances of one study.

    Args:
        study: Any data set with the Study Instance UID.
        instances: What is referred to.
    """
    by_series: dict[str, list[Dataset]] = {}
    for one in instances:
        reference = sop_reference(one.sop_class_uid, one.sop_uid)
        by_series.setdefault(one.series_uid, []).append(reference)
    made = Dataset()
    made["StudyInstanceUID"] = study["StudyInstanceUID"]
    made.ReferencedSeriesSequence = [
        elements.data_set(SeriesInstanceUID=series, ReferencedSOPSequence=references)
        for series, references in by_series.items()
    ]
    return made


def _carried(header: Dataset, keyword: str) -> DataElement | RawDataElement | None:
    tag, vr = Tag(keyword), dictionary_VR(keyword)
    if tag not in header:
        return None
    element: DataElement | RawDataElement = header.get_item(tag)
    if vr == "SQ":
        items = elements.items(header, keyword)
        return DataElement(tag, vr, list(items)) if items else None
    if not isinstance(element, RawDataElement):
        return element
    value = element.value or b""
    if len(value) > elements.MAX_VALUE_BYTES:
        return None
    padded = value + b" " * (len(value) % 2)
    return RawDataElement(tag, vr, len(padded), padded, 0, False, True)


def _requests(header: Dataset) -> list[Dataset]:
    """Referenced Request Sequence (PS3.3 C.17.2) from the film's Request Attributes Sequence."""
    requests = []
    for item in elements.items(header, "RequestAttributesSequence"):
        request = Dataset()
        request.StudyInstanceUID = UID(
            elements.identifier(item, "StudyInstanceUID")
            or elements.identifier(header, "StudyInstanceUID"),
            IGNORE,
        )
        request.ReferencedStudySequence = []
        for keyword in ("AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription"):
            element = item.get_item(Tag(keyword)) if keyword in item else None
            if element is None:
                element = header.get_item(Tag(keyword)) if keyword in header else None
            if element is None:
                setattr(request, keyword, "")
            else:
                request[keyword] = element
        request.RequestedProcedureCodeSequence = list(
            elements.items(item, "RequestedProcedureCodeSequence")
        )
        for keyword in ("PlacerOrderNumberImagingServiceRequest",
                        "FillerOrderNumberImagingServiceRequest"):  # fmt: skip
            element = header.get_item(Tag(keyword)) if keyword in header else None
            if element is None:
                setattr(request, keyword, "")
            else:
                request[keyword] = element
        requests.append(request)
    return requests


def _add_geometry(result: Dataset, header: Dataset) -> None:
    orientation = elements.texts(header, "PatientOrientation")
    if len(orientation) == 2 and all(re.fullmatch(r"[A-Z]{1,3}", v) for v in orientation):
        result.PatientOrientation = list(orientation)
    spacing = elements.numbers(header, "ImagerPixelSpacing")
    if len(spacing) == 2 and all(0.0 < v < 100.0 for v in spacing):
        result.ImagerPixelSpacing = [f"{v:.6g}" for v in spacing]


def _date(header: Dataset, keyword: str) -> str:
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", elements.text(header, keyword))
    try:
        return date(*map(int, match.groups())).strftime("%Y%m%d") if match else ""
    except ValueError:
        return ""


def _time(header: Dataset, keyword: str) -> str:
    match = re.match(r"(\d{2}):?(\d{2}):?(\d{2})", elements.text(header, keyword))
    try:
        return time.fromisoformat(":".join(match.groups())).strftime("%H%M%S") if match else ""
    except ValueError:
        return ""


def _code_string(header: Dataset, keyword: str) -> str:
    value = elements.text(header, keyword).upper()
    return value if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else ""
