"""PostgreSQL for tests and benchmarks: Debian's server, on a Unix socket of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text

_DEADLINE_SECONDS = 300.0


@dataclass
class PostgresServer:
    """A server of our own on a Unix socket, run by a user that is not root."""

    folder: Path
    programs: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            str(self.programs / "postgres"),
            *("-D", str(self.folder / "data")),
            *("-k", str(self.folder), "-c", "listen_addresses=", "-c", "max_connections=60"),
            *("-c", "fsync=off"),  # the machine does not lose power in these tests
        ]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, **_as_server_user()
            )
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
                return
            except Exception:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.1)

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT ends connections and keeps what is committed; SIGQUIT ends at once."""
        if self.process is not None:
            self.process.send_signal(number)
            try:
                self.process.wait(_DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def execute(self, statement: str) -> None:
        address = self.url(driver="postgresql+psycopg")
        engine = create_engine(address, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def url(self, *, driver: str = "postgresql") -> str:
        return f"{driver}://cxr@/postgres?host={self.folder}"

    def new_ledger(self) -> str:
        """Address of an empty schema: as good as a database of its own, and quicker."""
        name = f"ledger_{uuid.uuid4().hex}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url()}&options=-csearch_path%3D{name}"


def _as_server_user() -> dict[str, object]:
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if _is_root() else {}


def _is_root() -> bool:
    return os.geteuid() == 0


def _postgres_programs() -> Path | None:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        return installed[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def is_installed() -> bool:
    """Whether there is a server to start."""
    return _postgres_programs() is not None


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server with an empty database, gone afterwards."""
    programs = _postgres_programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="cxr-postgres-"))
    if _is_root():
        shutil.chown(folder, "postgres", "postgres")
    server = PostgresServer(folder, programs)
    try:
        subprocess.run(
            [
                *(str(programs / "initdb"), "-D", str(folder / "data"), "-U", "cxr"),
                *("-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale"),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            **_as_server_user(),
        )
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
