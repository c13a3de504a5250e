"""Worklist: studies and their films as the viewer reads them; it puts them in order."""

from __future__ import annotations

from sqlalchemy import select

from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.records import Film, Result, film_of, result_of
from monai_cxr.screening.ledger.schema import films, results, studies
from monai_cxr.screening.ledger.studies import Study, study_of


def list_studies(ledger: Ledger, *, limit: int) -> list[Study]:
    """The studies that came last, newest first.

    Args:
        ledger: The ledger.
        limit: Studies at most.
    """
    query = (
        select(studies)
        .order_by(studies.c.last_received_at.desc(), studies.c.study_uid)
        .limit(limit)
    )
    with ledger.read() as connection:
        return [study_of(row) for row in connection.execute(query)]


def films_of_study(ledger: Ledger, study_uid: str) -> list[tuple[Film, Result | None]]:
    """Films of a study with their newest results, in order of arrival."""
    film_query = select(films).where(films.c.study_uid == study_uid).order_by(films.c.id)
    result_query = select(results).where(results.c.study_uid == study_uid)
    with ledger.read() as connection:
        rows = connection.execute(film_query).all()
        stored = {(r.sop_uid, r.model_digest): r for r in connection.execute(result_query)}
    pairs: list[tuple[Film, Result | None]] = []
    for row in rows:
        film = film_of(row)
        found = stored.get((row.sop_uid, row.model_digest))
        pairs.append((film, result_of(found, film) if found is not None else None))
    return pairs
