"""Quarantine: what could not be screened, with a reason code; kept until a person decides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, or_, select, update

from monai_cxr.screening.ledger import audit, studies
from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.records import ReceivedFilm
from monai_cxr.screening.ledger.schema import (
    QUARANTINED,
    SCHEDULED,
    UNLEASED,
    arrivals,
    films,
    quarantine,
    values_of,
)
from monai_cxr.screening.ledger.watching import chart_sums

RELEASED, DISMISSED, ARRIVED = "released", "dismissed", "arrived"
"""How an entry ends: a person's word, or the arrival of what could not be retrieved before; or the
outcome of an arrival that takes the film's place."""
EXPIRED = "expired"
"""Its file was deleted after its time, without a person's word."""

NOT_RETRIEVED = "not_retrieved"


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One object in quarantine.

    Attributes:
        id: Row number.
        film_id: Row number of its job; None when it never became one.
        sop_uid: ``""`` when unreadable.
        study_uid: ``""`` when unreadable.
        path: Where the file is kept.
        reason: Reason code.
        message: For people, without identity.
        source: Door.
        calling_ae: Sender.
        quarantined_at: Seconds since 1970.
        resolved_at: Or None.
        resolution: ``"released"``, ``"dismissed"``, ``"arrived"``, ``"corrected"``, ``"replaced"``
            , ``"expired"`` (its file was deleted after its time) or ``""``.
        file_deleted_at: When its file was deleted, or None.
    """

    id: int
    film_id: int | None
    sop_uid: str
    study_uid: str = field(repr=False)
    path: str = field(repr=False)
    reason: str
    message: str
    source: str
    calling_ae: str
    quarantined_at: float
    resolved_at: float | None
    resolution: str
    file_deleted_at: float | None = None


def refuse(
    ledger: Ledger,
    path: str,
    reason: str,
    message: str,
    *,
    source: str = "",
    calling_ae: str = "",
    sop_uid: str = "",
) -> None:
    """Record a file that never became a job, for example because it is not a DICOM file."""
    now = ledger.clock()
    with ledger.write() as connection:
        is_known = quarantine.c.path == path if path else quarantine.c.sop_uid == sop_uid
        is_known = is_known & or_(quarantine.c.path != "", quarantine.c.sop_uid != "")
        chart_sums.of_refusal(connection, reason, is_known, sop_uid, now=now)
        known = {"sop_uid": sop_uid, "path": path, "source": source, "calling_ae": calling_ae}
        _insert(connection, now, **known, reason=reason, message=message)
        arrival = {**known, "outcome": "refused", "reason": reason, "arrived_at": now}
        connection.execute(arrivals.insert().values(**arrival))
        audit.record(connection, source, "refused", sop_uid, {"reason": reason}, now=now)


def not_retrieved(
    ledger: Ledger, absent: Mapping[tuple[str, str], str], *, source: str = ""
) -> None:
    """Record images that a PACS has and could not give, each once until it arrives.

    Args:
        ledger: The ledger.
        absent: What the PACS said, by (Study Instance UID, SOP Instance UID); ``""`` as the second
            for a study whose images it did not list.
        source: Name of the door.
    """
    if not absent:
        return
    now = ledger.clock()
    with ledger.write() as connection:
        for (study_uid, sop_uid), said in absent.items():
            message = f"The PACS did not give it ({said}). The next pull tries again."
            known = connection.execute(
                update(quarantine)
                .where(quarantine.c.study_uid == study_uid, quarantine.c.sop_uid == sop_uid)
                .where(quarantine.c.reason == NOT_RETRIEVED, quarantine.c.resolved_at.is_(None))
                .values(message=message)
            ).rowcount
            if not known:
                uids = {"sop_uid": sop_uid, "study_uid": study_uid}
                said_so = {"reason": NOT_RETRIEVED, "message": message, "source": source}
                _insert(connection, now, path="", **uids, **said_so)
        detail = {"reason": NOT_RETRIEVED, "n": len(absent)}
        audit.record(connection, source, "refused", "", detail, now=now)


def retrieved(connection: Connection, study_uid: str, sop_uid: str, *, now: float) -> None:
    """Close the entry of an image that could not be retrieved and is here now."""
    connection.execute(
        update(quarantine)
        .where(quarantine.c.study_uid == study_uid, quarantine.c.sop_uid.in_((sop_uid, "")))
        .where(quarantine.c.reason == NOT_RETRIEVED, quarantine.c.resolved_at.is_(None))
        .values(resolved_at=now, resolution=ARRIVED)
    )


def listed(ledger: Ledger, study_uids: Collection[str]) -> None:
    """Close the entries of studies whose images could not be listed before and are listed now.

    Args:
        ledger: The ledger.
        study_uids: Study Instance UIDs whose images the PACS listed.
    """
    query = select(quarantine.c.id, quarantine.c.study_uid).where(
        quarantine.c.reason == NOT_RETRIEVED,
        quarantine.c.sop_uid == "",
        quarantine.c.resolved_at.is_(None),
    )
    with ledger.read() as connection:
        ids = [row.id for row in connection.execute(query) if row.study_uid in study_uids]
    if ids:
        with ledger.write() as connection:
            connection.execute(
                update(quarantine)
                .where(quarantine.c.id.in_(ids), quarantine.c.resolved_at.is_(None))
                .values(resolved_at=ledger.clock(), resolution=ARRIVED)
            )


def supersede(connection: Connection, film_id: int, resolution: str, *, now: float) -> None:
    """Close the entries of a film that another file replaces."""
    connection.execute(
        update(quarantine)
        .where(quarantine.c.film_id == film_id, quarantine.c.resolved_at.is_(None))
        .values(resolved_at=now, resolution=resolution)
    )


def entries_of(ledger: Ledger, ids: Sequence[int]) -> list[QuarantineEntry]:
    """Open entries by their numbers."""
    query = select(quarantine).where(
        quarantine.c.id.in_(list(ids)), quarantine.c.resolved_at.is_(None)
    )
    with ledger.read() as connection:
        return [QuarantineEntry(**row._asdict()) for row in connection.execute(query)]


def entries(
    ledger: Ledger,
    *,
    reason: str | None = None,
    include_resolved: bool = False,
    offset: int = 0,
    limit: int = 100,
) -> list[QuarantineEntry]:
    """What is in quarantine, newest first."""
    query = select(quarantine).order_by(quarantine.c.id.desc()).offset(offset).limit(limit)
    if not include_resolved:
        query = query.where(quarantine.c.resolved_at.is_(None))
    if reason is not None:
        query = query.where(quarantine.c.reason == reason)
    with ledger.read() as connection:
        return [QuarantineEntry(**row._asdict()) for row in connection.execute(query)]


def open_ids(ledger: Ledger, reason: str | None) -> list[int]:
    """Row numbers of all open entries with a reason."""
    query = select(quarantine.c.id).where(
        quarantine.c.reason == reason, quarantine.c.resolved_at.is_(None)
    )
    with ledger.read() as connection:
        return list(connection.execute(query).scalars())


def release(ledger: Ledger, ids: Sequence[int], *, actor: str) -> int:
    """Schedule quarantined films again; gives how many there were.

    An entry that never became a job is closed, and nothing is scheduled: the next pull asks for it
    again; where it was sent, its sender has to send it again.
    """
    now, n_released = ledger.clock(), 0
    with ledger.write() as connection:
        released = _resolve(connection, ids, RELEASED, now)
        for row in released:
            n_released += connection.execute(
                update(films)
                .where(films.c.id == row.film_id, films.c.state == QUARANTINED)
                .values(state=SCHEDULED, reason="", attempts=0, available_at=now, finished_at=None)
            ).rowcount
        studies.refresh_all(connection, (row.study_uid for row in released), now=now)
        for row in released:
            audit.record(connection, actor, "released", row.sop_uid, now=now)
    return n_released


def dismiss(ledger: Ledger, ids: Sequence[int], *, actor: str) -> int:
    """Close entries for good: seen, nothing to do; gives their number."""
    now = ledger.clock()
    with ledger.write() as connection:
        dismissed = _resolve(connection, ids, DISMISSED, now)
        for row in dismissed:
            audit.record(connection, actor, "dismissed", row.sop_uid, now=now)
    return len(dismissed)


def put(
    connection: Connection, film: ReceivedFilm, reason: str, message: str, *, now: float
) -> None:
    """Quarantine a newcomer within a transaction."""
    is_known = quarantine.c.sop_uid == film.key.sop_uid
    chart_sums.of_refusal(connection, reason, is_known, film.key.sop_uid, now=now)
    uids = values_of(film.key, ("sop_uid", "study_uid"))
    origin = values_of(film, ("path", "source", "calling_ae"))
    _insert(connection, now, **uids, **origin, reason=reason, message=message)


def put_film(connection: Connection, row: Any, reason: str, message: str, *, now: float) -> None:
    """End a job in quarantine within a transaction."""
    is_known = quarantine.c.film_id == row.id
    chart_sums.of_refusal(connection, reason, is_known, row.sop_uid, now=now)
    connection.execute(
        update(films)
        .where(films.c.id == row.id)
        .values(state=QUARANTINED, reason=reason, finished_at=now, **UNLEASED)
    )
    origin = values_of(row, ("sop_uid", "study_uid", "path", "source", "calling_ae"))
    _insert(connection, now, film_id=row.id, **origin, reason=reason, message=message)


def _insert(connection: Connection, now: float, **values: object) -> None:
    connection.execute(quarantine.insert().values(quarantined_at=now, **values))


def _resolve(connection: Connection, ids: Sequence[int], resolution: str, now: float) -> list[Any]:
    condition = quarantine.c.id.in_(list(ids)) & quarantine.c.resolved_at.is_(None)
    rows = list(connection.execute(select(quarantine).where(condition).with_for_update()))
    connection.execute(
        update(quarantine)
        .where(quarantine.c.id.in_([row.id for row in rows]))
        .values(resolved_at=now, resolution=resolution)
    )
    return rows
