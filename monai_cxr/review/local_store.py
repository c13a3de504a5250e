"""Local store: reviews and audit in a file of the ledger's schema, where there is no ledger."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.review.ledger_cases import answering
from monai_cxr.review.ledger_store import LedgerStore
from monai_cxr.review.reviews import Review
from monai_cxr.screening.ledger import audit, open_ledger

_BUSY_SECONDS = 2.0
_SECRET = "create table if not exists secret (name text primary key, value blob not null)"


class LocalStore(LedgerStore):
    """A :class:`~monai_cxr.review.ledger_store.LedgerStore` of a SQLite file of its own.

    Rows are added, never changed: what a reader said first stays in the file. A file of an earlier
    version, with its tables ``review`` and ``access``, is brought over when it is opened; they
    stay in it as ``review_before`` and ``access_before``.

    Args:
        path: SQLite file; made, with its folder, where it does not exist. Only its owner can
            read it.

    Raises:
        SettingsError: If the file cannot be made or is no store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            ledger = open_ledger(path, busy_seconds=_BUSY_SECONDS, pooled=False)
            super().__init__(ledger)
            with answering(), ledger.write() as connection:
                connection.execute(text(_SECRET))
                earlier = inspect(connection).has_table("review")
            if earlier:
                self._bring_over()
        except (OSError, SQLAlchemyError, DeliveryError, SettingsError) as error:
            raise SettingsError(
                f"The store of reviews '{path.name}' cannot be opened ({type(error).__name__}). "
                "Name another file with --store."
            ) from error

    def secret(self, name: str) -> bytes:
        """32 random bytes that stay the same for this store."""
        with answering(), self._ledger.write() as connection:
            connection.execute(
                text("insert or ignore into secret values (:name, :value)"),
                {"name": name, "value": secrets.token_bytes(32)},
            )
            row = connection.execute(
                text("select value from secret where name = :name"), {"name": name}
            ).one()
        return bytes(row[0])

    def _bring_over(self) -> None:
        """Reviews and accesses of an earlier version become rows of the ledger's schema."""
        with answering(), self._ledger.read() as connection:
            bodies = connection.execute(text("select body from review order by id")).all()
        for (body,) in bodies:  # the same one again, after a power cut, adds nothing
            self.save(Review.from_json(json.loads(body)))
        with answering(), self._ledger.write() as connection:
            for at, user, role, action, study_uid in _accesses(connection):
                audit.record(connection, user, action, study_uid, {"role": role}, now=at)
            for table in ("review", "access"):
                connection.execute(text(f"alter table {table} rename to {table}_before"))


def _accesses(connection: Connection) -> list[tuple[float, str, str, str, str]]:
    query = "select at, user, role, action, study_uid from access order by id"
    return [(r[0], r[1], r[2], r[3], r[4]) for r in connection.execute(text(query))]


def default_path() -> Path:
    """``reviews.sqlite`` in the user's state folder (XDG_STATE_HOME)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "monai-cxr" / "reviews.sqlite"
