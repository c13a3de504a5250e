"""By hand: what a person does with deliveries that were given up or wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, or_, update

from monai_cxr.screening.ledger import audit
from monai_cxr.screening.ledger.database import Ledger, changed
from monai_cxr.screening.ledger.schema import DISMISSED, FAILED, PENDING, outbox


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


def _those(states: Sequence[str], ids: Sequence[int] | None, reason: str | None) -> Any:
    """Deliveries in one of these states that no worker has leased."""
    conditions = [outbox.c.state.in_(states), outbox.c.lease_owner == ""]
    if ids is not None:
        conditions.append(outbox.c.id.in_(list(ids)))
    if reason is not None:
        conditions.append(or_(outbox.c.last_error == reason, outbox.c.last_status == reason))
    return and_(*conditions)
