"""Instances: what we write into a study: derived identifiers, facts taken over from a film.

A result's UID is a function of the film, the model and the kind of result, so that making it again
after a crash makes the same object, and a PACS that has it keeps one.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time

from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import UID

from monai_cxr.dicom.header import elements, parsing
from monai_cxr.dicom.header.scope import is_radiograph_class
from monai_cxr.dicom.reader import DicomFile
from monai_cxr.errors import CXRError, UnsupportedImage
from monai_cxr.picture.quiet import quiet

MANUFACTURER = "monai_cxr"
"""Manufacturer (0008,0070) of everything that we write; films never carry it."""

Source = bytes | Dataset | DicomFile

_TEXTS = (
    ("PatientID", 64),
    ("IssuerOfPatientID", 64),
    ("AccessionNumber", 16),
    ("StudyID", 16),
    ("StudyDescription", 64),
    ("Manufacturer", 64),
    ("ManufacturerModelName", 64),
)
STUDY_KEYWORDS = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "StudyDescription",
)
"""Patient and study attributes that a result repeats."""

_IMPLEMENTATION_UID = "2.25.252879846312413546938172464834107953419"
_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True, slots=True)
class DicomInstance:
    """A written object, with what a sender must know of it.

    Attributes:
        sop_class_uid: SOP Class UID.
        sop_uid: SOP Instance UID.
        series_uid: Series Instance UID.
        study_uid: Study Instance UID, that of the film.
        data: A DICOM Part 10 file.
    """

    sop_class_uid: str
    sop_uid: str
    series_uid: str
    study_uid: str
    data: bytes

    @property
    def identifier(self) -> str:
        """Its name in the ledger: the SOP Instance UID."""
        return self.sop_uid

    @property
    def file_name(self) -> str:
        """Its name in a folder."""
        return f"{self.sop_uid}.dcm"

    def __repr__(self) -> str:
        """Show the UID and the size; no pixels, no patient."""
        return f"DicomInstance(sop_uid={self.sop_uid!r}, {len(self.data)} bytes)"


def derived_uid(source_uid: str, model_digest: str, kind: str) -> str:
    """UID of a result: ``2.25.`` and a name-based UUID (PS3.5 B.2; RFC 9562 5.5).

    Args:
        source_uid: UID of the film or study it is made from.
        model_digest: Digest of the model that made it.
        kind: For example ``"sr"`` or ``"sr-series"``.

    Returns:
        At most 44 characters.
    """
    name = f"{source_uid}|{model_digest}|{kind}"
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


@contextmanager
def writing() -> Iterator[None]:
    """Write an object quietly; what a library cannot make of a header is an error of ours.

    Raises:
        UnsupportedImage: ``"not_reportable"``.
    """
    with quiet():
        try:
            yield
        except CXRError:
            raise
        except elements.MALFORMED as error:
            raise UnsupportedImage(
                f"No result can be written for this header ({type(error).__name__}). Correct it "
                "at the source.",
                reason="not_reportable",
            ) from None


def header_of(source: Source) -> Dataset:
    """The header of a film, from its file, its parsed file or itself."""
    if isinstance(source, DicomFile):
        return source.parsed.dataset
    return parsing.parse(source).dataset if isinstance(source, bytes) else source


def is_own_result(header: Dataset) -> bool:
    """Whether a data set is one of our results, which must never come back as a film."""
    return elements.text(header, "Manufacturer") == MANUFACTURER


def film_evidence(header: Dataset) -> Dataset:
    """Take over from a film what a result in the same study repeats.

    Only well-formed values are taken; an attribute that the standard demands and the film lacks is
    empty. Text is decoded by the film's own character set and written as UTF-8 where it needs it.

    Args:
        header: Header of the film.

    Returns:
        A small data set of identity, study, equipment and geometry.

    Raises:
        UnsupportedImage: ``"no_identity"`` if a UID is missing or malformed, because the result
            could not be filed in the study; ``"sop_class"`` if it is no radiograph.
    """
    result = Dataset()
    for keyword in _UIDS:
        value = elements.text(header, keyword)
        if not UID(value).is_valid:
            state = "malformed" if value else "missing"
            raise UnsupportedImage(
                f"{keyword} is {state}, so no result can be filed in the study. "
                "Send the film with valid UIDs.",
                reason="no_identity",
            )
        setattr(result, keyword, UID(value))
    if not is_radiograph_class(result.SOPClassUID):
        raise UnsupportedImage(
            "The SOP Class is not that of a radiograph, so no result can cite it.",
            reason="sop_class",
        )
    for keyword, longest in _TEXTS:
        value = elements.text(header, keyword)[:longest].strip().replace("\\", " ")
        if value or keyword in ("PatientID", "AccessionNumber", "StudyID"):
            setattr(result, keyword, value)
    result.PatientName = _person_name(header, "PatientName")
    result.ReferringPhysicianName = _person_name(header, "ReferringPhysicianName")
    result.PatientBirthDate = _date(header, "PatientBirthDate")
    sex = elements.text(header, "PatientSex").upper()[:1]
    result.PatientSex = sex if sex in ("M", "F", "O") else ""
    result.StudyDate = _date(header, "StudyDate")
    result.StudyTime = _time(header, "StudyTime")
    result.Modality = _code_string(header, "Modality") or "OT"
    for keyword in ("Rows", "Columns"):
        setattr(result, keyword, elements.integer(header, keyword) or 0)
    _add_geometry(result, header)
    texts = [str(element.value) for element in result]
    if not all(text.isascii() for text in texts):
        result.SpecificCharacterSet = "ISO_IR 192"
    return result


def add_file_meta(dataset: Dataset, transfer_syntax: str) -> None:
    """Set the file meta information (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "MONAI_CXR"
    dataset.file_meta = meta


def written(dataset: Dataset) -> DicomInstance:
    """Encode a data set that has its file meta information."""
    stream = io.BytesIO()
    with quiet():
        dcmwrite(stream, dataset, enforce_file_format=True)
    return DicomInstance(
        sop_class_uid=str(dataset.SOPClassUID),
        sop_uid=str(dataset.SOPInstanceUID),
        series_uid=str(dataset.SeriesInstanceUID),
        study_uid=str(dataset.StudyInstanceUID),
        data=stream.getvalue(),
    )


def stamp(dataset: Dataset, created: datetime) -> None:
    """Set when an object was made, so that making it again gives the same bytes."""
    moment = created.astimezone() if created.tzinfo else created
    dataset.InstanceCreationDate = moment.strftime("%Y%m%d")
    dataset.InstanceCreationTime = moment.strftime("%H%M%S")
    for keyword in ("ContentDate", "DateOfSecondaryCapture"):
        if keyword in dataset:
            setattr(dataset, keyword, dataset.InstanceCreationDate)
    for keyword in ("ContentTime", "TimeOfSecondaryCapture"):
        if keyword in dataset:
            setattr(dataset, keyword, dataset.InstanceCreationTime)
    for item in dataset.get("ContributingEquipmentSequence", ())[-1:]:  # the library that wrote it
        if "ContributionDateTime" in item:
            item.ContributionDateTime = moment.strftime("%Y%m%d%H%M%S")


def _add_geometry(result: Dataset, header: Dataset) -> None:
    orientation = elements.texts(header, "PatientOrientation")
    if len(orientation) == 2 and all(re.fullmatch(r"[A-Z]{1,3}", v) for v in orientation):
        result.PatientOrientation = list(orientation)
    spacing = elements.numbers(header, "ImagerPixelSpacing")
    if len(spacing) == 2 and all(0.0 < v < 100.0 for v in spacing):
        result.ImagerPixelSpacing = [f"{v:.6g}" for v in spacing]


def _person_name(header: Dataset, keyword: str) -> str:
    """A name with its alphabetic, ideographic and phonetic groups (PS3.5 6.2.1)."""
    try:
        value = header.get(keyword)
        text = "" if value is None else str(value)
    except elements.MALFORMED:
        return ""
    groups = "".join(c for c in text if c.isprintable() and c != "\\").split("=")[:3]
    return "=".join("^".join(group.strip()[:64].split("^")[:5]) for group in groups).rstrip("=")


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
