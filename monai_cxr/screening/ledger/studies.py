"""Studies: the roll-up of a study's films, kept in the transaction that changes one of them.

A study is open while films may still come. It is closed when it is quiet and all its films are
done, or when it has been open for too long; closing it makes a version, which
is reported where a destination takes reports of studies. A late film opens it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, case, delete, func, or_, select, update

from monai_cxr.findings import FINDINGS
from monai_cxr.screening.ledger import audit, presentation, study_versions
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.schema import (
    COMPLETED,
    QUARANTINED,
    films,
    reviews,
    studies,
    values_of,
)

WAITING, ANALYSED, NOT_ANALYSED = "waiting", "analysed", "not_analysed"
NO_URGENCY = 4
QUIET_SECONDS, FORCE_SECONDS = 60.0, 900.0


@dataclass(frozen=True, slots=True)
class Study:
    """A study as a worklist shows it.

    Attributes:
        study_uid: StudyInstanceUID.
        patient_id: PatientID.
        accession_number: Or ``""``.
        study_date: DICOM DA, or ``""``.
        status: ``"waiting"`` (films left to do), ``"analysed"``, or ``"not_analysed"`` (every film
            refused).
        n_films: Films received.
        n_scored: Films with a result.
        n_quarantined: Films refused.
        positive: Findings that are positive on at least one film, in the model's order.
        urgency: 1 (act now) to 3 of the positive findings; 4 without one.
        max_probability: Largest probability of a positive finding, or None.
        first_received_at: Seconds since 1970.
        last_received_at: Seconds since 1970.
        finished_at: When the last film was done; None while waiting.
        is_open: Whether films may still come.
        version: How often it was closed; a late film makes another one.
        n_reviews: Reviews of its films.
        last_review_at: Or None.
    """

    study_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    accession_number: str = field(repr=False)
    study_date: str = field(repr=False)
    status: str
    n_films: int
    n_scored: int
    n_quarantined: int
    positive: tuple[str, ...]
    urgency: int
    max_probability: float | None
    first_received_at: float
    last_received_at: float
    finished_at: float | None
    is_open: bool
    version: int
    n_reviews: int
    last_review_at: float | None


def study(ledger: Ledger, study_uid: str) -> Study | None:
    """The roll-up of one study."""
    query = select(studies).where(studies.c.study_uid == study_uid)
    with ledger.read() as connection:
        row = connection.execute(query).one_or_none()
    return study_of(row) if row is not None else None


def is_quiet(study: Study, now: float, *, quiet_seconds: float = QUIET_SECONDS) -> bool:
    """Whether all films of a study are done and none came for a while."""
    is_done = study.status != WAITING
    return is_done and study.last_received_at <= now - quiet_seconds


def close_quiet(
    ledger: Ledger,
    *,
    quiet_seconds: float = QUIET_SECONDS,
    force_seconds: float = FORCE_SECONDS,
    limit: int = 100,
    report_to: Sequence[str] = (),
) -> list[Study]:
    """Close the studies that are complete, or open for too long.

    Args:
        ledger: The ledger.
        quiet_seconds: Without a new film, all films done.
        force_seconds: Open at most so long; what is still to do makes a later version.
        limit: Studies at a time.
        report_to: Destinations that get a report of each whole study.

    Returns:
        The studies that were closed now, with their new version.
    """
    now = ledger.clock()
    received = studies.c.last_received_at
    # A time beyond now is of a clock that was ahead; nothing waits for it.
    quiet = (studies.c.n_open == 0) & or_(received <= now - quiet_seconds, received > now + 60.0)
    condition = or_(quiet, studies.c.opened_at <= now - force_seconds)
    query = (
        select(studies.c.study_uid)
        .where(studies.c.is_open == 1, condition)
        .order_by(studies.c.study_uid)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    with ledger.write() as connection:
        uids = list(connection.execute(query).scalars())
        connection.execute(
            update(studies)
            .where(studies.c.study_uid.in_(uids))
            .values(is_open=0, version=studies.c.version + 1)
        )
        closed = select(studies).where(studies.c.study_uid.in_(uids))
        result = [study_of(row) for row in connection.execute(closed)]
        for item in result:
            detail = {"version": item.version, "n_films": item.n_films}
            audit.record(connection, "roll-up", "closed", item.study_uid, detail, now=now)
        versions = [(item.study_uid, item.version) for item in result]
        study_versions.schedule(connection, versions, report_to, now=now)
    return result


def refresh(connection: Connection, study_uid: str, *, now: float) -> None:
    """Recompute a study's row within the transaction that changed one of its films."""
    has_films = select(films.c.id).where(films.c.study_uid == study_uid).limit(1)
    if not study_uid:
        return
    if connection.execute(has_films).first() is None:  # its last film was corrected into another
        connection.execute(delete(studies).where(studies.c.study_uid == study_uid))
        return
    insert_new(connection, studies, [{"study_uid": study_uid, "opened_at": now}], ["study_uid"])
    # The row's lock orders concurrent changes; each sees the films of those before.
    locked = select(studies).where(studies.c.study_uid == study_uid).with_for_update()
    before = connection.execute(locked).one()
    values = _films_of(connection, study_uid) | _positives(connection, study_uid)
    # A late film, one that was read again, and one that was taken back make a later version.
    moved = any(values[n] != getattr(before, n) for n in ("n_films", "n_scored", "finished_at"))
    if moved and not before.is_open:
        values |= {"is_open": 1, "opened_at": now}
    connection.execute(update(studies).where(studies.c.study_uid == study_uid).values(**values))


def refresh_all(connection: Connection, study_uids: Iterable[str], *, now: float) -> None:
    """Recompute several rows, in one order, so that two writers never wait for each other."""
    for study_uid in sorted(set(study_uids)):
        refresh(connection, study_uid, now=now)


def refresh_reviews(connection: Connection, study_uid: str) -> None:
    """Recompute a study's count of reviews within a transaction."""
    query = select(func.count(), func.max(reviews.c.reviewed_at)).where(
        reviews.c.study_uid == study_uid
    )
    n_reviews, last = connection.execute(query).one()
    connection.execute(
        update(studies)
        .where(studies.c.study_uid == study_uid)
        .values(n_reviews=n_reviews, last_review_at=last)
    )


def study_of(row: Any) -> Study:
    """A row of ``studies`` as a value."""
    values = values_of(row, Study.__dataclass_fields__)
    values["positive"] = tuple(name for name in row.positive.split("|") if name)
    values["is_open"] = bool(row.is_open)
    return Study(**values)


def _films_of(connection: Connection, study_uid: str) -> dict[str, Any]:
    def n_in(state: str) -> Any:
        return func.coalesce(func.sum(case((films.c.state == state, 1), else_=0)), 0)

    row = connection.execute(
        select(
            func.count().label("n_films"),
            n_in(COMPLETED).label("n_scored"),
            n_in(QUARANTINED).label("n_quarantined"),
            func.max(films.c.patient_id).label("patient_id"),
            func.max(films.c.accession_number).label("accession_number"),
            func.max(films.c.study_date).label("study_date"),
            func.min(films.c.rank).label("rank"),
            func.min(films.c.received_at).label("first_received_at"),
            func.max(films.c.received_at).label("last_received_at"),
            func.max(films.c.finished_at).label("finished_at"),
        ).where(films.c.study_uid == study_uid)
    ).one()
    values = {k: v if v is not None else "" for k, v in row._asdict().items()}
    values["finished_at"] = row.finished_at
    n_open = row.n_films - row.n_scored - row.n_quarantined
    status = WAITING if n_open else ANALYSED if row.n_scored else NOT_ANALYSED
    if n_open:
        values["finished_at"] = None
    return values | {"n_open": n_open, "status": status}


def _positives(connection: Connection, study_uid: str) -> dict[str, Any]:
    """Positive findings over the films' newest results, without raw images shown otherwise."""
    found: dict[str, float] = {}
    rows = presentation.newest_results(connection, study_uid)
    needless = presentation.needless([(row.view, row.flags) for row in rows])
    for row in (row for row, is_needless in zip(rows, needless, strict=True) if not is_needless):
        scores = zip(row.findings, row.probabilities, row.positive, strict=True)
        for name, probability, is_positive in scores:
            if is_positive:
                found[name] = max(found.get(name, 0.0), probability or 0.0)
    urgencies = [FINDINGS[name].urgency if name in FINDINGS else 3 for name in found]
    return {
        "positive": "".join(f"|{name}" for name in found) + "|" if found else "",
        "urgency": min(urgencies, default=NO_URGENCY),
        "max_probability": max(found.values(), default=None),
    }
