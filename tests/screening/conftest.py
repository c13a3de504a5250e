"""Ledgers for tests: a SQLite file, and a PostgreSQL server where Debian's is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_peer import PostgresServer, is_installed, running_postgres

from monai_cxr.screening.ledger import Ledger, open_ledger


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    if not is_installed():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql.")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[postgresql]'.")
    with running_postgres() as server:
        yield server


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
