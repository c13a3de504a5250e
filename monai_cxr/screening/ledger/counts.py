"""Counts: how much of what is in the ledger, for metrics and status; no identity in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table, func, select

from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.schema import (
    FILM_STATES,
    IN_PROGRESS,
    PENDING,
    SCHEDULED,
    arrivals,
    films,
    outbox,
    quarantine,
    results,
    reviews,
    studies,
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of a ledger at one moment.

    Attributes:
        films: By state.
        arrivals: By outcome: new, duplicate, conflict, refused.
        deliveries: By (kind, destination, state).
        quarantine: Unresolved entries by reason.
        n_results: Stored results.
        n_reviews: Stored reviews.
        n_studies: Studies.
        n_retries: Leases beyond the first, over all films.
        queue_age_seconds: Age of the unfinished films at the quantiles 0.5, 0.95 and 1; empty
            when there are none.
        outbox_age_seconds: Age of the oldest pending delivery, 0 when there are none.
    """

    films: Mapping[str, int]
    arrivals: Mapping[str, int]
    deliveries: Mapping[tuple[str, str, str], int]
    quarantine: Mapping[str, int]
    n_results: int
    n_reviews: int
    n_studies: int
    n_retries: int
    queue_age_seconds: Mapping[float, float]
    outbox_age_seconds: float


def count(ledger: Ledger) -> Counts:
    """Count everything, in one read transaction."""
    now = ledger.clock()
    with ledger.read() as connection:
        by_state = _grouped(connection, films, films.c.state)
        delivered = connection.execute(
            select(outbox.c.kind, outbox.c.destination, outbox.c.state, func.count()).group_by(
                outbox.c.kind, outbox.c.destination, outbox.c.state
            )
        )
        oldest = connection.execute(
            select(func.min(outbox.c.created_at)).where(outbox.c.state == PENDING)
        ).scalar()
        open_entries = select(quarantine.c.reason, func.count()).where(
            quarantine.c.resolved_at.is_(None)
        )
        retries = select(func.coalesce(func.sum(films.c.attempts - 1), 0)).where(
            films.c.attempts > 1
        )
        return Counts(
            films={state: by_state.get(state, 0) for state in FILM_STATES},
            arrivals=_grouped(connection, arrivals, arrivals.c.outcome),
            deliveries={(k, d, s): int(n) for k, d, s, n in delivered},
            quarantine={
                reason: int(n)
                for reason, n in connection.execute(open_entries.group_by(quarantine.c.reason))
            },
            n_results=_size(connection, results),
            n_reviews=_size(connection, reviews),
            n_studies=_size(connection, studies),
            n_retries=int(connection.execute(retries).scalar_one()),
            queue_age_seconds=_ages(connection, now),
            outbox_age_seconds=max(0.0, now - oldest) if oldest is not None else 0.0,
        )


def _ages(connection: Connection, now: float) -> dict[float, float]:
    unfinished = films.c.state.in_((SCHEDULED, IN_PROGRESS))
    n = connection.execute(select(func.count()).where(unfinished)).scalar_one()
    ages: dict[float, float] = {}
    for quantile in (0.5, 0.95, 1.0) if n else ():
        older = min(n - 1, int((1.0 - quantile) * n))
        query = select(films.c.received_at).where(unfinished).order_by(films.c.received_at)
        received = connection.execute(query.offset(older).limit(1)).scalar()
        if received is not None:
            ages[quantile] = max(0.0, now - received)
    return ages


def _grouped(connection: Connection, table: Table, column: Column[str]) -> dict[str, int]:
    query = select(column, func.count()).select_from(table).group_by(column)
    return {name: int(n) for name, n in connection.execute(query)}


def _size(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
