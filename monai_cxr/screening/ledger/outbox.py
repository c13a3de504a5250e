"""Outbox: what must be delivered, until the receiver said that it has it.

A receiver that is away is asked for days, at last once an hour. What is given up after that keeps
its film until a person tries it again or dismisses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select, update

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import audit, patients
from monai_cxr.screening.ledger.database import Ledger, changed
from monai_cxr.screening.ledger.due import due, give_up_poison
from monai_cxr.screening.ledger.records import Film, Result, film_of, result_of
from monai_cxr.screening.ledger.schema import (
    DELIVERED,
    DISMISSED,
    FAILED,
    PENDING,
    TAKES_PLACE,
    UNLEASED,
    arrivals,
    films,
    outbox,
    results,
)

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


@dataclass(frozen=True, slots=True)
class Delivery:
    """One object on its way to one destination.

    Attributes:
        id: Row number.
        kind: For example ``"sr"``.
        destination: Name of a destination in the settings.
        sop_uid: Of the film.
        study_uid: Of the film.
        model_digest: Of the result.
        state: ``"pending"``, ``"delivered"``, ``"failed"`` or ``"dismissed"``.
        attempts: How often it was leased.
        last_status: What the receiver said last, for example ``"0xA700"``.
        last_error: Kind of the last error.
        object_uid: SOP Instance UID of the delivered object, or ``""``.
        created_at: Seconds since 1970.
        delivered_at: Or None.
    """

    id: int
    kind: str
    destination: str
    sop_uid: str
    study_uid: str
    model_digest: str
    state: str
    attempts: int
    last_status: str
    last_error: str
    object_uid: str
    created_at: float
    delivered_at: float | None


@dataclass(frozen=True, slots=True)
class DeliveryContent:
    """What an object is made of.

    Attributes:
        delivery: Which object to which destination.
        film: The film, with the path of its file.
        result: What the model said.
        is_corrected: Whether the film took the place of another one of its UID.
        is_merged: Whether the film's file may name another patient ID than the one that stands.
    """

    delivery: Delivery
    film: Film
    result: Result
    is_corrected: bool = False
    is_merged: bool = False


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
            select(*_columns()).where(outbox.c.id.in_(ids)).order_by(outbox.c.id)
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


def content(ledger: Ledger, delivery: Delivery) -> DeliveryContent:
    """Film and result of a delivery."""
    film_query = select(films).where(films.c.sop_uid == delivery.sop_uid)
    result_query = select(results).where(
        results.c.sop_uid == delivery.sop_uid, results.c.model_digest == delivery.model_digest
    )
    correction_query = select(arrivals.c.id).where(
        arrivals.c.sop_uid == delivery.sop_uid, arrivals.c.outcome.in_(TAKES_PLACE)
    )
    with ledger.read() as connection:
        film = film_of(connection.execute(film_query).one())
        row = connection.execute(result_query).one()
        is_corrected = connection.execute(correction_query.limit(1)).first() is not None
        is_merged = patients.has_prior(connection, film.key.patient_id)
    return DeliveryContent(delivery, film, result_of(row, film), is_corrected, is_merged)


def delivered(
    ledger: Ledger,
    owner: str,
    delivery_id: int,
    *,
    status: str = "",
    object_uid: str = "",
    place: tuple[str, str] = ("", ""),
) -> bool:
    """The receiver said that it has the object; ``place`` is its SOP Class and its series.

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


def retry(
    ledger: Ledger,
    ids: Sequence[int] | None = None,
    *,
    reason: str | None = None,
    actor: str = "operator",
) -> int:
    """Make failed and dismissed deliveries pending, and waiting ones due at once.

    Args:
        ledger: The ledger.
        ids: Only these; None for all that failed or wait.
        reason: Only those whose last error or status this is.
        actor: Who asked for it.

    Returns:
        Their number.
    """
    states = (PENDING, FAILED) if ids is None else (PENDING, FAILED, DISMISSED)
    values = {"state": PENDING, "attempts": 0, "unanswered": 0, "tried_since": None}
    values |= {"available_at": ledger.clock()}
    return _change(ledger, _those(states, ids, reason), values, "deliveries retried", actor)


def dismiss(
    ledger: Ledger,
    ids: Sequence[int] | None = None,
    *,
    reason: str | None = None,
    actor: str = "operator",
) -> int:
    """Give undelivered results up for good; their films may then be deleted.

    Args:
        ledger: The ledger.
        ids: Only these; None for all that failed.
        reason: Only those whose last error or status this is.
        actor: Who decided it.

    Returns:
        Their number.
    """
    states = (FAILED,) if ids is None else (PENDING, FAILED)
    values = {"state": DISMISSED}
    return _change(ledger, _those(states, ids, reason), values, "deliveries dismissed", actor)


def _change(
    ledger: Ledger, condition: Any, values: Mapping[str, Any], event: str, actor: str
) -> int:
    """Set values of the deliveries that a condition selects, on the record; their number."""
    with ledger.write() as connection:
        n = changed(connection, update(outbox).where(condition).values(**values))
        if n:
            audit.record(connection, actor, event, "", {"n": n}, now=ledger.clock())
    return n


def _held(delivery_id: int, owner: str) -> Any:
    """A pending delivery that this owner has leased."""
    return and_(
        outbox.c.id == delivery_id, outbox.c.state == PENDING, outbox.c.lease_owner == owner
    )


def _those(states: Sequence[str], ids: Sequence[int] | None, reason: str | None) -> Any:
    """Deliveries in one of these states that no worker has leased."""
    conditions = [outbox.c.state.in_(states), outbox.c.lease_owner == ""]
    if ids is not None:
        conditions.append(outbox.c.id.in_(list(ids)))
    if reason is not None:
        conditions.append(or_(outbox.c.last_error == reason, outbox.c.last_status == reason))
    return and_(*conditions)


def deliveries(ledger: Ledger, *, state: str | None = None, limit: int = 100) -> list[Delivery]:
    """Deliveries, newest first."""
    query = select(*_columns()).order_by(outbox.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(outbox.c.state == state)
    with ledger.read() as connection:
        return [Delivery(**row._asdict()) for row in connection.execute(query)]


def is_ours(ledger: Ledger, object_uid: str) -> bool:
    """Whether this SOP Instance UID is of an object that we delivered."""
    if not object_uid:
        raise SettingsError("Expected a SOP Instance UID, but got an empty one.")
    with ledger.read() as connection:
        query = select(outbox.c.id).where(outbox.c.object_uid == object_uid).limit(1)
        return connection.execute(query).first() is not None


def n_pending(ledger: Ledger) -> int:
    """How many deliveries are pending, those in backoff included."""
    query = select(func.count()).where(outbox.c.state == PENDING)
    with ledger.read() as connection:
        return int(connection.execute(query).scalar_one())


def _columns() -> list[Any]:
    return [outbox.c[name] for name in Delivery.__dataclass_fields__]
