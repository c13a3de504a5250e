"""Ledger scale: what a ledger of a million films costs to ask, beside one of ten thousand.

    python benchmarks/ledger_scale.py --films 1000000 --json OUT

Films, arrivals, results, deliveries, studies and audit entries are written by SQL into an empty
ledger on SQLite and, where Debian's PostgreSQL is installed, on PostgreSQL; nearly all of them are
finished, as after some years. Each question of a running service is then asked several times, and
the plans of the database are printed. The table gives milliseconds and the ratio to the small
ledger: a question whose cost does not grow has a ratio near 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import event, text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from ledger_data import received
from postgres_peer import is_installed, running_postgres

from monai_cxr.screening.archive.results_table import export_results
from monai_cxr.screening.arriving import retention
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import Ledger, arrivals, audit, jobs, open_ledger, outbox, studies
from monai_cxr.screening.ledger.people import worklist
from monai_cxr.screening.ledger.watching import counts

DAY = 86_400.0
NOW = 1_800_000_000.0
SECONDS_BETWEEN = 30.0
"""A film each half minute: a million of them is a year."""

NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(i) AS "
    "(SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {n})",
    "postgresql": "WITH numbers AS (SELECT i FROM generate_series(1, {n}) AS i)",
}
ROWS = {
    "films": (
        "sop_uid, study_uid, path, priority, rank, state, available_at, received_at, finished_at, "
        "model_digest, attempts",
        "'1.2.' || i, '1.3.' || (i / 2), '', 'ROUTINE', {at}, 'completed', 0, {at}, {at}, 'd', 1",
    ),
    "arrivals": ("sop_uid, outcome, arrived_at, path", "'1.2.' || i, 'new', {at}, ''"),
    "results": (
        "sop_uid, study_uid, model_digest, findings, logits, probabilities, positive, flags, "
        "quality, predicted_at",
        "'1.2.' || i, '1.3.' || (i / 2), 'd', '[]', '[]', '[]', '[]', '[]', '{{}}', {at}",
    ),
    "outbox": (
        "kind, destination, sop_uid, study_uid, model_digest, state, available_at, created_at",
        "'sr', 'pacs', '1.2.' || i, '1.3.' || (i / 2), 'd', 'delivered', {at}, {at}",
    ),
    "audit": (
        "id, at, actor, action, subject, detail, previous, hash",
        "i, {at}, 'w', 'finished', '1.2.' || i, '{{}}', '', 'h'",
    ),
}
STUDIES = (
    "INSERT INTO studies (study_uid, status, n_films, n_scored, is_open, opened_at, "
    "first_received_at, last_received_at) {numbers} "
    "SELECT '1.3.' || i, 'analysed', 2, 2, 0, {at}, {at}, {at} FROM numbers"
)


def fill(ledger: Ledger, n: int, *, seconds_between: float = SECONDS_BETWEEN) -> None:
    """Write n finished films, and some that are not."""
    dialect = "sqlite" if ledger.is_sqlite else "postgresql"
    numbers = NUMBERS[dialect].format(n=n)
    at = f"({NOW} - ({n} - i) * {seconds_between})"
    with ledger.write() as connection:
        for table, (columns, values) in ROWS.items():
            selected = f"SELECT {values.format(at=at)} FROM numbers"
            statement = f"INSERT INTO {table} ({columns}) {numbers} {selected}"
            connection.exec_driver_sql(statement)
        studies_at = f"({NOW} - ({n // 2} - i) * {2 * seconds_between})"
        studies_of = STUDIES.format(numbers=NUMBERS[dialect].format(n=n // 2), at=studies_at)
        connection.exec_driver_sql(studies_of)
        connection.exec_driver_sql(
            f"INSERT INTO audit_checkpoints (entry_id, hash, verified_at) VALUES ({n}, 'h', 0)"
        )
    for number in range(64):
        arrivals.enqueue(ledger, received(number))
    if not ledger.is_sqlite:
        with ledger.write() as connection:
            connection.execute(text("ANALYZE"))


def questions(ledger: Ledger, url: str, folder: Path) -> dict[str, Callable[[], object]]:
    """What a service and its operators ask."""
    spool = Spool(folder / "spool", reserve_bytes=0)
    a_day = {"since": NOW - DAY, "until": NOW}

    def reopen() -> None:
        with open_ledger(url, clock=lambda: NOW):
            pass

    def lease() -> None:
        jobs.lease(ledger, "w", 8)
        jobs.release(ledger, "w")

    return {
        "open": reopen,
        "status: counts": lambda: counts.count(ledger),
        "status: audit": lambda: audit.verify(ledger, from_checkpoint=True),
        "lease 8": lease,
        "is work left": lambda: jobs.n_unfinished(ledger),
        "reopen for the same model": lambda: jobs.reopen(ledger, "d"),
        "deliveries due": lambda: outbox.lease(
            ledger, "d", 16, kinds=["sr"], destinations=["pacs"]
        ),
        "list 50 studies": lambda: worklist.list_studies(ledger, limit=50),
        "close quiet studies": lambda: studies.close_quiet(ledger),
        "clean the spool": lambda: retention.clean_spool(ledger, spool, keep_days=30),
        "forget old studies": lambda: retention.prune(ledger, spool, keep_days=36_500),
        "export a day": lambda: export_results(ledger, folder / "day.parquet", **a_day),
    }


@contextmanager
def plans_of(ledger: Ledger, into: list[str]) -> Iterator[None]:
    """Keep the plan of each statement that is asked meanwhile."""
    engine, explain = ledger._engine, "EXPLAIN QUERY PLAN " if ledger.is_sqlite else "EXPLAIN "

    def note(connection, cursor, statement, parameters, context, many) -> None:
        if statement.lstrip()[:6].upper() not in ("SELECT", "UPDATE", "DELETE") or many:
            return
        raw = connection.connection.driver_connection
        rows = raw.execute(explain + statement, parameters).fetchall()
        into.extend(str(row[-1]).strip() for row in rows)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", note)


def measured(url: str, n: int, folder: Path, *, repeats: int) -> tuple[dict[str, float], dict]:
    """Milliseconds of each question (median), and its plans."""
    with open_ledger(url, clock=lambda: NOW) as ledger:
        started = time.perf_counter()
        fill(ledger, n)
        print(f"{n:>9,} films written in {time.perf_counter() - started:.0f} s", flush=True)
        return asked(ledger, questions(ledger, url, folder), repeats)


def asked(
    ledger: Ledger, to_ask: Mapping[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Milliseconds of each question (median), and its plans."""
    times: dict[str, float] = {}
    plans: dict[str, list[str]] = {}
    for name, ask in to_ask.items():
        ask()
        spans = []
        for _ in range(repeats):
            began = time.perf_counter()
            ask()
            spans.append(1_000 * (time.perf_counter() - began))
        times[name] = statistics.median(spans)
        with plans_of(ledger, plans.setdefault(name, [])):
            ask()
    return times, plans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, engines(Path(name)) as places:
        found = {kind: both(place, Path(name), options) for kind, place in places.items()}
    for kind, result in found.items():
        print(f"\n{kind}: ms at {options.small:,} and {options.films:,} films, ratio")
        for question, (small, large) in result["ms"].items():
            print(f"| {question} | {small:.1f} | {large:.1f} | {large / small:.1f} |")
        for question, steps in result["plans"].items():
            print(f"  {question}: {'; '.join(dict.fromkeys(steps))[:400]}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


@contextmanager
def engines(folder: Path) -> Iterator[dict[str, Callable[[int], str]]]:
    """Addresses of new ledgers on SQLite and, where it is installed, on PostgreSQL."""
    places: dict[str, Callable[[int], str]] = {
        "sqlite": lambda n: f"sqlite:///{folder / f'{n}.sqlite'}"
    }
    if not is_installed():
        yield places
        return
    with running_postgres() as server:
        yield places | {"postgresql": lambda n: server.new_ledger()}


def both(place: Callable[[int], str], folder: Path, options: argparse.Namespace) -> dict:
    """The questions asked of a small and of a large ledger."""
    small, _ = measured(place(options.small), options.small, folder, repeats=options.repeats)
    large, plans = measured(place(options.films), options.films, folder, repeats=options.repeats)
    return {"ms": {name: (small[name], large[name]) for name in large}, "plans": plans}


if __name__ == "__main__":
    main()
