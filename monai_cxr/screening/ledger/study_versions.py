"""Study versions: a report of a whole study is due each time the study closes.

Its delivery names the study where others name a film, and the version where others name a model. A
version that closes later replaces those before it, delivered or not.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, select

from monai_cxr.dicom.results.instances import InstanceReference
from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.outbox import scheduled
from monai_cxr.screening.ledger.outbox.scheduled import Delivery
from monai_cxr.screening.ledger.records import Film, film_of
from monai_cxr.screening.ledger.schema import COMPLETED, DELIVERED, films, outbox

STUDY_REPORT = "study_sr"
"""Kind of a delivery that reports all films of a study at once."""


def schedule(
    connection: Connection,
    closed: Sequence[tuple[str, int]],
    destinations: Sequence[str],
    *,
    now: float,
) -> None:
    """Have studies that have just closed reported, in the transaction that closes them.

    Args:
        connection: A transaction that writes.
        closed: (Study Instance UID, version).
        destinations: Names of those that take such reports.
        now: Seconds since 1970.
    """
    for study_uid, version in closed:
        wanted = ((STUDY_REPORT, destination, str(version)) for destination in destinations)
        scheduled.schedule(
            connection, study_uid, study_uid, wanted, available_at=now, created_at=now
        )


def is_superseded(ledger: Ledger, delivery: Delivery) -> bool:
    """Whether the study has closed again since."""
    query = select(outbox.c.id).where(*_of(delivery), outbox.c.id > delivery.id).limit(1)
    with ledger.read() as connection:
        return connection.execute(query).first() is not None


def delivered_before(ledger: Ledger, delivery: Delivery) -> list[InstanceReference]:
    """Earlier reports of the study that the destination has, the oldest first."""
    query = (
        select(outbox.c.object_class, outbox.c.object_uid, outbox.c.object_series)
        .where(*_of(delivery), outbox.c.id < delivery.id)
        .where(outbox.c.state == DELIVERED, outbox.c.object_uid != "")
        .order_by(outbox.c.id)
    )
    with ledger.read() as connection:
        return [InstanceReference(*row) for row in connection.execute(query)]


def films_with_results(ledger: Ledger, study_uid: str) -> list[Film]:
    """The films of a study that have been read, in the order of their UIDs."""
    query = (
        select(films)
        .where(films.c.study_uid == study_uid, films.c.state == COMPLETED)
        .where(films.c.model_digest != "")
        .order_by(films.c.sop_uid)
    )
    with ledger.read() as connection:
        return [film_of(row) for row in connection.execute(query)]


def _of(delivery: Delivery) -> tuple[ColumnElement[bool], ...]:
    return (
        outbox.c.sop_uid == delivery.sop_uid,
        outbox.c.kind == delivery.kind,
        outbox.c.destination == delivery.destination,
    )
