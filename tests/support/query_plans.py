"""Query plans: which statements of a ledger walk through a table that grows, on both engines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from monai_cxr.screening.ledger import Ledger

_FILMS = ("films", "arrivals", "results", "outbox", "studies", "audit")
GROWING = frozenset((*_FILMS, "reports", "report_texts", "chart_sums"))
"""Tables that grow with films; a look or a review is a person's minute."""


@contextmanager
def walks_of(ledger: Ledger) -> Iterator[Counter[str]]:
    """Statements that are asked meanwhile whose plan reads a growing table from end to end.

    A walk that ends after some rows (LIMIT) is none. PostgreSQL is kept from its walks, which it
    prefers in small tables, so that what is left is what no index helps with.
    """
    walks: Counter[str] = Counter()

    def explain(connection, cursor, statement, parameters, context, many) -> None:
        if statement.lstrip()[:6].upper() not in ("SELECT", "UPDATE", "DELETE") or many:
            return
        raw = connection.connection.driver_connection
        found = _in_sqlite if ledger.is_sqlite else _in_postgresql
        for step in found(raw, statement, parameters):
            walks[f"{step}: {statement[:300]}"] += 1

    engine = ledger._engine
    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield walks
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def _in_sqlite(raw: Any, statement: str, parameters: Any) -> Iterator[str]:
    if "LIMIT" in statement:
        return
    for *_, step in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall():
        if step.startswith("SCAN") and step.split()[1] in GROWING:
            yield step


def _in_postgresql(raw: Any, statement: str, parameters: Any) -> Iterator[str]:
    with raw.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        rows = cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchone()
        cursor.execute("SET LOCAL enable_seqscan = on")
    plan = rows[0] if isinstance(rows[0], list) else json.loads(rows[0])
    yield from _walks(plan[0]["Plan"], is_limited=False)


def _walks(node: dict[str, Any], *, is_limited: bool) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name")
    is_limited = is_limited or kind == "Limit"
    is_scan = kind in ("Seq Scan", "Index Scan", "Index Only Scan")
    if table in GROWING and is_scan and "Index Cond" not in node and not is_limited:
        yield f"{kind} {table}"
    for child in node.get("Plans", ()):
        # What is sorted or added up is read to its end, whatever limit comes after.
        ends = kind in ("Sort", "Aggregate", "Hash")
        yield from _walks(child, is_limited=is_limited and not ends)
