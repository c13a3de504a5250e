"""Jobs: a film is leased by one worker, and finished with its result in one commit.

A lease ends by itself when its worker dies. A film that was leased before and not finished may be
the one that kills workers, so it is leased alone; after :data:`MAX_ATTEMPTS` it is quarantined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, or_, select, update

from monai_cxr.screening.ledger import audit, finished, quarantine, studies
from monai_cxr.screening.ledger.database import Ledger, changed
from monai_cxr.screening.ledger.records import Film, Outcome, film_of
from monai_cxr.screening.ledger.schema import (
    COMPLETED,
    IN_PROGRESS,
    QUARANTINED,
    SCHEDULED,
    UNLEASED,
    films,
    results,
)
from monai_cxr.screening.ledger.watching import tallies

POISON_REASON = "too_many_attempts"
MAX_ATTEMPTS = 5
_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 2.0, 600.0
_LONGEST_LEASE_SECONDS = 2 * 86_400.0
"""Later than now and this, or the longest backoff, are times of a clock that was ahead."""

_APART_SECONDS = 86_400.0
"""A lease that ended so long ago is rather of a clock that is ahead now than of a dead process."""


def lease(
    ledger: Ledger,
    owner: str,
    n: int,
    *,
    seconds: float = 120.0,
    max_attempts: int = MAX_ATTEMPTS,
    suspects_alone: bool = True,
) -> list[Film]:
    """Lease up to n films, the most urgent first.

    Args:
        ledger: The ledger.
        owner: Unique name of the worker process.
        n: Films at most; one that was leased before comes alone.
        seconds: After that time without :func:`renew` or :func:`finish`, others may lease them.
        max_attempts: A film that was leased that often without an end is quarantined.
        suspects_alone: False where a film cannot kill the process that leases it.
    """
    now = ledger.clock()
    with ledger.write() as connection:
        _return_expired(connection, now)
        chosen = _candidates(connection, n, now)
        chosen = _without_company(chosen) if suspects_alone else chosen
        poison = [row for row in chosen if row.attempts >= max_attempts]
        for row in poison:
            message = f"The film was tried {row.attempts} times without an end."
            quarantine.put_film(connection, row, POISON_REASON, message, now=now)
        ids = [row.id for row in chosen if row.attempts < max_attempts]
        connection.execute(
            update(films)
            .where(films.c.id.in_(ids))
            .values(
                state=IN_PROGRESS,
                attempts=films.c.attempts + 1,
                lease_owner=owner,
                lease_until=now + seconds,
            )
        )
        studies.refresh_all(connection, (row.study_uid for row in poison), now=now)
        for row in poison:
            detail = {"reason": POISON_REASON}
            audit.record(connection, owner, "quarantined", row.sop_uid, detail, now=now)
        query = select(films).where(films.c.id.in_(ids)).order_by(films.c.rank, films.c.id)
        return [film_of(row) for row in connection.execute(query)]


def _return_expired(connection: Connection, now: float) -> None:
    until = films.c.lease_until
    is_ahead = until > now + _LONGEST_LEASE_SECONDS
    # Two processes whose clocks are apart take each other's films: that is no fault of a film.
    is_of_clocks = or_(is_ahead, until < now - _APART_SECONDS)
    connection.execute(
        update(films)
        .where(films.c.state == IN_PROGRESS, or_(until < now, is_ahead))
        .values(
            state=SCHEDULED,
            attempts=films.c.attempts - case((is_of_clocks, 1), else_=0),
            **UNLEASED,
        )
    )


def _candidates(connection: Connection, n: int, now: float) -> list[Any]:
    at = films.c.available_at
    query = (
        select(films)
        .where(films.c.state == SCHEDULED, or_(at <= now, at > now + _LONGEST_BACKOFF_SECONDS))
        .order_by(films.c.rank, films.c.id)
        .limit(n)
        .with_for_update(skip_locked=True)  # SQLite has one writer and needs none
    )
    return list(connection.execute(query))


def _without_company(rows: list[Any]) -> list[Any]:
    """The first row alone if it was tried before, else all that were not."""
    if rows and rows[0].attempts > 0:
        return rows[:1]
    return [row for row in rows if row.attempts == 0]


def renew(ledger: Ledger, owner: str, *, seconds: float = 120.0) -> int:
    """Extend the owner's leases; gives their number."""
    held = update(films).where(films.c.lease_owner == owner, films.c.state == IN_PROGRESS)
    with ledger.write() as connection:
        return changed(connection, held.values(lease_until=ledger.clock() + seconds))


def release(ledger: Ledger, owner: str, film_ids: Sequence[int] | None = None) -> int:
    """Give leased films back untried, as a worker does that drains; gives their number."""
    held = update(films).where(films.c.lease_owner == owner, films.c.state == IN_PROGRESS)
    if film_ids is not None:
        held = held.where(films.c.id.in_(list(film_ids)))
    untried = held.values(state=SCHEDULED, attempts=films.c.attempts - 1, **UNLEASED)
    with ledger.write() as connection:
        return changed(connection, untried)


def release_owners(ledger: Ledger, prefix: str) -> int:
    """Return the leases of dead workers whose names have this prefix, before the leases end."""
    held = films.c.lease_owner.startswith(prefix)
    dead = update(films).where(films.c.state == IN_PROGRESS, held)
    with ledger.write() as connection:
        return changed(connection, dead.values(state=SCHEDULED, **UNLEASED))


def finish(
    ledger: Ledger,
    owner: str,
    outcomes: Sequence[Outcome],
    *,
    deliveries: Sequence[tuple[str, str]] = (),
) -> int:
    """Store results, schedule their deliveries and end the jobs: all of it in one transaction.

    Args:
        ledger: The ledger.
        owner: Who leased the films.
        outcomes: What became of them; a refused film goes to quarantine with its reason.
        deliveries: (kind, destination) of what is to be delivered for each result.

    Returns:
        How many films were still leased by this owner; the others were finished elsewhere, and
        nothing is stored twice.
    """
    now, n_finished = ledger.clock(), 0
    with ledger.write() as connection:
        events: list[tuple[str, str, dict[str, Any]]] = []
        touched: set[str] = set()
        for outcome in outcomes:
            row = _held(connection, owner, outcome.film_id)
            if row is None:
                continue
            n_finished += 1
            touched.add(row.study_uid)
            if outcome.prediction is None:
                quarantine.put_film(connection, row, outcome.reason, outcome.message, now=now)
                events.append(("quarantined", row.sop_uid, {"reason": outcome.reason}))
            else:
                finished.store(connection, row, outcome, deliveries, now=now)
                digest = outcome.prediction.model.digest
                events.append(("finished", row.sop_uid, {"model_digest": digest}))
        studies.refresh_all(connection, touched, now=now)
        for action, subject, detail in events:
            audit.record(connection, owner, action, subject, detail, now=now)
    return n_finished


def retry_later(
    ledger: Ledger, owner: str, film_id: int, error: str, *, max_attempts: int = MAX_ATTEMPTS
) -> str:
    """Give a film back after an error that may pass, with a growing pause.

    Args:
        ledger: The ledger.
        owner: Who leased it.
        film_id: The film.
        error: Kind of the error, without its text.
        max_attempts: After so many attempts it goes to quarantine.

    Returns:
        The film's new state, ``""`` when the lease was lost.
    """
    now = ledger.clock()
    with ledger.write() as connection:
        row = _held(connection, owner, film_id)
        if row is None:
            return ""
        if row.attempts >= max_attempts:
            message = f"The film was tried {row.attempts} times; the last error was {error}."
            quarantine.put_film(connection, row, POISON_REASON, message, now=now)
            studies.refresh(connection, row.study_uid, now=now)
            detail = {"reason": POISON_REASON, "error": error}
            audit.record(connection, owner, "quarantined", row.sop_uid, detail, now=now)
            return QUARANTINED
        pause = min(_BACKOFF_SECONDS * 2.0 ** (row.attempts - 1), _LONGEST_BACKOFF_SECONDS)
        connection.execute(
            update(films)
            .where(films.c.id == film_id)
            .values(state=SCHEDULED, available_at=now + pause, **UNLEASED)
        )
        return SCHEDULED


def unread_by(model_digest: str) -> ColumnElement[bool]:
    """Completed films that have no result of a model."""
    has_result = exists().where(
        results.c.sop_uid == films.c.sop_uid, results.c.model_digest == model_digest
    )
    # A film names the model of its newest result; those that name this one need no second look.
    is_other = or_(films.c.model_digest < model_digest, films.c.model_digest > model_digest)
    return and_(films.c.state == COMPLETED, is_other, ~has_result)


def reopen(ledger: Ledger, model_digest: str) -> int:
    """Schedule every completed film that has no result of this model; gives their number."""
    now, is_due = ledger.clock(), unread_by(model_digest)
    with ledger.write() as connection:
        touched = set(connection.execute(select(films.c.study_uid).where(is_due)).scalars())
        again = {"state": SCHEDULED, "attempts": 0, "finished_at": None, "available_at": now}
        n = changed(connection, update(films).where(is_due).values(**again))
        studies.refresh_all(connection, touched, now=now)
        if n:
            detail = {"n": n, "model_digest": model_digest}
            audit.record(connection, "operator", "reopened", "", detail, now=now)
    return n


def film(ledger: Ledger, sop_uid: str) -> Film | None:
    """The film of a SOP Instance UID."""
    with ledger.read() as connection:
        row = connection.execute(select(films).where(films.c.sop_uid == sop_uid)).one_or_none()
    return film_of(row) if row is not None else None


def n_unfinished(ledger: Ledger) -> int:
    """How many films are scheduled or in progress, those in backoff included."""
    with ledger.read() as connection:
        return tallies.total(connection, "films", SCHEDULED, IN_PROGRESS)


def _held(connection: Connection, owner: str, film_id: int) -> Any:
    """The film's row if this owner still holds it, locked until the end of the transaction."""
    return connection.execute(
        select(films)
        .where(films.c.id == film_id, films.c.state == IN_PROGRESS, films.c.lease_owner == owner)
        .with_for_update()
    ).one_or_none()
