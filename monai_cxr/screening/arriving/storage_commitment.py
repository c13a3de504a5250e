"""Storage Commitment: a promise to keep what arrived, for as long as the retention says.

The report goes out on an association of our own to the sender, as PS3.4 J.3.3 allows. This service
is no archive: see the conformance statement before a modality deletes anything because of it.
"""

from __future__ import annotations

import logging
import threading
from queue import Empty, SimpleQueue
from typing import Any

from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.errors import DeliveryError
from monai_cxr.optional import require
from monai_cxr.picture.bounds import MALFORMED
from monai_cxr.screening.ledger import Ledger, jobs
from monai_cxr.screening.network.dicom_network import AllowedSender, Peer, application, associate

SOP_CLASS = "1.2.840.10008.1.20.1"
SOP_INSTANCE = "1.2.840.10008.1.20.1.1"  # well-known (PS3.4 J.3.5)
_NO_SUCH_OBJECT = 0x0112
_ATTEMPTS, _PAUSE_SECONDS = 5, 2.0
_NO_ANSWER: tuple[type[Exception], ...] = (DeliveryError, *MALFORMED)
_LOG = logging.getLogger(__name__)


class CommitmentReporter:
    """Checks requests against the ledger and reports, in a thread of its own.

    Args:
        ledger: Knows what was received.
        ae_title: Ours.
    """

    def __init__(self, ledger: Ledger, ae_title: str) -> None:
        self._ledger = ledger
        self._ae_title = ae_title
        self._queue: SimpleQueue[tuple[Dataset, AllowedSender]] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storage-commitment", daemon=True)
        self._thread.start()

    def take(self, request: Dataset, sender: AllowedSender) -> int:
        """Take a request; gives the status of the N-ACTION.

        Args:
            request: Action Information: Transaction UID and Referenced SOP Sequence.
            sender: Who asks, and where it takes the report.
        """
        if not sender.port or not sender.host:
            return 0x0124  # not authorized: nowhere to report to
        transaction = elements.identifier(request, "TransactionUID")
        wanted = elements.items(request, "ReferencedSOPSequence")
        if not transaction or not wanted:
            return 0x0115  # invalid argument value
        self._queue.put((report(self._ledger, transaction, request), sender))
        return 0x0000

    def stop(self) -> None:
        """Stop after the report in hand."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                information, sender = self._queue.get(timeout=0.2)
            except Empty:
                continue
            for _ in range(_ATTEMPTS):
                if self._send(information, sender) or self._stop.wait(_PAUSE_SECONDS):
                    break
            else:
                _LOG.warning("a storage commitment report could not be sent")

    def _send(self, information: Dataset, sender: AllowedSender) -> bool:
        peer = Peer(sender.ae_title, sender.host, sender.port, sender.tls)
        entity = application(self._ae_title, peer.timeout_seconds)
        entity.add_requested_context(SOP_CLASS)
        role: Any = require("pynetdicom", extra="pacs").build_role(SOP_CLASS, scp_role=True)
        association = None
        try:
            association = associate(entity, peer, ext_neg=[role])
            if not association.is_established:
                return False
            event_type = 2 if "FailedSOPSequence" in information else 1
            status, _ = association.send_n_event_report(
                information, event_type, SOP_CLASS, SOP_INSTANCE
            )
            return bool(status.get("Status") == 0x0000)
        except _NO_ANSWER:  # the reports of others must not wait for this one
            return False
        finally:
            if association is not None and association.is_established:
                association.release()


def report(ledger: Ledger, transaction_uid: str, request: Dataset) -> Dataset:
    """Say which of the referenced objects are here (PS3.4 J.3.3.1)."""
    result = elements.data_set(TransactionUID=transaction_uid)
    kept, missing = [], []
    for item in request.ReferencedSOPSequence:
        names = ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")
        reference = elements.data_set(**{n: elements.identifier(item, n) for n in names})
        film = jobs.film(ledger, reference.ReferencedSOPInstanceUID)
        if film is not None and film.sop_class_uid == reference.ReferencedSOPClassUID:
            kept.append(reference)
        else:
            reference.FailureReason = _NO_SUCH_OBJECT if film is None else 0x0119
            missing.append(reference)
    if kept:
        result.ReferencedSOPSequence = kept
    if missing:
        result.FailedSOPSequence = missing
    return result
