"""Tallies: how many rows of each kind there are, kept by the database as they change.

Counting ten million rows takes seconds; adding up some hundred small numbers does not. Triggers add
a line (what, key, difference) for each change in the transaction that makes it, so that a number is
as true as the rows; two writers never wait for each other's line. From time to time the lines are
added up into one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, text

from monai_cxr.screening.ledger.schema import tallies

_COMPACTION_LOCK = 0x63787203


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted.

    Attributes:
        what: Its name.
        table: The rows.
        key: SQL of the key that they are counted by; ``{row}`` stands for the row.
        weight: SQL of what a row counts.
        is_total: Whether a deleted row stays counted, as a counter of Prometheus asks for.
    """

    what: str
    table: str
    key: str = "''"
    weight: str = "1"
    is_total: bool = False


DROPS = Tally(
    "drops",
    "arrivals",
    "{row}.reason",
    "(CASE WHEN {row}.outcome = 'ignored' THEN 1 ELSE 0 END)",
    is_total=True,
)

REPORTS = Tally("reports", "reports")

TALLIES = (
    Tally("films", "films", "{row}.state"),
    Tally(
        "retries",
        "films",
        weight="(CASE WHEN {row}.attempts > 1 THEN {row}.attempts - 1 ELSE 0 END)",
    ),
    Tally("arrivals", "arrivals", "{row}.outcome", is_total=True),
    Tally("deliveries", "outbox", "{row}.kind || '|' || {row}.state || '|' || {row}.destination"),
    Tally(
        "quarantine",
        "quarantine",
        "{row}.reason",
        "(CASE WHEN {row}.resolved_at IS NULL THEN 1 ELSE 0 END)",
    ),
    Tally("results", "results"),
    Tally("reviews", "reviews"),
    Tally("studies", "studies", "{row}.status"),
    DROPS,
    REPORTS,
)


def install(connection: Connection, wanted: Sequence[Tally] = TALLIES) -> None:
    """Make the triggers, and count what is there; within the transaction that makes the tables."""
    make = _sqlite_triggers if connection.dialect.name == "sqlite" else _postgresql_triggers
    for tally in wanted:
        for statement in make(tally):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(_insert(tally, tally.table, 1))


def read(connection: Connection) -> Mapping[str, Counter[str]]:
    """The numbers: by what is counted, then by key."""
    query = select(tallies.c.what, tallies.c.key, func.sum(tallies.c.n))
    numbers: dict[str, Counter[str]] = {tally.what: Counter() for tally in TALLIES}
    for what, key, n in connection.execute(query.group_by(tallies.c.what, tallies.c.key)):
        if n:
            numbers.setdefault(what, Counter())[key] = int(n)
    return numbers


def total(connection: Connection, what: str, *keys: str) -> int:
    """The sum of some keys' numbers."""
    query = select(func.coalesce(func.sum(tallies.c.n), 0))
    query = query.where(tallies.c.what == what, tallies.c.key.in_(keys))
    return int(connection.execute(query).scalar_one())


def compact(connection: Connection) -> bool:
    """Add the lines up, unless another process is doing it; lines that are on their way stay.

    Returns:
        Whether this process did it, and holds the lock of it to the end of the transaction.
    """
    if connection.dialect.name == "postgresql":
        got = text("SELECT pg_try_advisory_xact_lock(:key)")
        if not connection.execute(got, {"key": _COMPACTION_LOCK}).scalar_one():
            return False
    gone = delete(tallies).returning(tallies.c.what, tallies.c.key, tallies.c.n)
    sums: Counter[tuple[str, str]] = Counter()
    for what, key, n in connection.execute(gone):
        sums[what, key] += n
    rows = [{"what": what, "key": key, "n": n} for (what, key), n in sums.items() if n]
    if rows:
        connection.execute(insert(tallies), rows)
    return True


def _insert(tally: Tally, source: str, sign: int) -> str:
    """SQL that adds up the rows of a table, or of a change to it."""
    key, weight = tally.key.format(row="r"), tally.weight.format(row="r")
    return (
        f"INSERT INTO tallies (what, key, n) SELECT '{tally.what}', counted.k, SUM(counted.w) "
        f"FROM (SELECT {key} AS k, {sign} * {weight} AS w FROM {source} r) AS counted "
        "GROUP BY counted.k HAVING SUM(counted.w) <> 0"
    )


def _sqlite_triggers(tally: Tally) -> list[str]:
    def line(row: str, sign: int) -> str:
        key, weight = tally.key.format(row=row), tally.weight.format(row=row)
        return (
            f"INSERT INTO tallies (what, key, n) SELECT '{tally.what}', {key}, {sign} * {weight} "
            f"WHERE {weight} <> 0;"
        )

    old_key, new_key = (tally.key.format(row=row) for row in ("OLD", "NEW"))
    old_weight, new_weight = (tally.weight.format(row=row) for row in ("OLD", "NEW"))
    is_changed = f"{old_key} <> {new_key} OR {old_weight} <> {new_weight}"
    bodies = {
        "insert": (f"AFTER INSERT ON {tally.table}", line("NEW", 1)),
        "update": (
            f"AFTER UPDATE ON {tally.table} WHEN {is_changed}",
            line("OLD", -1) + " " + line("NEW", 1),
        ),
        "delete": (f"AFTER DELETE ON {tally.table}", line("OLD", -1)),
    }
    if tally.is_total:
        bodies = {"insert": bodies["insert"]}
    return [
        f"CREATE TRIGGER tally_{tally.what}_{name} {when} BEGIN {body} END"
        for name, (when, body) in bodies.items()
    ]


def _postgresql_triggers(tally: Tally) -> list[str]:
    """One line a statement and key, however many rows it changes."""
    key, weight = tally.key.format(row="r"), tally.weight.format(row="r")

    def lines(*sources: tuple[str, int]) -> str:
        rows = " UNION ALL ".join(
            f"SELECT {key} AS k, {sign} * {weight} AS w FROM {source} r" for source, sign in sources
        )
        return (
            f"INSERT INTO tallies (what, key, n) SELECT '{tally.what}', counted.k, SUM(counted.w) "
            f"FROM ({rows}) AS counted GROUP BY counted.k HAVING SUM(counted.w) <> 0;"
        )

    changes = {
        "insert": ("NEW TABLE AS new_rows", lines(("new_rows", 1))),
        "update": (
            "OLD TABLE AS old_rows NEW TABLE AS new_rows",
            lines(("old_rows", -1), ("new_rows", 1)),
        ),
        "delete": ("OLD TABLE AS old_rows", lines(("old_rows", -1))),
    }
    if tally.is_total:
        changes = {"insert": changes["insert"]}
    statements = []
    for name, (tables, body) in changes.items():
        function = f"tally_{tally.what}_{name}"
        statements.append(
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {body} RETURN NULL; END $$"
        )
        statements.append(
            f"CREATE TRIGGER {function} AFTER {name.upper()} ON {tally.table} "
            f"REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
    return statements
