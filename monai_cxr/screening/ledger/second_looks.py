"""Second looks: what came of looking again at a film whose report does not say what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring.concordance import OUTCOMES
from monai_cxr.screening.ledger import audit
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.schema import second_looks


def add(
    ledger: Ledger, study_uid: str, finding: str, outcome: str, *, actor: str, note: str = ""
) -> None:
    """Record the outcome of a look; one a study and finding.

    Raises:
        SettingsError: If the outcome is unknown, nobody is named, or it was recorded before.
    """
    if outcome not in OUTCOMES:
        raise SettingsError(f"Expected an outcome of {', '.join(OUTCOMES)}, but got '{outcome}'.")
    if not actor.strip():
        raise SettingsError("Expected the name of the reader, but got an empty one.")
    now = ledger.clock()
    row: dict[str, Any] = {"study_uid": study_uid, "finding": finding, "outcome": outcome}
    row |= {"note": note, "actor": actor.strip(), "looked_at": now}
    with ledger.write() as connection:
        if not insert_new(connection, second_looks, [row], ["study_uid", "finding"]):
            raise SettingsError("The outcome of this look was recorded before, and stays.")
        detail = {"finding": finding, "outcome": outcome}
        audit.record(connection, actor.strip(), "second look", study_uid, detail, now=now)


def all_of(ledger: Ledger) -> list[Mapping[str, Any]]:
    """Every look, oldest first: study_uid, finding, outcome, actor, note, looked_at."""
    with ledger.read() as connection:
        rows = connection.execute(select(second_looks).order_by(second_looks.c.id))
        return [row._asdict() for row in rows]
