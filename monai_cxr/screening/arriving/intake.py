"""Intake: the one door for every film: who it is, whether it is new, durable before it counts."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from pydicom import Dataset

from monai_cxr.dicom.header import elements, parsing
from monai_cxr.dicom.reader import DicomFile, open_dicom
from monai_cxr.dicom.results.instances import is_own_result
from monai_cxr.errors import InputError, UnreadableImage
from monai_cxr.picture.quiet import quiet
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading import film_readers
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.film_readers import read_apart
from monai_cxr.reading.plain_images import is_nifti, is_plain_image
from monai_cxr.reading.readings import PixelDigest
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import Ledger, arrivals, outbox, quarantine
from monai_cxr.screening.ledger.records import ReceivedFilm
from monai_cxr.screening.ledger.schema import TAKES_PLACE
from monai_cxr.screening.logs import uid_hash

REFUSED, IGNORED = "refused", arrivals.IGNORED
OWN_RESULT_REASON = "own_result"
_HEADER_BYTES = 256 * 2**10
_log = logging.getLogger(__name__)

THAT_MATTER = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber"),
    *("ReferringPhysicianName", "SeriesInstanceUID", "SOPClassUID", "Modality", "ViewPosition"),
    *("ViewCodeSequence", "BodyPartExamined", "AnatomicRegionSequence", "ImageType"),
    *("PatientOrientation", "Laterality", "ImageLaterality", "PresentationIntentType"),
    *("PresentationLUTShape", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"),
    *("PixelSpacing", "ImagerPixelSpacing", "BurnedInAnnotation"),
)
"""Attributes that a report repeats, or that decide whether and how a film is read. Another
institution's name or a route through another archive makes no correction."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a received file.

    Attributes:
        outcome: ``"new"``, ``"duplicate"``, ``"corrected"`` or ``"replaced"`` (it took the place of
            the film that was here), ``"conflict"`` (quarantined), ``"refused"`` (quarantined) or
            ``"ignored"`` (one of our own results came back).
        reason: Reason code of the last three, else ``""``.
        sop_uid: ``""`` when unreadable.
    """

    outcome: str
    reason: str = ""
    sop_uid: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether the film is in the queue or was before."""
        return self.outcome in (arrivals.NEW, arrivals.DUPLICATE, *TAKES_PLACE)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedFile:
    """A received file, parsed once; every question about it is answered from here.

    Attributes:
        data: The bytes, as they came.
        dicom: Header and place of the pixels, or why the file cannot be read.
        is_ours: Whether it is one of our own results.
    """

    data: bytes = field(repr=False)
    dicom: DicomFile | InputError = field(repr=False)
    is_ours: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether uncompressed gray pixels are fewer than the header says."""
        if isinstance(self.dicom, InputError):
            return False
        facts, parsed = self.dicom.facts, self.dicom.parsed
        if parsed.pixels is None or parsed.is_encapsulated or facts.samples_per_pixel != 1:
            return False
        return len(parsed.pixels) < facts.rows * facts.columns * facts.bits_allocated // 8


def opened(data: bytes) -> OpenedFile:
    """Parse a whole DICOM Part 10 file; one that cannot be read is a value too."""
    try:
        dicom = open_dicom(data)
    except InputError as error:
        return OpenedFile(data, error)
    with quiet():
        return OpenedFile(data, dicom, is_own_result(dicom.parsed.dataset))


def receive(
    ledger: Ledger,
    spool: Spool,
    file: bytes | OpenedFile,
    *,
    source: str,
    calling_ae: str = "",
    priority: str = "ROUTINE",
    announced_uid: str = "",
) -> Receipt:
    """Take one file in; when it returns, file and job are durable.

    Args:
        ledger: The ledger.
        spool: Where the bytes are kept, as they came.
        file: A whole DICOM Part 10 file, or what :func:`opened` made of it.
        source: Name of the door, for example ``"c-store"``.
        calling_ae: AE title of the sender.
        priority: Priority class.
        announced_uid: What the sender called it, so that a refused one is not fetched again.

    Returns:
        What became of it.

    Raises:
        SpoolFull: If the disk is below its low-water mark; the sender must keep the film.
    """
    file = opened(file) if isinstance(file, bytes) else file
    try:
        if isinstance(file.dicom, InputError):
            raise file.dicom
        key = file.dicom.facts.key
        if file.is_ours or (key.sop_uid and outbox.is_ours(ledger, key.sop_uid)):
            arrivals.ignore(
                ledger, key.sop_uid, OWN_RESULT_REASON, source=source, calling_ae=calling_ae
            )
            return Receipt(IGNORED, OWN_RESULT_REASON, key.sop_uid)
        pixels = hashlib.sha256(file.dicom.parsed.pixels or b"").hexdigest()
        film = _described(file.dicom, Path(), len(file.data), pixel_sha256=pixels)
    except InputError as error:
        path = spool.store(file.data)
        quarantine.refuse(
            ledger,
            str(path),
            error.reason,
            str(error),
            source=source,
            calling_ae=calling_ae,
            sop_uid=announced_uid,
        )
        return Receipt(REFUSED, error.reason)
    path = spool.store(file.data)
    outcome = arrivals.enqueue(
        ledger,
        replace(film, path=str(path), source=source, calling_ae=calling_ae, priority=priority),
        judgement=JUDGEMENT,
    )
    discard_superseded(ledger, spool, film.key.sop_uid, outcome, path)
    reason = arrivals.SAME_UID_REASON if outcome == arrivals.CONFLICT else ""
    return Receipt(outcome, reason, film.key.sop_uid)


def discard_superseded(
    ledger: Ledger, spool: Spool, sop_uid: str, outcome: str, newcomer: Path
) -> None:
    """Delete a file that nothing refers to any more: a duplicate, or a replaced film."""
    offered = {str(newcomer)} if outcome == arrivals.DUPLICATE else set[str]()
    if outcome in TAKES_PLACE:
        offered = arrivals.paths_of(ledger, sop_uid)
        extra = {"outcome": outcome, "uid_hash": uid_hash(sop_uid)}
        _log.warning("a film took the place of the one that was here", extra=extra)
    for path in offered - arrivals.kept_paths(ledger, offered):
        spool.discard(Path(path))


def recover(ledger: Ledger, spool: Spool) -> int:
    """Take in again what a crash left in the spool without a row; gives how many there were."""
    spool.sweep_parts()
    n_recovered, batch = 0, list[Path]()
    for path in chain(spool.files(), [None]):
        if path is not None:
            batch.append(path)
        if len(batch) >= 500 or (path is None and batch):
            known = arrivals.known_paths(ledger, map(str, batch))
            for left in batch:
                if str(left) not in known:
                    receive(ledger, spool, left.read_bytes(), source="recovery")
                    n_recovered += 1
            batch.clear()
    return n_recovered


def describe(path: Path, *, name: str, source: str) -> ReceivedFilm:
    """Identify a file that stays in place, by reading only its header.

    Args:
        path: The file.
        name: Key of an image that has no header and so no UID: its path within its archive.
        source: Name of the door.

    Raises:
        UnreadableImage: If it is neither a DICOM file nor a picture, or has no UID.
    """
    data, is_whole = _beginning(path)
    size = path.stat().st_size
    if not parsing.is_dicom(data):
        if not (is_plain_image(data) or is_nifti(data)):
            raise UnreadableImage(
                "Expected a DICOM, PNG, JPEG, TIFF or NIfTI file, but the content is none of them.",
                reason="not_an_image",
            )
        key = InstanceKey("", "", "", name)
        return ReceivedFilm(key, str(path), source=source, size_bytes=size)
    try:
        dicom = open_dicom(data)
        has_pixels = dicom.parsed.pixels is not None or dicom.parsed.has_float_pixels
    except UnreadableImage:
        if is_whole:
            raise
        has_pixels = False
    if not has_pixels and not is_whole:  # a header longer than the part that was read
        dicom = open_dicom(read_bytes(path)[0])
    return replace(_described(dicom, path, size), source=source)


def same_pixels(kept: str, offered: str) -> bool:
    """Whether two DICOM files hold the same pixels, in whatever transfer syntax."""
    return film_readers.same_pixels(Path(kept), Path(offered))


def is_sound(path: str) -> bool:
    """Whether the pixels of a DICOM file can be decoded."""
    try:
        read_apart(PixelDigest(), Path(path))
    except InputError:
        return False
    return True


def header_changes(kept: str, offered: str) -> list[str]:
    """Keywords in :data:`THAT_MATTER` of which two DICOM files say something else."""
    try:
        with quiet():
            first, second = (parsing.parse(read_bytes(Path(p))[0]).dataset for p in (kept, offered))
            return [name for name in THAT_MATTER if _said(first, name) != _said(second, name)]
    except InputError:
        return []


JUDGEMENT = arrivals.Judgement(same_pixels, header_changes, is_sound)
"""How a film is judged that was sent again."""


def _said(dataset: Dataset, keyword: str) -> object:
    coded = [elements.text(item, "CodeValue") for item in elements.items(dataset, keyword)]
    return coded or elements.texts(dataset, keyword)


def _beginning(path: Path) -> tuple[bytes, bool]:
    try:
        with path.open("rb") as stream:
            data = stream.read(_HEADER_BYTES)
            is_whole = len(data) < _HEADER_BYTES
    except OSError as error:
        raise UnreadableImage(
            f"The file cannot be read: {error.strerror or type(error).__name__}.",
            reason="unreadable",
        ) from None
    if not data:
        raise UnreadableImage("The file is empty. Send it again.", reason="empty_file")
    return data, is_whole


def _described(
    dicom: DicomFile, path: Path, size_bytes: int, *, pixel_sha256: str = ""
) -> ReceivedFilm:
    facts = dicom.facts
    with quiet():
        accession_number = elements.identifier(dicom.parsed.dataset, "AccessionNumber")
        study_date = elements.text(dicom.parsed.dataset, "StudyDate")
    if not facts.key.sop_uid:
        raise UnreadableImage(
            "The SOP Instance UID (0008,0018) is missing, so the image has no name. Send it "
            "with its UIDs.",
            reason="no_identity",
        )
    return ReceivedFilm(
        facts.key,
        str(path),
        pixel_sha256=pixel_sha256,
        size_bytes=size_bytes,
        sop_class_uid=facts.sop_class_uid,
        modality=facts.modality[:16],
        study_date=study_date[:32],
        accession_number=accession_number,
    )
