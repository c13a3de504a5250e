"""Rejections: films that their source takes back (IHE RAD IOCM), before or after they came.

A rejected film is quarantined, its result is deleted, and what has not gone out yet does not. What
has gone out is taken back by a note of ours, or by its message restated, in a delivery of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select, update

from monai_cxr.screening.ledger import audit, quarantine, sent_messages, studies
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.outbox import scheduled
from monai_cxr.screening.ledger.schema import (
    DELIVERED,
    DISMISSED,
    FAILED,
    PENDING,
    QUARANTINED,
    UNLEASED,
    films,
    outbox,
    rejections,
    results,
)

REASON = "rejected_instance"
WITHDRAWAL = "ko"
"""Kind of a delivery that takes back what was delivered of a film."""

_OF_ANOTHER = "113038"
"""Title of a note (DCM): the film was made for a wrong worklist entry."""

_TAKEN_BACK = ("sr", "sc", "seg", "pdf")
_MESSAGE = "Its source rejected it ({}). Dismiss it, or release it if that was a mistake."


def reject(
    ledger: Ledger, sop_uids: Sequence[str], code: str, *, note_uid: str = "", source: str = ""
) -> int:
    """Take instances back, those that are not here yet too.

    Args:
        ledger: The ledger.
        sop_uids: What is rejected; objects that are not films of ours are noted only.
        code: Why: a code of the DICOM rejection titles.
        note_uid: SOP Instance UID of the note.
        source: Name of the door.

    Returns:
        How many films were here.
    """
    now, n_here = ledger.clock(), 0
    touched = set[str]()
    with ledger.write() as connection:
        for sop_uid in sop_uids:
            row = {"sop_uid": sop_uid, "reason": code, "note_uid": note_uid, "rejected_at": now}
            insert_new(connection, rejections, [row], ["sop_uid"])
            query = select(films).where(films.c.sop_uid == sop_uid).with_for_update()
            film = connection.execute(query).one_or_none()
            if film is not None:
                n_here += 1
                touched.add(film.study_uid)
                _withdraw(connection, film, code, source, now)
        studies.refresh_all(connection, touched, now=now)
        detail = {"code": code, "n": len(sop_uids), "n_here": n_here}
        audit.record(connection, source, "instances rejected", note_uid, detail, now=now)
    return n_here


def code_of(connection: Connection, sop_uid: str) -> str:
    """Why an instance was rejected, ``""`` where it was not."""
    query = select(rejections.c.reason).where(rejections.c.sop_uid == sop_uid)
    return str(connection.execute(query).scalar_one_or_none() or "")


def of_study(ledger: Ledger, study_uid: str) -> tuple[str, str] | None:
    """(Path of its file, code) of the film of a study that was rejected last and is still here."""
    query = (
        select(films.c.path, rejections.c.reason)
        .join(rejections, rejections.c.sop_uid == films.c.sop_uid)
        .where(films.c.study_uid == study_uid, films.c.path != "")
        .order_by(rejections.c.rejected_at.desc(), films.c.id.desc())
        .limit(1)
    )
    with ledger.read() as connection:
        row = connection.execute(query).one_or_none()
    return (str(row.path), str(row.reason)) if row is not None else None


def put_newcomer(connection: Connection, sop_uid: str, *, now: float) -> None:
    """Quarantine a film that was rejected before it came."""
    code = code_of(connection, sop_uid)
    if code:
        row = connection.execute(select(films).where(films.c.sop_uid == sop_uid)).one()
        quarantine.put_film(connection, row, REASON, _MESSAGE.format(code), now=now)


def _withdraw(connection: Connection, film: Any, code: str, source: str, now: float) -> None:
    of_film = outbox.c.sop_uid == film.sop_uid
    went_out = connection.execute(
        select(outbox.c.destination, outbox.c.model_digest)
        .where(of_film, outbox.c.state == DELIVERED, outbox.c.kind.in_(_TAKEN_BACK))
        .where(outbox.c.object_uid != "")
        .distinct()
    ).all()
    connection.execute(
        update(outbox)
        .where(of_film, outbox.c.state.in_((PENDING, FAILED)))
        .where(outbox.c.kind.not_in((WITHDRAWAL, *sent_messages.WITHDRAWALS)))
        .values(state=DISMISSED, last_error=REASON, **UNLEASED)
    )
    notes = ((WITHDRAWAL, row.destination, row.model_digest) for row in went_out)
    scheduled.schedule(
        connection, film.sop_uid, film.study_uid, notes, available_at=0.0, created_at=now
    )
    why = sent_messages.WRONG if code == _OF_ANOTHER else sent_messages.DELETED
    n_messages = sent_messages.take_back(connection, film.sop_uid, why, now=now)
    connection.execute(delete(results).where(results.c.sop_uid == film.sop_uid))
    connection.execute(update(films).where(films.c.id == film.id).values(model_digest=""))
    if film.state != QUARANTINED:
        quarantine.put_film(connection, film, REASON, _MESSAGE.format(code), now=now)
    detail = {"code": code, "n_withdrawn": len(went_out) + n_messages}
    audit.record(connection, source, "film rejected", film.sop_uid, detail, now=now)
