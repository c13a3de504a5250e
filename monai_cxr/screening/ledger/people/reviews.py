"""Reviews: what readers said of a finding and its location; append-only, the newest counts.

The fields are those that IHE's AI Result Assessment for Imaging asks for: accepted, rejected or
corrected, by whom, of which model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, func, select

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import audit, studies
from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.schema import reviews, values_of

_AUDITED = ("finding", "label_agrees", "location_agrees", "corrected_label", "model_digest")
_YES_OR_NO = ("label_agrees", "location_agrees", "uncertain", "finished", "score_seen")


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One reader's word on one finding of one film.

    Attributes:
        sop_uid: The film.
        study_uid: Its study.
        finding: Name of the finding; ``""`` for the film as a whole.
        reader: Who.
        model_digest: Digest of the result that was reviewed.
        label_agrees: Whether present or absent is right; None when not judged.
        location_agrees: Whether the heat map is at the right place; None when not judged.
        corrected_label: 1 present, 0 absent, None when not corrected.
        note: Free text.
        seconds_to_read: From opening the film to this word, or None.
        reviewed_at: POSIX seconds; 0 for the ledger's own clock.
        uncertain: Whether the reader cannot tell; None where a label says more.
        finished: Whether the reader closed the study.
        score_seen: Whether the model's score was on the screen before this word; None: not known.
        probability: What the model said, [0, 1], or None.
        seen: What the study held when it was closed: ``"films"`` and ``"flagged"``.
        marks: Measurements by their name.
    """

    sop_uid: str
    study_uid: str = field(repr=False)
    finding: str
    reader: str = field(repr=False)
    model_digest: str
    label_agrees: bool | None = None
    location_agrees: bool | None = None
    corrected_label: int | None = None
    note: str = field(default="", repr=False)
    seconds_to_read: float | None = None
    reviewed_at: float = 0.0
    uncertain: bool | None = None
    finished: bool | None = None
    score_seen: bool | None = None
    probability: float | None = None
    seen: Mapping[str, Any] = field(default_factory=dict, repr=False)
    marks: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse an impossible label and a nameless reader."""
        if self.corrected_label not in (None, 0, 1):
            raise SettingsError(f"Expected a label of 0 or 1, but got {self.corrected_label!r}.")
        if not self.reader:
            raise SettingsError("Expected the name of the reader, but got an empty one.")


def add(ledger: Ledger, items: ReviewRow | Sequence[ReviewRow]) -> None:
    """Append reviews, their study's count and an audit entry each, in one transaction."""
    items = [items] if isinstance(items, ReviewRow) else list(items)
    now = ledger.clock()
    with ledger.write() as connection:
        for item in items:
            connection.execute(reviews.insert().values(**_row(item, now)))
        for study_uid in sorted({item.study_uid for item in items}):
            studies.refresh_reviews(connection, study_uid)
        for item in items:
            detail = values_of(item, _AUDITED)
            audit.record(connection, item.reader, "reviewed", item.sop_uid, detail, now=now)


def of_study(ledger: Ledger, study_uid: str) -> list[ReviewRow]:
    """Reviews of a study's films, oldest first."""
    return _select(ledger, reviews.c.study_uid == study_uid)


def since(ledger: Ledger, start: float = 0.0) -> list[ReviewRow]:
    """Reviews from a time on, oldest first; for agreement over time."""
    return _select(ledger, reviews.c.reviewed_at >= start)


def between(ledger: Ledger, after: int, last: int) -> list[ReviewRow]:
    """Reviews of row numbers above one and up to another, oldest first."""
    return _select(ledger, and_(reviews.c.id > after, reviews.c.id <= last))


def extent(ledger: Ledger) -> tuple[int, int]:
    """The last row number, and how many rows there are."""
    with ledger.read() as connection:
        row = connection.execute(select(func.max(reviews.c.id), func.count())).one()
    return int(row[0] or 0), int(row[1])


def _select(ledger: Ledger, condition: Any) -> list[ReviewRow]:
    query = select(reviews).where(condition).order_by(reviews.c.id)
    with ledger.read() as connection:
        return [_review(row) for row in connection.execute(query)]


def _row(item: ReviewRow, now: float) -> dict[str, object]:
    values = values_of(item, item.__dataclass_fields__)
    for name in _YES_OR_NO:
        values[name] = None if values[name] is None else int(values[name])
    for name in ("seen", "marks"):
        values[name] = json.dumps(dict(values[name])) if values[name] else ""
    return values | {"reviewed_at": item.reviewed_at or now}


def _review(row: Any) -> ReviewRow:
    values = row._asdict()
    values.pop("id")
    for name in _YES_OR_NO:
        values[name] = None if values[name] is None else bool(values[name])
    for name in ("seen", "marks"):
        values[name] = json.loads(values[name]) if values[name] else {}
    return ReviewRow(**values)
