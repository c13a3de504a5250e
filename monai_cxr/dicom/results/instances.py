"""Instances: what we write into a study: derived identifiers, times, encoding.

A result's UID is a function of the film, the model and the kind of result, so that making it again
after a crash makes the same object, and a PACS that has it keeps one.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from pydicom import Dataset, FileMetaDataset, dcmread, dcmwrite
from pydicom.uid import UID, ImplicitVRLittleEndian

from monai_cxr.dicom.header import elements, parsing
from monai_cxr.dicom.reader import DicomFile
from monai_cxr.errors import CXRError, UnsupportedImage
from monai_cxr.picture.quiet import quiet
from monai_cxr.prediction import ModelIdentity

MANUFACTURER = "monai_cxr"
"""Manufacturer (0008,0070) of everything that we write; films never carry it."""

Source = bytes | Dataset | DicomFile

_IMPLEMENTATION_UID = "2.25.252879846312413546938172464834107953419"


@dataclass(frozen=True, slots=True)
class InstanceReference:
    """What names an object within its study.

    Attributes:
        sop_class_uid: SOP Class UID.
        sop_uid: SOP Instance UID.
        series_uid: Series Instance UID.
    """

    sop_class_uid: str
    sop_uid: str
    series_uid: str


@dataclass(frozen=True, slots=True)
class DicomInstance(InstanceReference):
    """A written object, with what a sender must know of it.

    Attributes:
        study_uid: Study Instance UID, that of the film.
        data: A DICOM Part 10 file.
    """

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


def renamed(instance: DicomInstance, variant: str) -> DicomInstance:
    """The same object under other UIDs, those of the instance and its series.

    Args:
        instance: The object.
        variant: What makes the difference, such as the digest of a corrected film.
    """
    return renamed_to(
        instance,
        derived_uid(instance.sop_uid, variant, "corrected"),
        derived_uid(instance.series_uid, variant, "corrected"),
    )


def renamed_to(instance: DicomInstance, sop_uid: str, series_uid: str) -> DicomInstance:
    """The same object under these UIDs."""
    with quiet():
        dataset = dcmread(io.BytesIO(instance.data))
        dataset.SOPInstanceUID, dataset.SeriesInstanceUID = sop_uid, series_uid
        add_file_meta(dataset, str(dataset.file_meta.TransferSyntaxUID))
        return written(dataset)


def make_implicit(dataset: Dataset) -> None:
    """Have a data set written as Implicit VR Little Endian, its texts byte for byte as they are."""
    for tag in list(dataset.keys()):
        if dataset.get_item(tag).VR == "SQ":
            dataset[tag]  # items are parsed, because their bytes are in the other syntax
    dataset.set_original_encoding(True, True, dataset._character_set)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def stamp(dataset: Dataset, created: datetime) -> None:
    """Set when an object was made, so that making it again gives the same bytes on any host.

    Times are in the zone that the data set states in Timezone Offset From UTC (0008,0201), which
    is the film's where the film states one; else in UTC, and the data set says so (PS3.3 C.12.1.1).

    Args:
        dataset: The object, with the attributes of its study.
        created: When; a time without a zone is in UTC.
    """
    zone = zone_of(dataset)
    if zone is None:
        zone, dataset.TimezoneOffsetFromUTC = timezone.utc, "+0000"
    aware = created if created.tzinfo else created.replace(tzinfo=timezone.utc)
    moment = aware.astimezone(zone)
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
            item.ContributionDateTime = moment.strftime("%Y%m%d%H%M%S%z")


def zone_of(header: Dataset) -> timezone | None:
    """The zone that Timezone Offset From UTC (0008,0201) states; None without one."""
    offset = elements.text(header, "TimezoneOffsetFromUTC")
    match = re.fullmatch(r"([+-])(\d{2})([0-5]\d)", offset)
    if match is None:
        return None
    minutes = (60 * int(match[2]) + int(match[3])) * (-1 if match[1] == "-" else 1)
    return timezone(timedelta(minutes=minutes)) if -720 <= minutes <= 840 else None


def written_name(model: ModelIdentity) -> ModelIdentity:
    """A model as results name it: in ASCII, because a result has the film's character set."""

    def plain(text: str) -> str:
        return elements.without_accents(text).encode("ascii", "replace").decode()

    return replace(model, name=plain(model.name), version=plain(model.version))
