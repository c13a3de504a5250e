"""Retractions: messages that say of what was sent that it does not hold.

HL7 restates each observation with a status of table 0085: D deletes it, W says that it was sent for
a wrong patient or order. FHIR restates the report and its observations as entered in error.
"""

from __future__ import annotations

from datetime import datetime, timezone

from monai_cxr.screening.delivering.builders import StudyBuilder
from monai_cxr.screening.delivering.fhir import retracted_bundle
from monai_cxr.screening.delivering.hl7v2 import retracted_message
from monai_cxr.screening.delivering.study_message import Message, identifier
from monai_cxr.screening.ledger import Ledger, sent_messages
from monai_cxr.screening.ledger.outbox import Delivery

_STATUSES = {sent_messages.DELETED: "D", sent_messages.WRONG: "W"}


def retraction_builders(kinds: tuple[str, ...]) -> dict[str, StudyBuilder]:
    """Builders of what takes messages of these kinds back, by the kind of their deliveries."""
    return {
        f"{kind}_{why}": retraction
        for kind in sent_messages.KINDS
        if kind in kinds
        for why in _STATUSES
    }


def retraction(ledger: Ledger, delivery: Delivery) -> Message | None:
    """The message of a delivery of one of these kinds; None where it was not kept what was sent."""
    sent = sent_messages.to_take_back(ledger, delivery)
    if sent is None:
        return None
    kind, why = delivery.kind.split("_")
    name = identifier([], delivery.model_digest, delivery.kind)
    created = datetime.fromtimestamp(delivery.created_at, timezone.utc)
    if kind == "fhir":
        return Message(name, ".json", retracted_bundle(sent.decode(), created).encode())
    text = retracted_message(sent.decode(), _STATUSES[why], name, created)
    return Message(name, ".hl7", text.encode())
