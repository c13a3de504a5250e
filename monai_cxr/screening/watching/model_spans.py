"""Model spans: which model read from when to when, by index lookups alone."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.schema import COMPLETED, films, results


@dataclass(frozen=True, slots=True)
class ModelSpan:
    """What a ledger knows of one model.

    Attributes:
        digest: Of the bundle.
        name: Its name.
        version: Its version.
        first_at: When the oldest film of it that is kept was finished, in seconds since 1970.
        last_at: The newest.
        n: Films of it that are kept.
    """

    digest: str
    name: str
    version: str
    first_at: float
    last_at: float
    n: int


def model_spans(ledger: Ledger) -> tuple[ModelSpan, ...]:
    """Models that read films of a ledger, oldest first.

    A film counts for the model that read it last. Films that were forgotten after their time
    (``keep_days``) count no more.
    """
    made = []
    with ledger.read() as connection:
        digest = _next_digest(connection, "")
        while digest:
            made.append(_span(connection, digest))
            digest = _next_digest(connection, digest)
    return tuple(sorted(made, key=lambda one: one.first_at))


def _next_digest(connection: Connection, after: str) -> str:
    query = select(func.min(films.c.model_digest)).where(
        films.c.state == COMPLETED, films.c.model_digest > after
    )
    return str(connection.execute(query).scalar() or "")


def _span(connection: Connection, digest: str) -> ModelSpan:
    of_model = (films.c.state == COMPLETED, films.c.model_digest == digest)
    first, last, n = connection.execute(
        select(func.min(films.c.id), func.max(films.c.id), func.count()).where(*of_model)
    ).one()
    ends = {
        row.id: row
        for row in connection.execute(
            select(films.c.id, films.c.sop_uid, films.c.finished_at).where(
                films.c.id.in_((first, last))
            )
        )
    }
    named = connection.execute(
        select(results.c.model_name, results.c.model_version).where(
            results.c.sop_uid == ends[first].sop_uid, results.c.model_digest == digest
        )
    ).one_or_none()
    name, version = (named.model_name, named.model_version) if named is not None else ("", "")
    times = sorted(row.finished_at or 0.0 for row in ends.values())
    return ModelSpan(digest, name, version, times[0], times[-1], int(n))
