"""Retention: spooled files of finished films are deleted after a while; the ledger stays."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import exists, select

from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import Ledger, audit
from monai_cxr.screening.ledger.schema import COMPLETED, FAILED, PENDING, films, outbox

_DAY_SECONDS = 86_400.0


def clean_spool(ledger: Ledger, spool: Spool, *, keep_days: float, limit: int = 500) -> int:
    """Delete the files of films that were completed long ago and have nothing left to deliver.

    A film whose result was given up is kept too: the result can only be made of it. Its delivery is
    tried again or dismissed by ``screen retry``.

    Files in quarantine stay until a person decides.

    Args:
        ledger: The ledger.
        spool: The spool; files elsewhere are never touched.
        keep_days: Days after completion.
        limit: Files at a time.

    Returns:
        How many were deleted.
    """
    before = ledger.clock() - keep_days * _DAY_SECONDS
    is_owed = exists().where(
        outbox.c.sop_uid == films.c.sop_uid, outbox.c.state.in_((PENDING, FAILED))
    )
    query = (
        select(films.c.id, films.c.path)
        .where(films.c.state == COMPLETED, films.c.finished_at < before, films.c.path != "")
        .where(~is_owed)
        .order_by(films.c.id)
        .limit(limit)
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
    return len(gone)
