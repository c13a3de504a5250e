"""Storage SCP: films by C-STORE; 0x0000 means that film and job are durable.

Bytes are kept as they came, compressed; nothing is decoded while a sender waits. Who may call is
decided before anything is read: called and calling AE title, the caller's address and, with TLS,
its certificate.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydicom.uid import AllTransferSyntaxes
from sqlalchemy.exc import SQLAlchemyError

from monai_cxr.dicom.header.scope import RADIOGRAPH_CLASSES, is_radiograph_class
from monai_cxr.dicom.reader import DicomFile
from monai_cxr.dicom.results.rejection_note import rejection_of
from monai_cxr.errors import InputError, SettingsError
from monai_cxr.optional import require
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import Spool, SpoolFull
from monai_cxr.screening.arriving.storage_commitment import CommitmentReporter
from monai_cxr.screening.ledger import Ledger, arrivals, quarantine, rejections
from monai_cxr.screening.ledger.database import DISK_FULL, reason_of
from monai_cxr.screening.logs import uid_hash
from monai_cxr.screening.network.dicom_network import (
    AllowedSender,
    application,
    poll_calmly,
    send_at_once,
    server_tls,
)
from monai_cxr.screening.settings.listener import DROP, ListenerRule, ListenerSettings, addresses_of

SOURCE = "c-store"
SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700  # PS3.4 B.2.3
MISMATCH, CANNOT_UNDERSTAND = 0xA900, 0xC000
PROCESSING_FAILURE = 0xC211
_NO_SUCH_ACTION = 0x0123  # PS3.7 C.5

COMPANION_CLASSES = (
    *(f"1.2.840.10008.5.1.4.1.1.88.{n}" for n in (11, 22, 33, 34, 35, 40, 50, 59, 65, 67, 71)),
    *(f"1.2.840.10008.5.1.4.1.1.11.{n}" for n in range(1, 12)),
    *(f"1.2.840.10008.5.1.4.1.1.104.{n}" for n in (1, 2)),
    *(f"1.2.840.10008.5.1.4.1.1.7.{n}" for n in range(1, 5)),
    *("1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.5"),
    *("1.2.840.10008.5.1.4.1.1.77.1.1", "1.2.840.10008.5.1.4.1.1.77.1.4"),
)
"""What travels in a study beside its radiographs (PS3.4 B.5): structured reports with dose reports
and key objects, presentation states, encapsulated PDF and CDA, multi-frame captures, raw data,
segmentations, photographs. They are accepted and dropped, our own results among them: most senders
end a whole study at the first refusal."""

COMPANION_REASON = "not_a_radiograph"

INTAKE_AT_ONCE = 4
"""Objects taken in at a time; the other senders wait, instead of failing to get the ledger."""

_VERIFICATION, _COMMITMENT = "1.2.840.10008.1.1", "1.2.840.10008.1.20.1"
_REJECT_CALLING = (0x01, 0x01, 0x03)  # permanent; by the user; calling AE title not recognized
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class StorageScp:
    """A running listener; a context manager.

    Attributes:
        settings: How it listens.
        ledger: Where jobs go.
        spool: Where bytes go.
        on_store: Told the status of each object, for metrics.
    """

    settings: ListenerSettings
    ledger: Ledger
    spool: Spool
    on_store: Callable[[int], None] = lambda status: None
    _gate: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(INTAKE_AT_ONCE), init=False, repr=False
    )
    _server: Any = field(default=None, init=False, repr=False)
    _acceptor: threading.Thread | None = field(default=None, init=False, repr=False)
    _reporter: CommitmentReporter | None = field(default=None, init=False, repr=False)
    _addresses: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False)

    def __enter__(self) -> StorageScp:
        """Start listening, unless it does already."""
        if self._server is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.socket.getsockname()[1])

    @property
    def is_listening(self) -> bool:
        """Whether it accepts connections."""
        return self._acceptor is not None and self._acceptor.is_alive()

    def start(self) -> None:
        """Start listening, in threads of its own.

        Raises:
            SettingsError: If the address is taken, a sender's host is unknown, or TLS files are
                unfit.
        """
        settings = self.settings
        self._addresses = {s.host: addresses_of(s.host) for s in settings.senders if s.host}
        entity = application(settings.ae_title, settings.timeout_seconds)
        entity.require_called_aet = True
        entity.maximum_associations = settings.max_associations
        for uid in sorted({*RADIOGRAPH_CLASSES, *COMPANION_CLASSES}):
            entity.add_supported_context(uid, list(AllTransferSyntaxes))
        entity.add_supported_context(_VERIFICATION)
        entity.add_supported_context(_COMMITMENT)
        self._reporter = CommitmentReporter(self.ledger, settings.ae_title)
        event = require("pynetdicom.events", extra="pacs")
        before = set(threading.enumerate())
        try:
            self._server = entity.start_server(
                (settings.host, settings.port),
                block=False,
                ssl_context=None if settings.tls is None else server_tls(settings.tls),
                evt_handlers=[
                    (event.EVT_CONN_OPEN, send_at_once),
                    (event.EVT_CONN_OPEN, poll_calmly),
                    (event.EVT_REQUESTED, self._admit),
                    (event.EVT_C_STORE, self._store),
                    (event.EVT_N_ACTION, self._commit),
                ],
            )
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on {settings.host}:{settings.port} "
                f"({error.strerror or type(error).__name__}). Choose another port."
            ) from None
        self._acceptor = next(
            thread
            for thread in threading.enumerate()
            if thread not in before and thread.name.startswith("AcceptorServer")
        )

    def stop(self) -> None:
        """Stop listening; objects that are being received are refused or finished."""
        if self._server is not None:
            self._server.shutdown()
            self._server = self._acceptor = None
        if self._reporter is not None:
            self._reporter.stop()
            self._reporter = None

    def _sender(self, association: Any) -> AllowedSender | None:
        title = str(association.requestor.primitive.calling_ae_title).strip()
        address = association.requestor.address
        for sender in self.settings.senders:
            if sender.ae_title.strip() == title and (
                not sender.host or address in self._addresses[sender.host]
            ):
                return sender
        return None

    def _admit(self, event: Any) -> None:
        """Reject who is not on the list, before anything is negotiated.

        pynetdicom swallows what a handler of this event raises and goes on to accept, so an error
        here rejects too.
        """
        association, sender = event.assoc, None
        try:
            sender = self._sender(association)
        finally:
            if sender is None:
                _LOG.warning("association rejected: the caller is not on the list of senders")
                association.acse.send_reject(*_REJECT_CALLING)
                association.kill()

    def _store(self, event: Any) -> int:
        """Answer a C-STORE."""
        status = PROCESSING_FAILURE  # what pynetdicom answers for us after an unexpected error
        try:
            status = self._status(event)
        finally:
            self.on_store(status)
            if status == PROCESSING_FAILURE:
                kind = sys.exc_info()[0]
                name = kind.__name__ if kind is not None else ""
                _LOG.error("a film was not accepted: an unexpected error", extra={"error": name})
        return status

    def _status(self, event: Any) -> int:
        calling_ae = str(event.assoc.requestor.primitive.calling_ae_title).strip()
        uid = str(event.request.AffectedSOPInstanceUID)
        said = {"source": SOURCE, "uid_hash": uid_hash(uid)}
        try:
            with self._gate:
                file = intake.opened(event.encoded_dataset())
                refusal = self._refusal(event, file, calling_ae)
                if refusal is not None:
                    _LOG.info("film refused", extra=said | {"status": f"0x{refusal:04X}"})
                    return refusal
                receipt = intake.receive(
                    self.ledger,
                    self.spool,
                    file,
                    source=SOURCE,
                    calling_ae=calling_ae,
                    priority=_priority(self.settings, file, calling_ae),
                    announced_uid=uid,
                )
        except SpoolFull:
            _LOG.warning("film not accepted", extra=said | {"reason": DISK_FULL})
            return OUT_OF_RESOURCES
        except SQLAlchemyError as error:  # the ledger is away: the sender keeps the film
            _LOG.error("film not accepted", extra=said | {"reason": reason_of(error)})
            return OUT_OF_RESOURCES
        outcome = {"outcome": receipt.outcome, "reason": receipt.reason}
        _LOG.info("film received", extra=said | outcome)
        return CANNOT_UNDERSTAND if receipt.outcome == intake.REFUSED else SUCCESS

    def _refusal(self, event: Any, file: intake.OpenedFile, calling_ae: str) -> int | None:
        """Status for what is plainly no film, dropped or refused; None where intake decides."""
        if isinstance(file.dicom, InputError) or not file.dicom.facts.key.sop_uid:
            return None
        facts, request = file.dicom.facts, event.request
        announced = str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID)
        if (facts.key.sop_uid, facts.sop_class_uid) != announced:
            quarantine.refuse(
                self.ledger,
                "",
                "mismatch",
                "The data set is not the object that the message announced. Send it again.",
                source=SOURCE,
                calling_ae=calling_ae,
                sop_uid=facts.key.sop_uid[:64],
            )
            return MISMATCH
        if file.is_ours:
            return None
        reason = _dropped(self.settings, file.dicom, calling_ae)
        if is_radiograph_class(facts.sop_class_uid) and not reason:
            return None
        self._take_back(file.dicom, calling_ae)
        arrivals.ignore(
            self.ledger,
            facts.key.sop_uid[:64],
            reason or COMPANION_REASON,
            source=SOURCE,
            calling_ae=calling_ae,
        )
        return SUCCESS

    def _take_back(self, note: DicomFile, calling_ae: str) -> None:
        """Withdraw what a rejection note of the source names."""
        rejection = rejection_of(note.parsed.dataset)
        if rejection is None:
            return
        n = rejections.reject(
            self.ledger,
            rejection.sop_uids,
            rejection.code,
            note_uid=note.facts.key.sop_uid,
            source=SOURCE,
        )
        _LOG.warning("instances rejected by their source", extra={"reason": rejection.code, "n": n})

    def _commit(self, event: Any) -> tuple[int, None]:
        """Answer a Storage Commitment request; the report follows on a connection of ours."""
        sender = self._sender(event.assoc)
        if event.action_type != 1 or sender is None or self._reporter is None:
            return _NO_SUCH_ACTION, None
        with quiet():
            return self._reporter.take(event.action_information, sender), None


def _rule(settings: ListenerSettings, dicom: DicomFile, calling_ae: str) -> ListenerRule | None:
    facts = dicom.facts
    return settings.rule_for(calling_ae, facts.sop_class_uid, facts.modality)


def _dropped(settings: ListenerSettings, dicom: DicomFile, calling_ae: str) -> str:
    """Reason of the rule by which an object is accepted and dropped, ``""`` without one."""
    rule = _rule(settings, dicom, calling_ae)
    return rule.reason if rule is not None and rule.action == DROP else ""


def _priority(settings: ListenerSettings, file: intake.OpenedFile, calling_ae: str) -> str:
    if isinstance(file.dicom, InputError):
        return settings.priority
    rule = _rule(settings, file.dicom, calling_ae)
    return (rule.priority if rule is not None else "") or settings.priority
