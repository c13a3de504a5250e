"""Ledgers for tests: a SQLite file, and a PostgreSQL server where Debian's is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from monai_cxr.screening.ledger import Ledger, open_ledger

sys.path.insert(0, str(Path(__file__).parent))  # ledger_data lies beside the tests

_DEADLINE_SECONDS = 300.0


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


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

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # ends connections, keeps what is committed
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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql.")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[postgresql]'.")
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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty ledger, one of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    return request.getfixturevalue("postgres_server").new_ledger()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    with open_ledger(ledger_url, clock=clock) as opened:
        yield opened
