"""Second looks: what came of looking again at a film whose report does not say what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring.concordance import OUTCOMES
from monai_cxr.screening.ledger import audit
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.schema import second_looks

_PAGE = 500


def add(
    ledger: Ledger, study_uid: str, finding: str, outcome: str, *, actor: str, note: str = ""
) -> None:
    """Record the outcome of a look; one per study and finding.

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


def between(ledger: Ledger, since: float, until: float) -> list[Mapping[str, Any]]:
    """The looks of a period in seconds since 1970, without ``until``; see :func:`all_of`."""
    at = second_looks.c.looked_at
    query = select(second_looks).where(at >= since, at < until).order_by(second_looks.c.id)
    with ledger.read() as connection:
        return [row._asdict() for row in connection.execute(query)]


def of_studies(ledger: Ledger, studies: Sequence[str]) -> list[Mapping[str, Any]]:
    """The looks at these studies, by lookups: study_uid and finding."""
    columns = (second_looks.c.study_uid, second_looks.c.finding)
    found: list[Mapping[str, Any]] = []
    with ledger.read() as connection:
        for start in range(0, len(studies), _PAGE):
            page = second_looks.c.study_uid.in_(studies[start : start + _PAGE])
            found += [row._asdict() for row in connection.execute(select(*columns).where(page))]
    return found


def counts(ledger: Ledger) -> dict[tuple[str, str], int]:
    """How many looks there were, by finding and outcome."""
    columns = (second_looks.c.finding, second_looks.c.outcome)
    with ledger.read() as connection:
        rows = connection.execute(select(*columns, func.count()).group_by(*columns))
        return {(str(finding), str(outcome)): int(n) for finding, outcome, n in rows}
