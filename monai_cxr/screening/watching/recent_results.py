"""Recent results: the first and the newest results of a ledger as predictions tables."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
from sqlalchemy import select

from monai_cxr.monitoring.dated_predictions import DAY
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.schema import films, results
from monai_cxr.screening.ledger.watching.chart_sums import day_of
from monai_cxr.tables import logit_column, probability_column, quality_column

MOST_RESULTS = 20_000
"""Results that are looked at on each side, whatever the size of the ledger."""


def first_and_newest(
    ledger: Ledger, *, since: date | None = None, limit: int = MOST_RESULTS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read results by their numbers: no walk through a ledger of any size.

    Args:
        ledger: The ledger.
        since: The newest ones from this day on, in UTC; None for all of them.
        limit: Results on each side at most; where there are fewer, the older half is the first.

    Returns:
        (first, newest) with columns of a predictions table, ``positive_<finding>`` and ``day``.
    """
    query = select(results, films.c.patient_id).join(films, films.c.sop_uid == results.c.sop_uid)
    with ledger.read() as connection:
        newest = connection.execute(query.order_by(results.c.id.desc()).limit(limit)).all()
        first = connection.execute(query.order_by(results.c.id).limit(limit)).all()
    middle = (first[-1].id + newest[-1].id) // 2 if first else 0
    if len(first) < limit and first:
        middle = first[len(first) // 2].id
    then = _table([row for row in first if row.id < middle or len(first) == limit])
    now = _table([row for row in reversed(newest) if row.id >= middle])
    if since is not None and len(now):
        now = now[now[DAY] >= since]
    return then, now


def _table(rows: list[Any]) -> pd.DataFrame:
    return pd.DataFrame([_row(row) for row in rows])


def _row(row: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "patient_id": row.patient_id,
        "study_uid": row.study_uid,
        "sop_uid": row.sop_uid,
        "view": row.view,
        "manufacturer": row.manufacturer,
        DAY: day_of(row.predicted_at),
    }
    scores = zip(row.findings, row.logits, row.probabilities, row.positive, strict=True)
    for name, logit, probability, positive in scores:
        values[logit_column(name)] = logit
        values[probability_column(name)] = probability
        values[f"positive_{name}"] = positive
    return values | {quality_column(name): value for name, value in row.quality.items()}
