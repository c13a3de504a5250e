"""Leases: who delivers what, and what the receiver said of it.

A receiver that is away is asked for days, at last once an hour. What is given up after that keeps
its film until a person tries it again or dismisses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, select, update

from monai_cxr.screening.ledger import audit
from monai_cxr.screening.ledger.database import Ledger, changed
from monai_cxr.screening.ledger.outbox.due import due, give_up_poison
from monai_cxr.screening.ledger.outbox.scheduled import COLUMNS, Delivery
from monai_cxr.screening.ledger.schema import DELIVERED, FAILED, PENDING, UNLEASED, outbox

DAY_SECONDS = 86_400.0
KEEP_TRYING_SECONDS = 14 * DAY_SECONDS
"""How long a receiver may be away: a long weekend, a move to another PACS."""

MAX_UNANSWERED = 20
"""Leases of one delivery that may end without any answer: it ends the processes that make it."""

MAX_ATTEMPTS_TO_MAKE = 8
"""Attempts to make an object of a film, some four minutes; nobody's network is in the way."""

MIN_ATTEMPTS = 12
"""Attempts before a receiver counts as away for days, whatever a clock says: two hours of them."""

_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 2.0, 3_600.0


def lease(
    ledger: Ledger,
    owner: str,
    n: int,
    *,
    seconds: float = 120.0,
    kinds: Sequence[str] | None = None,
    destinations: Sequence[str] | None = None,
) -> list[Delivery]:
    """Lease up to n pending deliveries that are due, the oldest first.

    Args:
        ledger: The ledger.
        owner: Unique name of the delivering process.
        n: Deliveries at most.
        seconds: After that time without an end, others may lease them.
        kinds: Only these kinds.
        destinations: Only to these destinations.
    """
    now = ledger.clock()
    wanted = outbox.c.state == PENDING
    if kinds is not None:
        wanted = and_(wanted, outbox.c.kind.in_(list(kinds)))
    if destinations is not None:
        wanted = and_(wanted, outbox.c.destination.in_(list(destinations)))
    with ledger.write() as connection:
        chosen = due(connection, wanted, n, now=now, longest=max(seconds, _LONGEST_BACKOFF_SECONDS))
        poison = [row for row in chosen if row.unanswered >= MAX_UNANSWERED]
        ids = [row.id for row in chosen if row.unanswered < MAX_UNANSWERED]
        # A lease is a date before which nobody else takes it; one that ends is simply due again.
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(ids))
            .values(
                attempts=outbox.c.attempts + 1,
                unanswered=outbox.c.unanswered + 1,
                lease_owner=owner,
                lease_until=now + seconds,
                available_at=now + seconds,
            )
        )
        rows = connection.execute(
            select(*COLUMNS).where(outbox.c.id.in_(ids)).order_by(outbox.c.id)
        )
        leased = [Delivery(**row._asdict()) for row in rows]
        for row in poison:
            give_up_poison(connection, owner, row, now)
        return leased


def release_owners(ledger: Ledger, prefix: str) -> int:
    """Make the deliveries of dead processes, whose names begin so, due at once."""
    held = (outbox.c.lease_owner != "") & outbox.c.lease_owner.startswith(prefix)
    dead = update(outbox).where(outbox.c.state == PENDING, held)
    with ledger.write() as connection:
        return changed(connection, dead.values(available_at=ledger.clock(), **UNLEASED))


def delivered(
    ledger: Ledger,
    owner: str,
    delivery_id: int,
    *,
    status: str = "",
    object_uid: str = "",
    place: tuple[str, str] = ("", ""),
    message: bytes | None = None,
) -> bool:
    """The receiver said that it has the object, of this SOP Class and series, or this message.

    Returns:
        Whether this ended the delivery; False when it had ended before.
    """
    now = ledger.clock()
    with ledger.write() as connection:
        n = connection.execute(
            update(outbox)
            .where(outbox.c.id == delivery_id, outbox.c.state != DELIVERED)
            .values(
                state=DELIVERED,
                last_status=status,
                last_error="",
                object_uid=object_uid,
                object_class=place[0],
                object_series=place[1],
                message=message,
                delivered_at=now,
                **UNLEASED,
            )
        ).rowcount
        if n:
            row = connection.execute(select(outbox).where(outbox.c.id == delivery_id)).one()
            detail = {"kind": row.kind, "destination": row.destination, "status": status}
            audit.record(connection, owner, "delivered", row.sop_uid, detail, now=now)
    return bool(n)


def failed(
    ledger: Ledger,
    owner: str,
    delivery_id: int,
    *,
    status: str = "",
    error: str = "",
    permanent: bool = False,
    max_attempts: int | None = None,
    keep_trying_seconds: float = KEEP_TRYING_SECONDS,
) -> str:
    """The receiver refused or did not answer: try again after a growing pause, or give up.

    Args:
        ledger: The ledger.
        owner: Who leased it; a delivery that somebody else holds by now is left alone.
        delivery_id: The delivery.
        status: What the receiver said, for example ``"0xA700"``.
        error: Kind of the error, without identity.
        permanent: A retry cannot help.
        max_attempts: After so many attempts it waits for ``retry``; None for the limit of time.
        keep_trying_seconds: After so long since the first failure, and :data:`MIN_ATTEMPTS`, it
            waits for ``retry``; until then it is tried again, at last once an hour.

    Returns:
        The delivery's state, ``""`` when it is not this owner's.
    """
    now = ledger.clock()
    with ledger.write() as connection:
        row = connection.execute(
            select(outbox).where(_held(delivery_id, owner)).with_for_update()
        ).one_or_none()
        if row is None:
            return ""
        if max_attempts is not None:
            is_over = permanent or row.attempts >= max_attempts
        else:
            # A clock that was behind, or jumps ahead, makes no days of a few attempts.
            is_long = now - (row.tried_since or now) >= keep_trying_seconds
            is_over = permanent or (is_long and row.attempts >= MIN_ATTEMPTS)
        pause = min(_BACKOFF_SECONDS * 2.0 ** min(row.attempts - 1, 30), _LONGEST_BACKOFF_SECONDS)
        state = FAILED if is_over else PENDING
        connection.execute(
            update(outbox)
            .where(outbox.c.id == delivery_id)
            .values(
                state=state,
                last_status=status,
                last_error=error,
                unanswered=0,
                tried_since=row.tried_since or now,
                available_at=now + pause,
                **UNLEASED,
            )
        )
        if is_over:
            detail = {"kind": row.kind, "destination": row.destination, "status": status}
            audit.record(connection, owner, "delivery failed", row.sop_uid, detail, now=now)
    return state


def postpone(ledger: Ledger, owner: str, delivery_id: int, *, seconds: float) -> None:
    """Give a delivery back untried, because what it says is not certain yet."""
    untried = {"attempts": outbox.c.attempts - 1, "unanswered": 0, **UNLEASED}
    due_at = ledger.clock() + seconds
    with ledger.write() as connection:
        held = update(outbox).where(_held(delivery_id, owner))
        connection.execute(held.values(**untried, available_at=due_at))


def _held(delivery_id: int, owner: str) -> Any:
    """A pending delivery that this owner has leased."""
    return and_(
        outbox.c.id == delivery_id, outbox.c.state == PENDING, outbox.c.lease_owner == owner
    )
