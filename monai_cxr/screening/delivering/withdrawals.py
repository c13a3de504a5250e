"""Withdrawals: rejection notes of what was delivered of a film that its source took back."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from pydicom.uid import (
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from sqlalchemy import select

from monai_cxr.dicom.results.instances import DicomInstance, InstanceReference, derived_uid
from monai_cxr.dicom.results.rejection_note import rejection_note
from monai_cxr.dicom.results.report_document import REPORT_CLASSES
from monai_cxr.reading.files import read_bytes
from monai_cxr.screening.ledger import Ledger, rejections
from monai_cxr.screening.ledger.outbox import Delivery
from monai_cxr.screening.ledger.schema import DELIVERED, arrivals, films, outbox
from monai_cxr.screening.ledger.schema import TAKES_PLACE as CORRECTIONS

_CLASSES = {
    "sc": SecondaryCaptureImageStorage,
    "seg": SegmentationStorage,
    "pdf": EncapsulatedPDFStorage,
}
"""SOP Class of each kind that has one; a report may be of several."""


def withdrawal(ledger: Ledger, delivery: Delivery) -> DicomInstance | None:
    """The note of a delivery of kind ``"ko"``; None where nothing went out.

    Raises:
        InputError: If the film's file is away.
    """
    went_out = select(outbox.c.kind, outbox.c.object_uid).where(
        outbox.c.sop_uid == delivery.sop_uid,
        outbox.c.destination == delivery.destination,
        outbox.c.model_digest == delivery.model_digest,
        outbox.c.state == DELIVERED,
        outbox.c.kind.in_(("sr", *_CLASSES)),
        outbox.c.object_uid != "",
    )
    corrections = select(arrivals.c.id).where(
        arrivals.c.sop_uid == delivery.sop_uid, arrivals.c.outcome.in_(CORRECTIONS)
    )
    with ledger.read() as connection:
        rows = connection.execute(went_out.order_by(outbox.c.id)).all()
        path = connection.execute(
            select(films.c.path).where(films.c.sop_uid == delivery.sop_uid)
        ).scalar_one()
        is_corrected = connection.execute(corrections.limit(1)).first() is not None
        code = rejections.code_of(connection, delivery.sop_uid)
    if not rows or not code:
        return None
    variant = Path(path).stem if is_corrected else ""
    taken_back = [_rejected(delivery, row.kind, row.object_uid, variant) for row in rows]
    created = datetime.fromtimestamp(delivery.created_at, timezone.utc)
    return rejection_note(read_bytes(path)[0], taken_back, code, created=created)


def _rejected(delivery: Delivery, kind: str, object_uid: str, variant: str) -> InstanceReference:
    """Class and series of an object, which its UIDs are derived from."""
    series = derived_uid(delivery.sop_uid, delivery.model_digest, f"{kind}-series")
    if variant:
        series = derived_uid(series, variant, "corrected")
    if kind in _CLASSES:
        return InstanceReference(_CLASSES[kind], object_uid, series)
    report = derived_uid(delivery.sop_uid, delivery.model_digest, "sr")
    if variant:
        report = derived_uid(report, variant, "corrected")
    others = {derived_uid(report, uid, "sr-class"): str(uid) for uid in REPORT_CLASSES[1:]}
    return InstanceReference(others.get(object_uid, str(REPORT_CLASSES[0])), object_uid, series)
