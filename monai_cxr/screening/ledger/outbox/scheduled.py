"""Scheduled: deliveries that are on their way, and those that have ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.schema import PENDING, outbox


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


COLUMNS = tuple(outbox.c[name] for name in Delivery.__dataclass_fields__)
"""What a :class:`Delivery` is read from."""


def schedule(
    connection: Connection,
    sop_uid: str,
    study_uid: str,
    wanted: Iterable[tuple[str, str, str]],
    **times: float,
) -> None:
    """Schedule deliveries of a film or a study that are not scheduled yet.

    Args:
        connection: A transaction that writes.
        sop_uid: Of the film; the study's own where a whole study is reported.
        study_uid: Of the study.
        wanted: (kind, destination, model digest) of each.
        **times: Columns ``available_at`` and ``created_at``.
    """
    keys = ["kind", "destination", "model_digest", "sop_uid"]
    rest: dict[str, Any] = {"sop_uid": sop_uid, "study_uid": study_uid, "state": PENDING, **times}
    rows = [{**dict(zip(keys[:3], one, strict=True)), **rest} for one in wanted]
    insert_new(connection, outbox, rows, keys)


def deliveries(ledger: Ledger, *, state: str | None = None, limit: int = 100) -> list[Delivery]:
    """Deliveries, newest first."""
    query = select(*COLUMNS).order_by(outbox.c.id.desc()).limit(limit)
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
