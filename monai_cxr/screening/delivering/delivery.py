"""Delivery: from the outbox to a destination, until the receiver has it.

Each destination is served on its own, so that a dead one holds up no other. An object counts as
delivered when the receiver said so; everything else is tried again, after a growing pause.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from monai_cxr.dicom.results.instances import DicomInstance, renamed
from monai_cxr.dicom.results.report_document import class_of
from monai_cxr.errors import CXRError, DeliveryError, MissingDependency
from monai_cxr.screening.arriving.spool import MAY_PASS
from monai_cxr.screening.delivering.builders import Builder, StudyBuilder
from monai_cxr.screening.delivering.builders import report_builder as report_builder
from monai_cxr.screening.delivering.receivers.destination import Destination, Made
from monai_cxr.screening.delivering.receivers.dicom_web import DicomWeb as DicomWeb
from monai_cxr.screening.delivering.receivers.folder import Folder as Folder
from monai_cxr.screening.delivering.receivers.pacs import Pacs as Pacs
from monai_cxr.screening.delivering.study_message import Message
from monai_cxr.screening.delivering.withdrawals import withdrawal
from monai_cxr.screening.ledger import Ledger, outbox, presentation, sent_messages, studies
from monai_cxr.screening.ledger.outbox import Delivery, DeliveryContent
from monai_cxr.screening.ledger.rejections import WITHDRAWAL
from monai_cxr.screening.ledger.studies import Study
from monai_cxr.screening.logs import uid_hash
from monai_cxr.screening.network.storage_scu import Answer

BATCH = 16
"""Objects of one association; building one takes about 0.3 s, and a lease 120 s."""

NOTHING_TO_SEND = "nothing_to_send"
_UNSETTLED_SECONDS = 5.0

_LOG = logging.getLogger(__name__)


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
    others = {WITHDRAWAL: withdrawal, **(of_studies or {})}
    settled = is_settled or (lambda study: studies.is_quiet(study, ledger.clock()))
    attempt = _Attempt(ledger, owner, keep_trying_seconds, settled, builders, others)
    kinds = [*builders, *others]
    leased = outbox.lease(ledger, owner, n, kinds=kinds, destinations=[destination.name])
    built = [(one, made) for one in leased if (made := attempt.made(one)) is not None]
    if built:
        attempt.send(destination, built)
    return attempt.n_delivered, len(leased) - attempt.n_delivered


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


@dataclass(slots=True)
class _Attempt:
    """What becomes of leased deliveries: in the ledger, and in one line of the log each."""

    ledger: Ledger
    owner: str
    keep_trying_seconds: float
    is_settled: Callable[[Study], bool]
    builders: Mapping[str, Builder]
    others: Mapping[str, StudyBuilder]
    n_delivered: int = field(default=0, init=False)

    def made(self, delivery: Delivery) -> Made | None:
        """The object of a delivery; None where none is sent now, and why is on record."""
        try:
            if delivery.kind in self.others:
                made = self.others[delivery.kind](self.ledger, delivery)
            else:
                content = outbox.content(self.ledger, delivery)
                if self._waits(content):
                    return None
                made = self._of_film(content)
        except MissingDependency:
            raise
        except CXRError as error:  # this object cannot be made; the others can
            kind = getattr(error, "reason", type(error).__name__)
            self._failed(delivery, Answer(False, error=kind, permanent=kind not in MAY_PASS))
            return None
        except SQLAlchemyError:  # the ledger is away, which is no fault of this object
            raise
        except Exception as error:  # noqa: BLE001 - one object must not stop the others
            answer = Answer(False, error=type(error).__name__)
            self._failed(delivery, answer, max_attempts=outbox.MAX_ATTEMPTS_TO_MAKE)
            return None
        if made is None:
            self._delivered(delivery, NOTHING_TO_SEND)
        return made

    def send(self, destination: Destination, built: Sequence[tuple[Delivery, Made]]) -> None:
        """Send objects, and take down what the receiver said of each."""
        try:
            answers = destination.send([made for _, made in built])
        except DeliveryError as error:
            answers = [Answer(False, error=str(error))] * len(built)
        for (delivery, made), answer in zip(built, answers, strict=True):
            if answer.stored:
                self._delivered(delivery, answer.status, made, answer.object_uid)
            else:
                self._failed(delivery, answer)

    def _is_needless(self, content: DeliveryContent) -> bool:
        return presentation.spoken_for(self.ledger, content.film, content.result)

    def _of_film(self, content: DeliveryContent) -> Made | None:
        if self._is_needless(content):
            return None
        made = self.builders[content.delivery.kind](content)
        if content.is_corrected and isinstance(made, DicomInstance):
            # A receiver keeps the first object of a UID, and that one is of the wrong header.
            return renamed(made, Path(content.film.path).stem)
        return made

    def _waits(self, content: DeliveryContent) -> bool:
        """Postpone what may still turn out to be needless."""
        if not presentation.is_raw(content.result.prediction.flags):
            return False
        study = studies.study(self.ledger, content.film.key.study_uid)
        if study is None or self.is_settled(study) or self._is_needless(content):
            return False
        outbox.postpone(self.ledger, self.owner, content.delivery.id, seconds=_UNSETTLED_SECONDS)
        return True

    def _delivered(
        self, delivery: Delivery, status: str, sent: Made | None = None, sent_as: str = ""
    ) -> None:
        uid, place = sent_as or (sent.identifier if sent is not None else ""), ("", "")
        if isinstance(sent, DicomInstance):
            place = class_of(sent, uid), sent.series_uid
        message = None
        if isinstance(sent, Message) and delivery.kind in sent_messages.KINDS:
            message = sent_messages.packed(sent.data)
        outbox.delivered(
            self.ledger,
            self.owner,
            delivery.id,
            status=status,
            object_uid=uid,
            place=place,
            message=message,
        )
        self.n_delivered += 1
        _LOG.info("delivered", extra=_told(delivery) | {"status": status})

    def _failed(
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
