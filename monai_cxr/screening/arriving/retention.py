"""Retention: files and rows of finished films are deleted after a while; the audit trail stays."""

from __future__ import annotations

import math
from pathlib import Path

from sqlalchemy import delete, exists, select, text

from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import Ledger, audit
from monai_cxr.screening.ledger.quarantine import EXPIRED, RELEASED
from monai_cxr.screening.ledger.schema import (
    COMPLETED,
    FAILED,
    PENDING,
    QUARANTINED,
    arrivals,
    films,
    outbox,
    quarantine,
    results,
    studies,
)

_DAY_SECONDS = 86_400.0
_MOST_FILES, _MOST_STUDIES = 500, 100
"""At a time; the rest follows with the next round."""


def clean_spool(
    ledger: Ledger, spool: Spool, *, keep_days: float, keep_refused_days: float = math.inf
) -> int:
    """Delete the files of films that were completed long ago and have nothing left to deliver.

    A film whose result was given up is kept too: the result can only be made of it. Its delivery is
    tried again or dismissed by ``screen retry``.

    A refused film's file is deleted as soon as a person has dismissed its entry, and otherwise
    after a time of its own, which closes the entry as ``"expired"``.

    Args:
        ledger: The ledger.
        spool: The spool; files elsewhere are never touched.
        keep_days: Days after completion.
        keep_refused_days: Days after a film was refused, where no person has decided.

    Returns:
        How many were deleted.
    """
    before = ledger.clock() - keep_days * _DAY_SECONDS
    is_undelivered = outbox.c.state.in_((PENDING, FAILED))
    is_owed = exists().where(outbox.c.sop_uid == films.c.sop_uid, is_undelivered)
    is_reported = exists().where(outbox.c.sop_uid == films.c.study_uid, is_undelivered)
    query = (
        select(films.c.id, films.c.path)
        .where(text("films.path <> ''"), films.c.finished_at < before)
        # The state as an expression: its index would lead through every film that was ever read.
        .where(films.c.state + "" == COMPLETED, films.c.path.startswith(f"{spool.root}/"))
        .where(~is_owed, ~is_reported)
        .order_by(films.c.finished_at)
        .limit(_MOST_FILES)
    )
    with ledger.read() as connection:
        rows = connection.execute(query).all()
    gone: list[int] = []
    for row in rows:
        path = Path(row.path)
        if path.is_relative_to(spool.root):
            spool.discard(path)
            gone.append(row.id)
    if gone:
        with ledger.write() as connection:
            connection.execute(films.update().where(films.c.id.in_(gone)).values(path=""))
            audit.record(
                connection, "retention", "files deleted", "", {"n": len(gone)}, now=ledger.clock()
            )
    return len(gone) + _clean_refused(ledger, spool, keep_days=keep_refused_days)


def _clean_refused(ledger: Ledger, spool: Spool, *, keep_days: float) -> int:
    """Delete the files of closed quarantine entries, and of those that are open for too long."""
    now = ledger.clock()
    is_closed = quarantine.c.resolved_at.is_not(None) & (quarantine.c.resolution != RELEASED)
    is_old = quarantine.c.resolved_at.is_(None) & (
        quarantine.c.quarantined_at < now - keep_days * _DAY_SECONDS
    )
    is_needed = exists().where(
        films.c.path == quarantine.c.path, films.c.state != QUARANTINED, films.c.path != ""
    )
    query = (
        select(quarantine.c.id, quarantine.c.path, quarantine.c.film_id, quarantine.c.resolved_at)
        .where(quarantine.c.file_deleted_at.is_(None), quarantine.c.path != "")
        .where(is_closed | is_old, ~is_needed)
        .order_by(quarantine.c.id)
        .limit(_MOST_FILES)
    )
    with ledger.read() as connection:
        rows = [
            row for row in connection.execute(query) if Path(row.path).is_relative_to(spool.root)
        ]
    if not rows:
        return 0
    for row in rows:
        spool.discard(Path(row.path))
    with ledger.write() as connection:
        for row in rows:
            ended = {} if row.resolved_at else {"resolved_at": now, "resolution": EXPIRED}
            connection.execute(
                quarantine.update()
                .where(quarantine.c.id == row.id)
                .values(file_deleted_at=now, **ended)
            )
        of_films = [row.film_id for row in rows if row.film_id is not None]
        connection.execute(films.update().where(films.c.id.in_(of_films)).values(path=""))
        detail = {"n": len(rows), "of": "refused films"}
        audit.record(connection, "retention", "files deleted", "", detail, now=now)
    return len(rows)


def prune(ledger: Ledger, spool: Spool, *, keep_days: float) -> int:
    """Forget studies that are long over: their films, results, deliveries and entries.

    A study is kept while a film of it is unfinished, a delivery is not delivered, or an entry of
    the quarantine is open. The audit trail and what readers said stay for good. A film of a
    forgotten study that is sent again is a new one.

    Args:
        ledger: The ledger.
        spool: Files of forgotten films are deleted with them.
        keep_days: Days after the last film of a study came.

    Returns:
        How many studies were forgotten.
    """
    before = ledger.clock() - keep_days * _DAY_SECONDS
    of_study = studies.c.study_uid
    is_wanted = exists().where(
        outbox.c.study_uid == of_study, outbox.c.state.in_((PENDING, FAILED))
    )
    is_open = exists().where(quarantine.c.study_uid == of_study, quarantine.c.resolved_at.is_(None))
    query = (
        select(of_study)
        .where(studies.c.is_open == 0, studies.c.last_received_at < before, studies.c.n_open == 0)
        .where(~is_wanted, ~is_open)
        .order_by(studies.c.last_received_at)
        .limit(_MOST_STUDIES)
    )
    with ledger.write() as connection:
        uids = list(connection.execute(query).scalars())
        in_study = films.c.study_uid.in_(uids)
        rows = connection.execute(select(films.c.sop_uid, films.c.path).where(in_study)).all()
        connection.execute(
            delete(arrivals).where(arrivals.c.sop_uid.in_([row.sop_uid for row in rows]))
        )
        for table in (results, outbox, quarantine, films, studies):
            connection.execute(delete(table).where(table.c.study_uid.in_(uids)))
        if uids:
            detail = {"studies": len(uids), "films": len(rows)}
            audit.record(connection, "retention", "forgotten", "", detail, now=ledger.clock())
    for row in rows:
        if row.path:
            spool.discard(Path(row.path))
    return len(uids)
