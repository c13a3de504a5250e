"""Delivery: from the outbox to a folder, a PACS or a DICOMweb service, until the receiver has it.

Each destination is served on its own, so that a dead one holds up no other. An object counts as
delivered when the receiver said so; everything else is tried again, after a growing pause.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from monai_cxr.atomic import PRIVATE_FILE, open_private, private_folder, sync_folder
from monai_cxr.dicom.header import elements
from monai_cxr.dicom.results.instances import DicomInstance, Source, header_of, renamed
from monai_cxr.dicom.results.report_document import BEST_REPORT_CLASS, alternatives, class_of
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import CXRError, DeliveryError, MissingDependency, SettingsError
from monai_cxr.picture.quiet import quiet
from monai_cxr.prediction import OperatingPoint
from monai_cxr.reading.files import read_bytes
from monai_cxr.screening.arriving.spool import MAY_PASS
from monai_cxr.screening.delivering.study_message import Message
from monai_cxr.screening.delivering.withdrawals import withdrawal
from monai_cxr.screening.ledger import Ledger, outbox, presentation, studies
from monai_cxr.screening.ledger.outbox import Delivery, DeliveryContent
from monai_cxr.screening.ledger.rejections import WITHDRAWAL
from monai_cxr.screening.ledger.studies import Study
from monai_cxr.screening.logs import uid_hash
from monai_cxr.screening.network import dicomweb, mllp_client, storage_scu
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.network.mllp_client import MllpPeer
from monai_cxr.screening.network.storage_scu import Answer

BATCH = 16
"""Objects of one association; building one takes about 0.3 s, and a lease 120 s."""

NOTHING_TO_SEND = "nothing_to_send"
_UNSETTLED_SECONDS = 5.0

Made = DicomInstance | Message
"""What is delivered."""

Builder = Callable[[DeliveryContent], Made | None]
"""Makes the object of a delivery, the same each time; None where there is nothing to send."""

StudyBuilder = Callable[[Ledger, Delivery], Made | None]
"""The same for a delivery that is not of one film and one result."""

_LOG = logging.getLogger(__name__)


class Destination(Protocol):
    """Where objects go."""

    @property
    def name(self) -> str:
        """Its name in the settings and in the outbox."""

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send objects; one answer each.

        Raises:
            DeliveryError: If none could be sent.
        """


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, for another system to fetch from.

    Attributes:
        name: Name of the destination.
        path: The folder; files are named by their identifier, such as ``<SOP Instance UID>.dcm``,
            and appear whole. A folder that is made here, and its files, are for this user alone;
            in one that is here already, its default ACL may say otherwise.
        file_mode: Mode of its files, ``0o640`` for an interface engine in this user's group.
        sr_class: The class that reports are written in.
    """

    name: str
    path: Path
    file_mode: int = PRIVATE_FILE
    sr_class: str = BEST_REPORT_CLASS

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Write files durably."""
        return [self.write(one) for one in made]

    def write(self, made: Made) -> Answer:
        """Write one file durably."""
        one: Made = made
        if isinstance(made, DicomInstance):
            one = next(alternatives(made, self.sr_class))
        target = self.path / one.file_name
        part = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        try:
            private_folder(self.path, file_mode=self.file_mode)
            with open_private(part, file_mode=self.file_mode) as file:
                file.write(one.data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
            sync_folder(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return Answer(False, error=os.strerror(error.errno or 0))
        return Answer(True, status="written", object_uid="" if one is made else one.identifier)


@dataclass(frozen=True, slots=True)
class Pacs:
    """A PACS that takes C-STORE.

    Attributes:
        name: Name of the destination.
        peer: Its address.
        calling_ae: Our AE title.
        sr_class: The class that reports go in, where the PACS takes it.
    """

    name: str
    peer: Peer
    calling_ae: str = "MONAI_CXR"
    sr_class: str = BEST_REPORT_CLASS

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send in one association."""
        return storage_scu.store(
            _instances(made), self.peer, calling_ae=self.calling_ae, sr_class=self.sr_class
        )


@dataclass(frozen=True, slots=True)
class DicomWeb:
    """A service that takes STOW-RS.

    Attributes:
        name: Name of the destination.
        server: Its address.
        sr_class: The class that reports are sent in first.
    """

    name: str
    server: dicomweb.DicomWebServer
    sr_class: str = BEST_REPORT_CLASS

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send one request an object."""
        return dicomweb.store(_instances(made), self.server, sr_class=self.sr_class)


@dataclass(frozen=True, slots=True)
class Mllp:
    """An interface engine that takes HL7 messages over MLLP.

    Attributes:
        name: Name of the destination.
        peer: Its address.
    """

    name: str
    peer: MllpPeer

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send on one connection."""
        return mllp_client.send([one.data for one in made], self.peer)


def _instances(made: Sequence[Made]) -> list[DicomInstance]:
    instances = [one for one in made if isinstance(one, DicomInstance)]
    if len(instances) != len(made):
        raise SettingsError("A PACS takes DICOM objects only; messages go to a folder or by MLLP.")
    return instances


def source_of(content: DeliveryContent) -> Source:
    """A film's file; or its header with the patient ID that stands since two were merged.

    Raises:
        InputError: If the file is away or cannot be parsed.
    """
    data, _ = read_bytes(content.film.path)
    if not content.is_merged:
        return data
    header = header_of(data)
    with quiet():
        if elements.identifier(header, "PatientID") != content.film.key.patient_id:
            header.PatientID = content.film.key.patient_id
    return header


def report_builder(
    operating_points: Mapping[str, OperatingPoint],
    calibration: str | Mapping[str, str] = "",
    write: Callable[..., DicomInstance] = structured_report,
) -> Callable[[DeliveryContent], DicomInstance]:
    """A builder of reports of a film, for deliveries of kind ``"sr"`` or ``"pdf"``.

    Args:
        operating_points: Of the model, by finding.
        calibration: How its probabilities were calibrated, by finding.
        write: :func:`~monai_cxr.dicom.results.structured_report.structured_report` or
            :func:`~monai_cxr.dicom.results.encapsulated_pdf.encapsulated_pdf`.
    """

    def build(content: DeliveryContent) -> DicomInstance:
        return write(
            ReportedFilm(source_of(content), content.result.prediction),
            operating_points=operating_points,
            calibration=calibration,
            created=datetime.fromtimestamp(content.result.predicted_at, timezone.utc),
        )

    return build


def deliver_batch(
    ledger: Ledger,
    destination: Destination,
    builders: Mapping[str, Builder],
    owner: str,
    *,
    n: int = BATCH,
    keep_trying_seconds: float = outbox.KEEP_TRYING_SECONDS,
    is_settled: Callable[[Study], bool] | None = None,
    of_studies: Mapping[str, StudyBuilder] | None = None,
) -> tuple[int, int]:
    """Take up to n due deliveries of a destination and send them.

    A raw image (FOR PROCESSING) waits until its study is settled; where the study has the image for
    presentation too, there is nothing to send for the raw one.

    Args:
        ledger: The ledger.
        destination: Where to.
        builders: By kind, for example ``{"sr": report_builder(points)}``.
        owner: Unique name of this process and thread.
        n: Deliveries at most.
        keep_trying_seconds: How long a receiver may be away before a delivery is given up.
        is_settled: Whether all films of a study are here; default: it is quiet.
        of_studies: By kind, such as ``{"study_sr": study_report_builder(...)}``.

    Returns:
        (delivered, not delivered) this time.
    """
    attempt = _Attempt(ledger, owner, keep_trying_seconds, is_settled or _quiet_since(ledger))
    others = {WITHDRAWAL: withdrawal, **(of_studies or {})}
    kinds = [*builders, *others]
    leased = outbox.lease(ledger, owner, n, kinds=kinds, destinations=[destination.name])
    built: list[tuple[Delivery, Made]] = []
    n_delivered = 0
    for delivery in leased:
        try:
            made: Made | None
            if delivery.kind in others:
                made = others[delivery.kind](ledger, delivery)
            else:
                content = outbox.content(ledger, delivery)
                if attempt.waits(content):
                    continue
                made = attempt.made(content, builders[delivery.kind])
        except MissingDependency:
            raise
        except CXRError as error:  # this object cannot be made; the others can
            kind = getattr(error, "reason", type(error).__name__)
            attempt.failed(delivery, Answer(False, error=kind, permanent=kind not in MAY_PASS))
            continue
        except SQLAlchemyError:  # the ledger is away, which is no fault of this object
            raise
        except Exception as error:  # noqa: BLE001 - one object must not stop the others
            answer = Answer(False, error=type(error).__name__)
            attempt.failed(delivery, answer, max_attempts=outbox.MAX_ATTEMPTS_TO_MAKE)
            continue
        if made is None:
            attempt.delivered(delivery, NOTHING_TO_SEND)
            n_delivered += 1
        else:
            built.append((delivery, made))
    if not built:
        return n_delivered, len(leased) - n_delivered
    try:
        answers = destination.send([one for _, one in built])
    except DeliveryError as error:
        answers = [Answer(False, error=str(error))] * len(built)
    for (delivery, sent), answer in zip(built, answers, strict=True):
        if answer.stored:
            attempt.delivered(delivery, answer.status, sent, answer.object_uid)
            n_delivered += 1
        else:
            attempt.failed(delivery, answer)
    return n_delivered, len(leased) - n_delivered


def run_delivery(
    ledger: Ledger,
    destination: Destination,
    builders: Mapping[str, Builder],
    owner: str,
    stop: threading.Event,
    *,
    of_studies: Mapping[str, StudyBuilder] | None = None,
    poll_seconds: float = 0.5,
) -> None:
    """Deliver to one destination until told to stop; the batch in hand is finished first."""
    while not stop.is_set():
        delivered, _ = deliver_batch(ledger, destination, builders, owner, of_studies=of_studies)
        if not delivered:  # nothing due, or the receiver is away
            stop.wait(poll_seconds)


def _quiet_since(ledger: Ledger) -> Callable[[Study], bool]:
    return lambda study: studies.is_quiet(study, ledger.clock())


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What becomes of leased deliveries: in the ledger, and in one line of the log each."""

    ledger: Ledger
    owner: str
    keep_trying_seconds: float
    is_settled: Callable[[Study], bool]

    def is_needless(self, content: DeliveryContent) -> bool:
        return presentation.spoken_for(self.ledger, content.film, content.result)

    def made(self, content: DeliveryContent, build: Builder) -> Made | None:
        """The object of a delivery; None where there is nothing to send."""
        made = None if self.is_needless(content) else build(content)
        if content.is_corrected and isinstance(made, DicomInstance):
            # A receiver keeps the first object of a UID, and that one is of the wrong header.
            return renamed(made, Path(content.film.path).stem)
        return made

    def waits(self, content: DeliveryContent) -> bool:
        """Postpone what may still turn out to be needless."""
        if not presentation.is_raw(content.result.prediction.flags):
            return False
        study = studies.study(self.ledger, content.film.key.study_uid)
        if study is None or self.is_settled(study) or self.is_needless(content):
            return False
        outbox.postpone(self.ledger, self.owner, content.delivery.id, seconds=_UNSETTLED_SECONDS)
        return True

    def delivered(
        self, delivery: Delivery, status: str, sent: Made | None = None, sent_as: str = ""
    ) -> None:
        uid, place = sent_as or (sent.identifier if sent is not None else ""), ("", "")
        if isinstance(sent, DicomInstance):
            place = class_of(sent, uid), sent.series_uid
        outbox.delivered(
            self.ledger, self.owner, delivery.id, status=status, object_uid=uid, place=place
        )
        _LOG.info("delivered", extra=_told(delivery) | {"status": status})

    def failed(
        self, delivery: Delivery, answer: Answer, *, max_attempts: int | None = None
    ) -> None:
        state = outbox.failed(
            self.ledger,
            self.owner,
            delivery.id,
            status=answer.status,
            error=answer.error,
            permanent=answer.permanent,
            max_attempts=max_attempts,
            keep_trying_seconds=self.keep_trying_seconds,
        )
        said = {"error": answer.error, "status": answer.status, "state": state or "taken over"}
        _LOG.warning("not delivered", extra=_told(delivery) | said)


def _told(delivery: Delivery) -> dict[str, object]:
    """What a log may say of a delivery."""
    return {
        "delivery": delivery.id,
        "kind": delivery.kind,
        "destination": delivery.destination,
        "uid_hash": uid_hash(delivery.sop_uid),
    }
