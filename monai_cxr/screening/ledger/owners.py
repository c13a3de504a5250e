"""Owners: names of processes in leases, and the leases of those that are gone."""

from __future__ import annotations

import os
import socket
import uuid

from sqlalchemy import select, text, union

from monai_cxr.screening.ledger import jobs, outbox
from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.schema import IN_PROGRESS, films
from monai_cxr.screening.ledger.schema import outbox as outbox_table


def owner_name(role: str) -> str:
    """A name that no other process or thread has: host, process, role, and a random end."""
    return f"{socket.gethostname()}:{os.getpid()}:{role}:{uuid.uuid4().hex[:8]}"


def release_dead(ledger: Ledger) -> int:
    """Return the leases of this host's processes that no longer run; gives their number."""
    host = socket.gethostname()
    names = union(
        select(films.c.lease_owner).where(films.c.state == IN_PROGRESS),
        select(outbox_table.c.lease_owner).where(text("outbox.lease_owner <> ''")),
    )
    with ledger.read() as connection:
        everybody = set(connection.execute(names).scalars())
    owners = {owner for owner in everybody if owner.startswith(f"{host}:")}
    return sum(
        jobs.release_owners(ledger, owner) + outbox.release_owners(ledger, owner)
        for owner in owners
        if not is_running(owner.split(":")[1])
    )


def is_running(process: str) -> bool:
    """Whether this host has a process of this number."""
    if not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
