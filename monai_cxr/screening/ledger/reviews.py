"""Reviews: what readers said of a finding and its location; append-only, the newest counts.

The fields are those that IHE's AI Result Assessment for Imaging asks for: accepted, rejected or
corrected, by whom, of which model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import audit, studies
from monai_cxr.screening.ledger.database import Ledger
from monai_cxr.screening.ledger.schema import reviews


@dataclass(frozen=True, slots=True)
class Review:
    """One reader's word on one finding of one film.

    Attributes:
        sop_uid: The film.
        study_uid: Its study.
        finding: Name of the finding; ``""`` for the film as a whole.
        reader: Who.
        model_digest: Of the result that was reviewed.
        label_agrees: Whether present or absent is right; None when not judged.
        location_agrees: Whether the heat map is at the right place; None when not judged.
        corrected_label: 1 present, 0 absent, None when not corrected.
        note: Free text.
        seconds_to_read: From opening the film to this word, or None.
        reviewed_at: Set by the ledger.
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

    def __post_init__(self) -> None:
        """Refuse an impossible label and a nameless reader."""
        if self.corrected_label not in (None, 0, 1):
            raise SettingsError(f"Expected a label of 0 or 1, but got {self.corrected_label!r}.")
        if not self.reader:
            raise SettingsError("Expected the name of the reader, but got an empty one.")


def add(ledger: Ledger, items: Review | Sequence[Review]) -> None:
    """Append reviews, their study's count and an audit entry each, in one transaction."""
    items = [items] if isinstance(items, Review) else list(items)
    now = ledger.clock()
    with ledger.write() as connection:
        for item in items:
            connection.execute(reviews.insert().values(**_row(item, now)))
        for study_uid in sorted({item.study_uid for item in items}):
            studies.refresh_reviews(connection, study_uid)
        for item in items:
            detail = {
                "finding": item.finding,
                "label_agrees": item.label_agrees,
                "location_agrees": item.location_agrees,
                "corrected_label": item.corrected_label,
                "model_digest": item.model_digest,
            }
            audit.record(connection, item.reader, "reviewed", item.sop_uid, detail, now=now)


def of_study(ledger: Ledger, study_uid: str) -> list[Review]:
    """Reviews of a study's films, oldest first."""
    return _select(ledger, reviews.c.study_uid == study_uid)


def of_film(ledger: Ledger, sop_uid: str) -> list[Review]:
    """Reviews of a film, oldest first."""
    return _select(ledger, reviews.c.sop_uid == sop_uid)


def since(ledger: Ledger, start: float = 0.0) -> list[Review]:
    """Reviews from a time on, oldest first; for agreement over time."""
    return _select(ledger, reviews.c.reviewed_at >= start)


def _select(ledger: Ledger, condition: Any) -> list[Review]:
    query = select(reviews).where(condition).order_by(reviews.c.id)
    with ledger.read() as connection:
        return [_review(row) for row in connection.execute(query)]


def _row(item: Review, now: float) -> dict[str, object]:
    return {
        "sop_uid": item.sop_uid,
        "study_uid": item.study_uid,
        "finding": item.finding,
        "reader": item.reader,
        "model_digest": item.model_digest,
        "label_agrees": _integer(item.label_agrees),
        "location_agrees": _integer(item.location_agrees),
        "corrected_label": item.corrected_label,
        "note": item.note,
        "seconds_to_read": item.seconds_to_read,
        "reviewed_at": now,
    }


def _review(row: Any) -> Review:
    values = row._asdict()
    values.pop("id")
    for name in ("label_agrees", "location_agrees"):
        values[name] = None if values[name] is None else bool(values[name])
    return Review(**values)


def _integer(value: bool | None) -> int | None:
    return None if value is None else int(value)
