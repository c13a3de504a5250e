"""Backup: a consistent copy of a SQLite ledger while it is in use, and its way back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from monai_cxr.atomic import write_atomically
from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import Ledger, audit, open_ledger


@dataclass(frozen=True, slots=True)
class BackupNote:
    """What to record about a backup.

    Attributes:
        n_entries: Entries of the audit trail.
        head: Its head; :func:`monai_cxr.screening.ledger.audit.verify` takes it.
    """

    n_entries: int
    head: str


def back_up(ledger: Ledger, target: Path) -> BackupNote:
    """Copy a SQLite ledger with SQLite's own backup, whole or not at all.

    Raises:
        SettingsError: If the ledger is PostgreSQL's (use pg_dump) or the file cannot be written.
    """
    if ledger.path is None:
        raise SettingsError("This ledger is in PostgreSQL: back it up with pg_dump.")
    source = str(ledger.path)

    def copy(part: Path) -> None:
        with closing(sqlite3.connect(source)) as kept, closing(sqlite3.connect(part)) as made:
            kept.backup(made)

    write_atomically(target, copy, private=True)
    return _verified(target)


def restore(backup: Path, target: Path) -> BackupNote:
    """Restore a backup where there is no ledger, after a check of its integrity and audit trail.

    Raises:
        SettingsError: If the backup is damaged, or a ledger is there already.
    """
    if target.exists():
        raise SettingsError(
            f"There is a ledger at '{target.name}'. Move it away first: nothing is overwritten."
        )
    if not backup.is_file():
        raise SettingsError(f"The backup '{backup.name}' does not exist.")
    note = _verified(backup)
    write_atomically(target, lambda part: part.write_bytes(backup.read_bytes()), private=True)
    return note


def _verified(path: Path) -> BackupNote:
    try:
        with closing(sqlite3.connect(path)) as connection:
            answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        answer = type(error).__name__
    if answer != "ok":
        raise SettingsError(f"The backup '{path.name}' is damaged ({answer}). Take an older one.")
    with open_ledger(path) as ledger:
        trail = audit.verify(ledger)
    if not trail.is_intact:
        raise SettingsError(
            f"The audit trail of '{path.name}' is broken at entry {trail.broken_at}."
        )
    return BackupNote(trail.n_entries, trail.head)
