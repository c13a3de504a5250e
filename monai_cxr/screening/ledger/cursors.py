"""Cursors: where a pull from another system has got to, so that a restart goes on from there.

A cursor can also be held for a while, so that of several processes one does a thing.
"""

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


def hold(ledger: Ledger, name: str, *, seconds: float) -> bool:
    """Hold a name for so long, in one transaction; False where another process holds it.

    A holder that dies is followed by another one when its time is over. A time that lies much
    further ahead than holders ask for came from a clock that was ahead, and holds nothing.
    """
    now = ledger.clock()
    row = {"name": name, "value": repr(now + seconds), "updated_at": now}
    with ledger.write() as connection:
        if insert_new(connection, cursors, [row], ["name"]):
            return True
        this = cursors.c.name == name
        held = select(cursors.c.value).where(this).with_for_update()  # SQLite has one writer anyway
        until = float(connection.execute(held).scalar_one())
        if now < until <= now + 2 * seconds:
            return False
        connection.execute(update(cursors).where(this).values(**row))
    return True


def let_go(ledger: Ledger, name: str) -> None:
    """Hold a name no longer."""
    put(ledger, name, "0")
