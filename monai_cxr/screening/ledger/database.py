"""Database: one SQLite file or a PostgreSQL server, opened so that a commit is durable.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit has reached the disk. Writers queue with
``BEGIN IMMEDIATE``. Checkpoints of the WAL are made by one process at a time, under a lock file:
SQLite before 3.51.3 has a race between two of them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, Update, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from monai_cxr.atomic import PRIVATE_FILE, held, private_folder
from monai_cxr.errors import SettingsError
from monai_cxr.optional import require
from monai_cxr.screening.ledger.migrations import SCHEMA_VERSION, migrate, version_of
from monai_cxr.screening.ledger.watching import chart_sums, tallies

BUSY_SECONDS = 60.0
_CHECKPOINT_EVERY, _COMPACT_EVERY = 256, 64
_MIGRATION_LOCK = 0x63787201
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=0",
    "PRAGMA temp_store=MEMORY",
)

Clock = Callable[[], float]


class Ledger:
    """An open ledger; processes and threads open their own or share it, never across a fork.

    Args:
        engine: From :func:`open_ledger`.
        clock: Seconds since 1970; hosts that share a ledger keep their clocks together (NTP).
    """

    def __init__(self, engine: Engine, *, clock: Clock = time.time) -> None:
        self._engine = engine
        self._immediate = engine.execution_options(immediate=True)
        self._n_commits = 0
        self.clock = clock
        self.is_sqlite = engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads; it sees one state and blocks no writer."""
        with self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: all of it is durable at the end, or none on an exception."""
        with self._immediate.begin() as connection:
            yield connection
        self._n_commits += 1
        if self._n_commits % _COMPACT_EVERY == 0:
            with self._immediate.begin() as connection:
                if tallies.compact(connection):
                    chart_sums.compact(connection, now=self.clock())
        if self.is_sqlite and self._n_commits % _CHECKPOINT_EVERY == 0:
            self.checkpoint()

    @property
    def path(self) -> Path | None:
        """File of a SQLite ledger; None on PostgreSQL."""
        name = self._engine.url.database
        return Path(name) if self.is_sqlite and name else None

    def checkpoint(self) -> None:
        """Move SQLite's write-ahead log into its file, unless another process is doing it."""
        if self.path is None:
            return
        with held(self.path.with_name(self.path.name + ".checkpoint")) as is_ours:
            if not is_ours:
                return
            raw = self._engine.raw_connection()
            try:
                with contextlib.suppress(sqlite3.OperationalError):  # no room: made another time
                    raw.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                raw.close()

    def close(self) -> None:
        """Close the connections."""
        if self.is_sqlite and self._n_commits:
            with contextlib.suppress(OSError):  # no room for its lock file: made another time
                self.checkpoint()
        self._engine.dispose()

    def __enter__(self) -> Ledger:
        """The ledger itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Its kind; an address may hold a password."""
        return f"Ledger({self._engine.dialect.name})"


def open_ledger(
    url: str | Path,
    *,
    clock: Clock = time.time,
    busy_seconds: float = BUSY_SECONDS,
    pooled: bool = True,
) -> Ledger:
    """Open a ledger, create its tables, and bring an older one up to date.

    Args:
        url: ``sqlite:///relative.sqlite``, ``sqlite:////absolute.sqlite``, the path of a SQLite
            file, or ``postgresql://user@host/database`` (psycopg).
        clock: Seconds since 1970.
        busy_seconds: How long a writer waits for another one of a SQLite file.
        pooled: Keep connections open. Without it each transaction opens its own, so that a SQLite
            file that was taken away is missed at once, and found again when it comes back.

    Raises:
        SettingsError: If the address is wrong, the database does not answer, or it was written
            by a newer version.
    """
    options = _engine_options(_url(url), busy_seconds)
    engine = create_engine(_url(url), **options, **({} if pooled else {"poolclass": NullPool}))
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    ledger = Ledger(engine, clock=clock)
    try:
        with ledger.read() as connection:
            if version_of(connection) == SCHEMA_VERSION:  # reading needs no lock and no room
                return ledger
        with ledger.write() as connection:
            lock(connection, _MIGRATION_LOCK)
            migrate(connection, now=clock())
    except OperationalError as error:
        engine.dispose()
        raise SettingsError(
            f"The ledger's {engine.dialect.name} database does not open "
            f"({type(error.orig).__name__}). Check its address, its folder and its server."
        ) from None
    except SettingsError:
        engine.dispose()
        raise
    return ledger


def lock(connection: Connection, key: int) -> None:
    """Keep others with this key out to the end of the transaction; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def changed(connection: Connection, statement: Update) -> int:
    """Run an update; gives how many rows it changed."""
    return int(connection.execute(statement).rowcount)


DISK_FULL, NO_ANSWER = "disk_full", "no_answer"


def reason_of(error: SQLAlchemyError) -> str:
    """Why a ledger failed, as a reason code: ``"disk_full"`` or ``"no_answer"``."""
    said = str(getattr(error, "orig", "")).lower()  # SQLITE_FULL; 53100 of PostgreSQL
    is_full = "disk is full" in said or "no space left" in said or "disk full" in said
    return DISK_FULL if is_full else NO_ANSWER


def insert_new(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], keys: Sequence[str]
) -> int:
    """Insert rows whose key is new, leave the others as they are.

    Returns:
        How many were new.
    """
    if not rows:
        return 0
    module = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = module.insert(table).on_conflict_do_nothing(index_elements=list(keys))
    statement = insert.returning(table.c[keys[0]])
    return sum(len(connection.execute(statement, row).all()) for row in rows)


def _url(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    kind = parsed.get_backend_name() if parsed is not None else ""
    if parsed is None or kind not in ("sqlite", "postgresql"):
        raise SettingsError(
            f"Expected a ledger as sqlite:///FILE or postgresql://USER@HOST/DATABASE, but got an "
            f"address that begins with '{url.partition(':')[0]}:'."
        )
    if kind == "postgresql":
        require("psycopg", extra="postgresql")
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _engine_options(url: URL, busy_seconds: float) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SettingsError("Expected a ledger in a file: memory forgets what was promised.")
        _make_file(Path(url.database).absolute())
        return {"connect_args": {"timeout": busy_seconds}}
    # A server that was restarted is noticed before a connection is used.
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}


def _make_file(path: Path) -> None:
    """Make the file of a SQLite ledger for its owner alone; SQLite's others get its mode."""
    if not path.exists():
        private_folder(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, PRIVATE_FILE))


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are ours, not the driver's
        for pragma in _SQLITE_PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
