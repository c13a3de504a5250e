"""Worklist: what a reader is shown, in an order that lets nobody wait for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.records import Film, Result, film_of, result_of
from monai_cxr.screening.ledger.schema import films, results, studies
from monai_cxr.screening.ledger.studies import Study, study_of

ORDERS = ("urgency", "waiting", "newest", "probability")

URGENCY_DELAY_SECONDS = 3_600.0
"""In the order of urgency, each step of urgency is worth one hour of waiting."""


@dataclass(frozen=True, slots=True)
class WorklistFilter:
    """Which studies.

    Attributes:
        status: ``"waiting"``, ``"analysed"``, ``"not_analysed"``, or None for all.
        finding: Only studies where this finding is positive.
        search: Beginning of a patient id or an accession number, or a whole study UID.
        max_urgency: Only studies at least that urgent: 1, 2 or 3.
        reviewed: Only reviewed (True) or unreviewed (False) ones.
        since: Received at or after, seconds since 1970.
        until: Received before.
    """

    status: str | None = None
    finding: str | None = None
    search: str = ""
    max_urgency: int | None = None
    reviewed: bool | None = None
    since: float | None = None
    until: float | None = None


EVERYTHING = WorklistFilter()


def list_studies(
    ledger: Ledger,
    which: WorklistFilter = EVERYTHING,
    *,
    order: str = "urgency",
    offset: int = 0,
    limit: int = 50,
) -> list[Study]:
    """One page of the worklist.

    Args:
        ledger: The ledger.
        which: The filter.
        order: ``"urgency"`` (each step of urgency counts as an hour of waiting), ``"waiting"``
            (longest first), ``"newest"`` or ``"probability"`` (highest first).
        offset: Studies to skip.
        limit: Studies at most.

    Raises:
        SettingsError: If the order is unknown.
    """
    columns: dict[str, list[Any]] = {
        "urgency": [
            studies.c.first_received_at + URGENCY_DELAY_SECONDS * studies.c.urgency,
            studies.c.study_uid,
        ],
        "waiting": [studies.c.first_received_at, studies.c.study_uid],
        "newest": [studies.c.last_received_at.desc(), studies.c.study_uid],
        "probability": [
            func.coalesce(studies.c.max_probability, -1.0).desc(),
            studies.c.study_uid,
        ],
    }
    if order not in columns:
        raise SettingsError(f"Expected an order of {', '.join(ORDERS)}, but got '{order}'.")
    query = _filtered(select(studies), which).order_by(*columns[order]).offset(offset).limit(limit)
    with ledger.read() as connection:
        return [study_of(row) for row in connection.execute(query)]


def count_studies(ledger: Ledger, which: WorklistFilter = EVERYTHING) -> int:
    """How many studies the filter lets through."""
    query = _filtered(select(func.count()).select_from(studies), which)
    with ledger.read() as connection:
        return int(connection.execute(query).scalar_one())


def count_by_status(ledger: Ledger) -> dict[str, int]:
    """Number of studies by status."""
    query = select(studies.c.status, func.count()).group_by(studies.c.status)
    with ledger.read() as connection:
        return {status: int(n) for status, n in connection.execute(query)}


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
        pairs.append((film, _result(film, found) if found is not None else None))
    return pairs


def studies_of_patient(ledger: Ledger, patient_id: str, *, limit: int = 50) -> list[Study]:
    """Studies of a patient, newest first; for comparison with priors."""
    query = (
        select(studies)
        .where(studies.c.patient_id == patient_id)
        .order_by(studies.c.study_date.desc(), studies.c.first_received_at.desc())
        .limit(limit)
    )
    with ledger.read() as connection:
        return [study_of(row) for row in connection.execute(query)]


def _result(film: Film, row: Any) -> Result:
    return result_of(row, patient_id=film.key.patient_id, series_uid=film.key.series_uid)


def _filtered(query: Select[Any], which: WorklistFilter) -> Select[Any]:
    column = studies.c
    if which.status is not None:
        query = query.where(column.status == which.status)
    if which.finding is not None:
        query = query.where(column.positive.contains(f"|{which.finding}|", autoescape=True))
    if which.search:
        query = query.where(
            or_(
                column.patient_id.startswith(which.search, autoescape=True),
                column.accession_number.startswith(which.search, autoescape=True),
                column.study_uid == which.search,
            )
        )
    if which.max_urgency is not None:
        query = query.where(column.urgency <= which.max_urgency)
    if which.reviewed is not None:
        query = query.where(column.n_reviews > 0 if which.reviewed else column.n_reviews == 0)
    if which.since is not None:
        query = query.where(column.last_received_at >= which.since)
    if which.until is not None:
        query = query.where(column.last_received_at < which.until)
    return query
