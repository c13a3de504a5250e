"""Sent messages: HL7 and FHIR, kept as they were sent, so that they can be taken back.

A message is taken back by itself, restated as wrong: nothing else is sure to name what the receiver
filed. Its film may have gone, its result is deleted, and its header may be another one by now.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import Connection, exists, select, update

from monai_cxr.screening.ledger.database import Ledger, changed, insert_new
from monai_cxr.screening.ledger.schema import DELIVERED, PENDING, outbox, results

if TYPE_CHECKING:
    from monai_cxr.screening.ledger.outbox import Delivery

KINDS = ("hl7", "fhir")
"""Kinds of deliveries that are messages."""

DELETED, WRONG = "deleted", "wrong"
"""Why one is taken back: its film counts no longer; or it named a wrong patient, study or order."""

WITHDRAWALS = tuple(f"{kind}_{why}" for kind in KINDS for why in (DELETED, WRONG))
"""Kinds of the deliveries that take a message back."""

_MOST_BYTES = 2**26


def packed(data: bytes) -> bytes:
    """A message as a delivery keeps it."""
    return zlib.compress(data)


def take_back(connection: Connection, sop_uid: str, why: str, *, now: float) -> int:
    """Schedule the withdrawal of each message of a film that was delivered.

    Args:
        connection: A transaction that writes.
        sop_uid: Of the film.
        why: ``"deleted"`` or ``"wrong"``.
        now: Seconds since 1970.

    Returns:
        Of how many messages. Those that an earlier version sent are not kept, and stay.
    """
    # Whatever its state: one that is to go out again, after a merge, has arrived before.
    query = select(outbox).where(
        outbox.c.sop_uid == sop_uid, outbox.c.kind.in_(KINDS), outbox.c.message.is_not(None)
    )
    rows = [
        {
            "kind": f"{row.kind}_{why}",
            "destination": row.destination,
            "sop_uid": row.sop_uid,
            "study_uid": row.study_uid,
            # A withdrawal is of a message; a film may have several, one after the other.
            "model_digest": row.object_uid,
            "state": PENDING,
            "message": row.message,
            "available_at": 0.0,
            "created_at": now,
        }
        for row in connection.execute(query)
    ]
    insert_new(connection, outbox, rows, ["kind", "destination", "sop_uid", "model_digest"])
    return len(rows)


def send_again(connection: Connection, study_uids: Iterable[str]) -> int:
    """Send the messages about films again, because their patient ID has changed.

    Args:
        connection: A transaction that writes.
        study_uids: Of the films.

    Returns:
        How many messages.
    """
    is_there = exists().where(
        results.c.sop_uid == outbox.c.sop_uid, results.c.model_digest == outbox.c.model_digest
    )
    again = (
        update(outbox)
        .where(outbox.c.study_uid.in_(sorted(study_uids)), outbox.c.kind.in_(KINDS))
        .where(outbox.c.state == DELIVERED, outbox.c.object_uid != "", is_there)
        .values(state=PENDING, attempts=0, unanswered=0, tried_since=None, available_at=0.0)
    )
    return changed(connection, again)


def to_take_back(ledger: Ledger, delivery: Delivery) -> bytes | None:
    """The message that a withdrawal is about, None where it was not kept."""
    query = select(outbox.c.message).where(outbox.c.id == delivery.id)
    with ledger.read() as connection:
        message = connection.execute(query).scalar_one()
    return None if message is None else zlib.decompressobj().decompress(message, _MOST_BYTES)
