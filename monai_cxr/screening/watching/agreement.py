"""Agreement: studies of the ledger beside their signed reports."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select

from monai_cxr.labels.lexicon import Lexicon
from monai_cxr.labels.report_labels import read_report
from monai_cxr.labels.report_sources import read_reports
from monai_cxr.monitoring.concordance import COLUMNS, second_look_queue
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.people import second_looks, signed_reports
from monai_cxr.screening.ledger.people.report_texts import TextSeal
from monai_cxr.screening.ledger.schema import films, results
from monai_cxr.screening.ledger.watching.chart_sums import day_of

GROUPS = ("month", "manufacturer", "view")
"""What concordance is grouped by."""

_BATCH = 500
_COLUMNS = [*COLUMNS, *GROUPS, "span", "received_at"]


def import_reports(
    ledger: Ledger,
    path: Path,
    lexicon: Lexicon,
    *,
    text: str = "",
    id_column: str = "",
    seal: TextSeal | None = None,
) -> dict[str, int]:
    """Label reports and store what they say.

    Args:
        ledger: The ledger.
        path: See :func:`monai_cxr.labels.report_sources.read_reports`; ids are Accession Numbers.
        lexicon: Words of their language.
        text: Column of a table that holds the report; found by its name when empty.
        id_column: Column of the Accession Number; likewise.
        seal: What closes their text; None keeps no text.

    Returns:
        How many were stored, known already, and refused because they are of another patient.
    """
    total: Counter[str] = Counter()
    batch = []
    for report in read_reports(path, text=text, id_column=id_column):
        batch.append((report, *read_report(report, lexicon)))
        if len(batch) == _BATCH:
            total.update(signed_reports.add(ledger, batch, source="reports", seal=seal))
            batch = []
    total.update(signed_reports.add(ledger, batch, source="reports", seal=seal))
    return dict(total)


def side_by_side(
    ledger: Ledger,
    *,
    since: float = -math.inf,
    until: float = math.inf,
    newest: int | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """What the model and the report say of each study and finding.

    Args:
        ledger: The ledger.
        since: Only studies whose film and report were both there from then on, in seconds since
            1970, found by indexes: each study belongs to one period. The default walks through
            all reports.
        until: As it was then, in seconds since 1970.
        newest: Only so many reports that came last.

    Returns:
        A table of :data:`~monai_cxr.monitoring.concordance.COLUMNS`, :data:`GROUPS`, the words that
        decided and ``received_at``; and the number of reports by how they fit, of those that came,
        or whose film came, in the period. A study's probability is the highest of its films with
        the newest model's result.
    """
    fits: Counter[str] = Counter()
    tables = [pd.DataFrame(columns=_COLUMNS)]
    for table in _pages(ledger, fits, since=since, until=until, newest=newest):
        tables.append(table)
    return pd.concat(tables[1:] or tables, ignore_index=True), dict(fits)


def queue(
    ledger: Ledger,
    *,
    limit: int = 50,
    newest: int | None = None,
    since: float = -math.inf,
    until: float = math.inf,
) -> pd.DataFrame:
    """Studies to look at again, best first; see :func:`side_by_side`.

    However many reports there are, no more than a page of them and the best so far are kept.
    """
    counts = second_looks.counts(ledger)
    best = pd.DataFrame(columns=_COLUMNS)
    for table in _pages(ledger, Counter(), since=since, until=until, newest=newest):
        looked = pd.DataFrame(second_looks.of_studies(ledger, list(table["study_uid"].unique())))
        ranked = second_look_queue(table, looked, limit=limit, counts=counts)
        both = pd.concat([best, ranked], ignore_index=True) if len(best) else ranked
        best = second_look_queue(both, pd.DataFrame(), limit=limit, counts=counts)
    return best


def _pages(
    ledger: Ledger, fits: Counter[str], *, since: float, until: float, newest: int | None
) -> Iterator[pd.DataFrame]:
    """Tables of some hundred studies each; counts how reports fit."""
    for page in signed_reports.match_pages(ledger, since=since, until=until, newest=newest):
        fits.update(match.fit for match in page)
        matched = [match for match in page if match.fit == signed_reports.MATCHED]
        with ledger.read() as connection:
            rows = [row for row in _rows(connection, matched, until) if row.pop("both_at") >= since]
        if rows:
            yield pd.DataFrame(rows, columns=_COLUMNS)


def _rows(
    connection: Connection, matched: list[signed_reports.Match], until: float
) -> Iterator[dict[str, Any]]:
    """What the newest results of the studies' films say beside their reports."""
    names = [match.study_uid for match in matched]
    query = (
        select(results, films.c.received_at)
        .join(films, films.c.sop_uid == results.c.sop_uid)
        .where(films.c.study_uid.in_(names), results.c.predicted_at < until)
        .order_by(results.c.id)
    )
    newest: dict[str, dict[str, Any]] = {}
    for row in connection.execute(query):
        newest.setdefault(row.study_uid, {})[row.sop_uid] = row
    for match in matched:
        yield from _of_study(match, newest.get(match.study_uid, {}))


def _of_study(match: signed_reports.Match, newest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    seen: dict[str, dict[str, Any]] = {}
    for row in newest.values():
        scores = zip(row.findings, row.probabilities, row.positive, strict=True)
        for finding, probability, positive in scores:
            if probability is None or positive is None:
                continue
            known = seen.setdefault(
                finding,
                {
                    "study_uid": match.study_uid,
                    "patient_id": match.patient_id,
                    "finding": finding,
                    "flagged": False,
                    "probability": 0.0,
                    "state": match.report.states.get(finding),
                    "month": sys.intern(day_of(row.received_at).isoformat()[:7]),
                    "manufacturer": row.manufacturer,
                    "view": row.view,
                    "span": match.report.spans.get(finding, ""),
                    "received_at": row.received_at,
                    "both_at": max(row.received_at, match.first_arrived_at),
                },
            )
            known["flagged"] = known["flagged"] or bool(positive)
            known["probability"] = max(known["probability"], float(probability))
    yield from seen.values()
