"""Due: which deliveries may be leased now, whatever clocks said before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select, update

from monai_cxr.screening.ledger import audit
from monai_cxr.screening.ledger.schema import FAILED, UNLEASED, outbox

POISON = "too_many_attempts"


def due(
    connection: Connection, wanted: ColumnElement[bool], n: int, *, now: float, longest: float
) -> list[Any]:
    """Up to n rows of the outbox that are due, the oldest first, locked.

    Args:
        connection: In a transaction that writes.
        wanted: Which deliveries.
        n: Rows at most.
        now: Seconds since 1970.
        longest: Longest pause or lease in seconds; much later is a time of a clock that was ahead.
    """
    chosen = _first(connection, and_(wanted, outbox.c.available_at <= now), n)
    if len(chosen) < n:
        ahead = outbox.c.available_at > now + 2 * longest
        chosen += _first(connection, and_(wanted, ahead), n - len(chosen))
    return chosen


def _first(connection: Connection, condition: ColumnElement[bool], n: int) -> list[Any]:
    query = (
        select(outbox)
        .where(condition)
        .order_by(outbox.c.available_at, outbox.c.id)
        .limit(n)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(query))


def give_up_poison(connection: Connection, owner: str, row: Any, now: float) -> None:
    """Fail a delivery that never came to an answer: it ends the processes that make it."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id == row.id)
        .values(state=FAILED, last_error=POISON, **UNLEASED)
    )
    detail = {"kind": row.kind, "destination": row.destination, "status": POISON}
    audit.record(connection, owner, "delivery failed", row.sop_uid, detail, now=now)
