"""Audit: who did what to which object and when, append-only, chained by SHA-256.

Each entry's hash covers the hash before it, so a changed, removed or inserted entry breaks the
chain from there on. Entries cut off at the end leave a valid chain: note the head elsewhere (it is
in each backup and each summary) and give it to :func:`verify`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, select

from monai_cxr.screening.ledger.database import Ledger, insert_new, lock
from monai_cxr.screening.ledger.schema import audit, audit_checkpoints, values_of

GENESIS = "0" * 64
_CHAIN_LOCK = 0x63787202
_PAGE = 5_000
CHECKPOINT_EVERY = 50_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        id: Position in the chain, from 1.
        at: Seconds since 1970.
        actor: A user, or a part of the service.
        action: For example ``"received"``, ``"finished"``, ``"delivered"``, ``"reviewed"``.
        subject: A UID, or ``""``.
        detail: Further facts.
        hash: SHA-256 of this entry and the one before.
    """

    id: int
    at: float
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the chain holds.

    Attributes:
        n_entries: Entries read.
        head: Hash of the last one; ``GENESIS`` when there are none.
        broken_at: Position of the first entry that does not fit, or None.
        has_expected_head: Whether the head noted elsewhere is in the chain.
    """

    n_entries: int
    head: str
    broken_at: int | None
    has_expected_head: bool = True

    @property
    def is_intact(self) -> bool:
        """Whether nothing was changed or cut off."""
        return self.broken_at is None and self.has_expected_head


def append(
    ledger: Ledger,
    actor: str,
    action: str,
    subject: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Append one entry in its own transaction."""
    with ledger.write() as connection:
        record(connection, actor, action, subject, detail, now=ledger.clock())


def record(
    connection: Connection,
    actor: str,
    action: str,
    subject: str = "",
    detail: Mapping[str, Any] | None = None,
    *,
    now: float,
) -> None:
    """Append one entry within a transaction; call it last, because it holds the chain's lock."""
    lock(connection, _CHAIN_LOCK)
    newest = select(audit.c.id, audit.c.hash).order_by(audit.c.id.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    number, previous = (last.id + 1, last.hash) if last is not None else (1, GENESIS)
    values = {
        "id": number,
        "at": now,
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail": json.dumps(dict(detail or {}), sort_keys=True),
    }
    connection.execute(
        audit.insert().values(**values, previous=previous, hash=_digest(previous, values))
    )


def verify(
    ledger: Ledger, *, expected_head: str | None = None, from_checkpoint: bool = False
) -> Verification:
    """Read the chain from its start, or from where it was verified; about 100,000 entries a second.

    Args:
        ledger: The ledger.
        expected_head: A head noted earlier; it must still be in the chain.
        from_checkpoint: Whether to begin at the newest checkpoint. A change before it is not
            noticed then, but by a backup, which reads everything.
    """
    n_entries, previous = _checkpoint(ledger) if from_checkpoint else (0, GENESIS)
    return _walk(ledger, n_entries, previous, expected_head)


def advance(ledger: Ledger, *, most: int = CHECKPOINT_EVERY) -> Verification:
    """Verify the next stretch of the chain, and note that as a checkpoint where it is intact.

    Args:
        ledger: The ledger.
        most: Entries at most; a shorter stretch makes no checkpoint.

    Returns:
        What was found in the stretch.
    """
    n_entries, previous = _checkpoint(ledger)
    found = _walk(ledger, n_entries, previous, None, most=most)
    if found.is_intact and found.n_entries - n_entries >= most:
        values = {"entry_id": found.n_entries, "hash": found.head, "verified_at": ledger.clock()}
        with ledger.write() as connection:
            insert_new(connection, audit_checkpoints, [values], ["entry_id"])
            old = audit_checkpoints.c.entry_id < found.n_entries
            connection.execute(delete(audit_checkpoints).where(old))
    return found


def _checkpoint(ledger: Ledger) -> tuple[int, str]:
    newest = select(audit_checkpoints).order_by(audit_checkpoints.c.entry_id.desc()).limit(1)
    with ledger.read() as connection:
        row = connection.execute(newest).one_or_none()
    return (0, GENESIS) if row is None else (row.entry_id, row.hash)


def _walk(
    ledger: Ledger,
    n_entries: int,
    previous: str,
    expected_head: str | None,
    *,
    most: int | None = None,
) -> Verification:
    seen = expected_head in (None, GENESIS, previous)
    for row in islice(_rows(ledger, n_entries), most):
        n_entries += 1
        values = values_of(row, ("id", "at", "actor", "action", "subject", "detail"))
        fits = row.id == n_entries and row.previous == previous
        if not fits or row.hash != _digest(previous, values):
            return Verification(n_entries, previous, n_entries, seen)
        previous = row.hash
        seen = seen or previous == expected_head
    return Verification(n_entries, previous, None, seen)


def entries(
    ledger: Ledger,
    *,
    subject: str | None = None,
    actor: str | None = None,
    since: float = -math.inf,
    until: float = math.inf,
    only_people: bool = False,
    offset: int = 0,
    limit: int = 100,
) -> list[Entry]:
    """Entries, newest first.

    Args:
        ledger: The ledger.
        subject: Only of this study or film.
        actor: Only of this person or part of the service.
        since: Only from this time on, in POSIX seconds.
        until: Only before this time.
        only_people: Only what a person did: with their role, or a review.
        offset: How many to leave out.
        limit: How many at most.
    """
    query = select(audit).order_by(audit.c.id.desc()).offset(offset).limit(limit)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    if since > -math.inf:
        query = query.where(audit.c.at >= since)
    if until < math.inf:
        query = query.where(audit.c.at < until)
    if only_people:
        query = query.where(audit.c.detail.contains('"role":') | (audit.c.action == "reviewed"))
    with ledger.read() as connection:
        rows = connection.execute(query).all()
    return [
        Entry(r.id, r.at, r.actor, r.action, r.subject, json.loads(r.detail), r.hash) for r in rows
    ]


def _rows(ledger: Ledger, last: int) -> Any:
    while True:
        query = select(audit).where(audit.c.id > last).order_by(audit.c.id).limit(_PAGE)
        with ledger.read() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return
        yield from rows
        last = rows[-1].id


def _digest(previous: str, values: Mapping[str, Any]) -> str:
    content = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()
