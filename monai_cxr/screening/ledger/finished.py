"""Finished: what a film leaves behind in the transaction that ends its job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, update

from monai_cxr.screening.ledger.database import insert_new
from monai_cxr.screening.ledger.outbox import scheduled
from monai_cxr.screening.ledger.records import Outcome, result_row
from monai_cxr.screening.ledger.schema import COMPLETED, UNLEASED, films, results
from monai_cxr.screening.ledger.watching import chart_sums


def store(
    connection: Connection,
    row: Any,
    outcome: Outcome,
    deliveries: Sequence[tuple[str, str]],
    *,
    now: float,
) -> None:
    """Store a film's result, schedule what follows from it, and end its job.

    Args:
        connection: A transaction that writes.
        row: The film's row, locked.
        outcome: Outcome of a film, with its prediction and facts.
        deliveries: (kind, destination) of what is to be delivered.
        now: Seconds since 1970.
    """
    assert outcome.prediction is not None
    values = result_row(outcome, now=now)
    values |= {"sop_uid": row.sop_uid, "study_uid": row.study_uid}
    digest = outcome.prediction.model.digest
    chart_sums.of_result(connection, row, outcome, now=now)
    insert_new(connection, results, [values], ["sop_uid", "model_digest"])
    if outcome.deliverable:
        wanted = ((*delivery, digest) for delivery in deliveries)
        scheduled.schedule(
            connection, row.sop_uid, row.study_uid, wanted, available_at=now, created_at=now
        )
    connection.execute(
        update(films)
        .where(films.c.id == row.id)
        .values(state=COMPLETED, finished_at=now, model_digest=digest, reason="", **UNLEASED)
    )
