"""Cursors: where a pull from another system has got to, so that a restart goes on from there."""

from __future__ import annotations

from sqlalchemy import select, update

from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.schema import cursors


def get(ledger: Ledger, name: str) -> str | None:
    """The value of a cursor, None before the first."""
    with ledger.read() as connection:
        query = select(cursors.c.value).where(cursors.c.name == name)
        return connection.execute(query).scalar_one_or_none()


def put(ledger: Ledger, name: str, value: str) -> None:
    """Set a cursor."""
    now = ledger.clock()
    with ledger.write() as connection:
        row = {"name": name, "value": value, "updated_at": now}
        if not insert_new(connection, cursors, [row], ["name"]):
            connection.execute(
                update(cursors).where(cursors.c.name == name).values(value=value, updated_at=now)
            )
