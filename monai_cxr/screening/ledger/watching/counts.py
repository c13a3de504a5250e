"""Counts: how much of what is in the ledger, for metrics and status; no identity in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, func, select

from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.schema import (
    FILM_STATES,
    IN_PROGRESS,
    PENDING,
    SCHEDULED,
    films,
    outbox,
)
from monai_cxr.screening.ledger.watching import tallies

_MOST_RANKED = 100_000
"""More films than that are not put in order only to say how old the median is."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of a ledger at one moment.

    Attributes:
        films: By state.
        arrivals: By outcome: new, duplicate, conflict, refused.
        deliveries: By (kind, destination, state).
        drops: Of the ignored ones, how many by reason.
        quarantine: Unresolved entries by reason.
        n_results: Stored results.
        n_reviews: Stored reviews.
        n_studies: Studies.
        n_retries: Leases beyond the first, over all films.
        queue_age_seconds: Age of the unfinished films at the quantiles 0.5, 0.95 and 1; empty
            when there are none. Of more than 100,000 films, the oldest only (1).
        outbox_age_seconds: Age of the oldest pending delivery, 0 when there are none.
        clock_ahead_seconds: How far the newest unfinished film's arrival lies in the future: a
            clock was, or is, wrong.
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
    clock_ahead_seconds: float = 0.0
    drops: Mapping[str, int] = field(default_factory=dict)


def count(ledger: Ledger) -> Counts:
    """The numbers, in one read transaction; none of them needs a walk through the rows."""
    now = ledger.clock()
    with ledger.read() as connection:
        numbers = tallies.read(connection)
        oldest = connection.execute(
            select(func.min(outbox.c.created_at)).where(outbox.c.state == PENDING)
        ).scalar()
        return Counts(
            films={state: numbers["films"][state] for state in FILM_STATES},
            arrivals=dict(numbers["arrivals"]),
            deliveries={_delivery(key): n for key, n in numbers["deliveries"].items()},
            quarantine=dict(numbers["quarantine"]),
            n_results=numbers["results"][""],
            n_reviews=numbers["reviews"][""],
            n_studies=sum(numbers["studies"].values()),
            n_retries=numbers["retries"][""],
            queue_age_seconds=_ages(connection, numbers["films"], now),
            outbox_age_seconds=max(0.0, now - oldest) if oldest is not None else 0.0,
            clock_ahead_seconds=_ahead(connection, now),
            drops=dict(numbers["drops"]),
        )


def _delivery(key: str) -> tuple[str, str, str]:
    kind, state, destination = key.split("|", 2)
    return kind, destination, state


def _ages(connection: Connection, by_state: Mapping[str, int], now: float) -> dict[float, float]:
    n = by_state.get(SCHEDULED, 0) + by_state.get(IN_PROGRESS, 0)
    if not n:
        return {}
    if n > _MOST_RANKED:
        oldest = _extreme(connection, func.min)
        return {} if oldest is None else {1.0: max(0.0, now - oldest)}
    unfinished = films.c.state.in_((SCHEDULED, IN_PROGRESS))
    ages: dict[float, float] = {}
    for quantile in (0.5, 0.95, 1.0):
        older = min(n - 1, int((1.0 - quantile) * n))
        query = select(films.c.received_at).where(unfinished).order_by(films.c.received_at)
        received = connection.execute(query.offset(older).limit(1)).scalar()
        if received is not None:
            ages[quantile] = max(0.0, now - received)
    return ages


def _ahead(connection: Connection, now: float) -> float:
    newest = _extreme(connection, func.max)
    return 0.0 if newest is None else max(0.0, newest - now)


def _extreme(connection: Connection, function: Callable[[Column[float]], Any]) -> float | None:
    """The first or last arrival of an unfinished film, by one look at the index a state."""
    found = []
    for state in (SCHEDULED, IN_PROGRESS):
        query = select(function(films.c.received_at)).where(films.c.state == state)
        found.append(connection.execute(query).scalar())
    known = [value for value in found if value is not None]
    return None if not known else min(known) if function is func.min else max(known)
