"""Local store: reviews and audit in one SQLite file, where no screening ledger keeps them."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.review.reviews import Access, Review

_BUSY_SECONDS = 2.0
_SCHEMA = """
create table if not exists review (
    id integer primary key autoincrement, study_uid text not null, reader text not null,
    model_digest text not null, at real not null, body text not null
);
create index if not exists review_by_study on review (study_uid);
create table if not exists access (
    id integer primary key autoincrement, at real not null, user text not null, role text not null,
    action text not null, study_uid text not null
);
create table if not exists secret (name text primary key, value blob not null);
"""
_LAST = "select max(id) from review {where} group by study_uid, reader, model_digest"


class LocalStore:
    """Answers :class:`monai_cxr.review.reviews.ReviewStore`.

    Rows are added, never changed: what a reader said first stays in the file.

    Args:
        path: SQLite file; made, with its folder, where it does not exist. Only its owner can
            read it.

    Raises:
        SettingsError: If the file cannot be made or is no store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            with self._open() as connection:
                connection.execute("pragma journal_mode = wal")
                connection.executescript(_SCHEMA)
        except (OSError, DeliveryError) as error:
            raise SettingsError(
                f"The store of reviews '{path.name}' cannot be opened ({type(error).__name__}). "
                "Name another file with --store."
            ) from error

    def secret(self, name: str) -> bytes:
        """32 random bytes that stay the same for this store."""
        with self._open() as connection:
            fresh = secrets.token_bytes(32)
            connection.execute("insert or ignore into secret values (?, ?)", (name, fresh))
            row = connection.execute("select value from secret where name = ?", (name,)).fetchone()
        return bytes(row[0])

    def save(self, review: Review) -> None:
        """Keep a review."""
        body = json.dumps(review.to_json())
        row = (review.study_uid, review.reader, review.model_digest, review.at, body)
        with self._open() as connection:
            connection.execute(
                "insert into review (study_uid, reader, model_digest, at, body) "
                "values (?, ?, ?, ?, ?)",
                row,
            )

    def reviews(self) -> Sequence[Review]:
        """The last review of each study, reader and model, oldest first."""
        return self._read(_LAST.format(where=""), ())

    def of_study(self, study_uid: str) -> Sequence[Review]:
        """The same, of one study."""
        return self._read(_LAST.format(where="where study_uid = ?"), (study_uid,))

    def record(self, access: Access) -> None:
        """Add a line to the audit."""
        row = (access.at, access.user, access.role, access.action, access.study_uid)
        with self._open() as connection:
            connection.execute(
                "insert into access (at, user, role, action, study_uid) values (?, ?, ?, ?, ?)", row
            )

    def accesses(self, limit: int) -> Sequence[Access]:
        """The last lines of the audit, the newest first."""
        query = "select at, user, role, action, study_uid from access order by id desc limit ?"
        with self._open() as connection:
            return [Access(*row) for row in connection.execute(query, (limit,))]

    def _read(self, ids: str, values: Sequence[str]) -> Sequence[Review]:
        query = f"select body from review where id in ({ids}) order by id"
        with self._open() as connection:
            rows = connection.execute(query, values).fetchall()
        return [Review.from_json(json.loads(body)) for (body,) in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One connection a call: safe between threads, and a file that came back is found again."""
        try:
            with self._lock:
                connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
                try:
                    with connection:
                        yield connection
                finally:
                    connection.close()
        except sqlite3.Error as error:
            raise DeliveryError(
                f"The store of reviews does not answer ({type(error).__name__}). "
                "Nothing was lost; try again."
            ) from error


def default_path() -> Path:
    """``reviews.sqlite`` in the user's state folder (XDG_STATE_HOME)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "monai-cxr" / "reviews.sqlite"
