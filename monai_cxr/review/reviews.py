"""Reviews: what readers say of a model's findings, kept so that nothing is lost, and exported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pandas as pd

from monai_cxr.tables import without_formula

_COLUMNS = (
    *("sop_uid", "study_uid", "reader", "model_digest", "finding", "probability", "opinion"),
    *("location", "label", "label_text", "note", "seconds", "finished", "at"),
    *("uncertain", "score_seen"),
)
LONGEST_NOTE = 4000


@dataclass(frozen=True, slots=True)
class FindingReview:
    """What a reader says of one finding.

    Attributes:
        opinion: ``"agree"``, ``"disagree"`` or ``""`` with the model's statement.
        location: The same about the place that the heatmap points to.
        label: What is there: ``"present"``, ``"absent"``, ``"uncertain"`` or ``""``.
        probability: What the model said, in [0, 1]; None without a prediction.
    """

    opinion: str = ""
    location: str = ""
    label: str = ""
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """One measurement on a film.

    Attributes:
        sop_uid: SOP Instance UID of the film.
        kind: ``"length"``, ``"ratio"`` (cardiothoracic) or ``"angle"``.
        points: (column, row) in pixels of the film: two per line.
        text: What was measured, with its unit, such as ``"32.1 mm"``.
    """

    sop_uid: str
    kind: str
    points: tuple[tuple[float, float], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Review:
    """One reader's review of one study.

    Attributes:
        study_uid: Study Instance UID, or the image's name where there is none.
        sop_uid: SOP Instance UID of the image that was shown.
        reader: Who; a login name or address.
        model_digest: Of the model whose statement was judged, or ``""``.
        findings: By name.
        note: Free text.
        seconds: For how long the study was looked at.
        finished: Whether the reader closed the study.
        at: POSIX seconds of the last change.
        marks: Measurements, by a name that the browser chose.
        films: SOP Instance UIDs of the films that the study had when it was closed; ``()`` where
            that is not known.
        flagged: Findings that were flagged then.
        score_seen: Whether the model's scores were on the screen before the reader's last word;
            None where that is not known.
    """

    study_uid: str
    sop_uid: str
    reader: str
    model_digest: str
    findings: Mapping[str, FindingReview] = field(default_factory=dict)
    note: str = ""
    seconds: float = 0.0
    finished: bool = False
    at: float = 0.0
    marks: Mapping[str, Mark] = field(default_factory=dict)
    films: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    score_seen: bool | None = None

    def __repr__(self) -> str:
        """The image alone: no reader, no note."""
        return f"Review(sop_uid={self.sop_uid!r}, finished={self.finished})"

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Review:
        """The inverse of :meth:`to_json`."""
        findings = {name: FindingReview(**item) for name, item in value["findings"].items()}
        marks = {name: mark_from_json(item) for name, item in value.get("marks", {}).items()}
        seen = {name: tuple(value.get(name, ())) for name in ("films", "flagged")}
        return cls(**{**value, "findings": findings, "marks": marks, **seen})


def mark_from_json(value: Mapping[str, Any]) -> Mark:
    """A mark from its JSON value."""
    points = tuple((float(x), float(y)) for x, y in value["points"])
    return Mark(value["sop_uid"], value["kind"], points, value["text"])


@dataclass(frozen=True, slots=True)
class Change:
    """The new entries of one tab of a reader; they change nothing else.

    Attributes:
        study_uid: See :class:`Review`.
        sop_uid: Of the film on the screen.
        reader: Who.
        model_digest: Of the model whose statement is judged, or ``""``.
        findings: What changed; an empty one takes an opinion back.
        marks: What changed, by name; None takes a mark away.
        note: The whole note, or None for no change.
        note_before: The note as this tab knew it; None: not known.
        finished: True closes the study, False opens it again, None says nothing of it.
        films: See :class:`Review`.
        flagged: See :class:`Review`.
        seconds: For how long the study was looked at; 0 says nothing of it.
        score_seen: See :class:`Review`.
        at: POSIX seconds.
    """

    study_uid: str
    sop_uid: str
    reader: str
    model_digest: str
    findings: Mapping[str, FindingReview] = field(default_factory=dict)
    marks: Mapping[str, Mark | None] = field(default_factory=dict)
    note: str | None = None
    note_before: str | None = None
    finished: bool | None = None
    films: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    seconds: float = 0.0
    score_seen: bool | None = None
    at: float = 0.0

    def __repr__(self) -> str:
        """The image alone: no reader, no note."""
        return f"Change(sop_uid={self.sop_uid!r})"


def last_review(reviews: Sequence[Review], reader: str, model_digest: str) -> Review | None:
    """What a reader's next word on a study builds on.

    Args:
        reviews: Of the study, oldest first.
        reader: Who.
        model_digest: Of the model that speaks now.

    Returns:
        Their review of this model; else note and marks alone of their last review, because an
        opinion on another model's statement is none on this one's.
    """
    mine = [review for review in reviews if review.reader == reader]
    same = [review for review in mine if review.model_digest == model_digest]
    if same:
        return same[-1]
    if not mine:
        return None
    kept = replace(mine[-1], findings={}, finished=False, films=(), flagged=(), score_seen=None)
    return replace(kept, model_digest=model_digest)


def merged(before: Review | None, change: Change) -> Review:
    """A review after a change: two tabs of one reader add up, and neither wipes the other's word.

    Args:
        before: The reader's review, or None for the first word.
        change: What is said now.

    Returns:
        The review. A note that another tab changed meanwhile is kept beside the new one.
    """
    known = before or Review(
        change.study_uid, change.sop_uid, change.reader, change.model_digest, at=change.at
    )
    findings = {**known.findings, **change.findings}
    marks = {**known.marks, **change.marks}
    closed = change.finished is True
    return replace(
        known,
        sop_uid=change.sop_uid,
        findings={name: item for name, item in findings.items() if says_something(item)},
        marks={name: mark for name, mark in marks.items() if mark is not None},
        note=_one_note(known.note, change),
        finished=known.finished if change.finished is None else change.finished,
        films=change.films if closed else known.films,
        flagged=change.flagged if closed else known.flagged,
        seconds=max(known.seconds, change.seconds),
        score_seen=change.score_seen if change.score_seen is not None else known.score_seen,
        at=change.at,
    )


def says_something(item: FindingReview) -> bool:
    """Whether a finding's review is more than an empty one."""
    return bool(item.opinion or item.location or item.label)


def _one_note(kept: str, change: Change) -> str:
    if change.note is None or change.note == kept:
        return kept
    if change.note_before is None or kept in ("", change.note_before):
        return change.note
    if change.note in kept.split("\n\n"):
        return kept
    return f"{kept}\n\n{change.note}"[:LONGEST_NOTE]


def reviews_table(reviews: Sequence[Review]) -> pd.DataFrame:
    """One row a review and finding, for label audit and local recalibration.

    Returns:
        Columns sop_uid, study_uid, reader, model_digest, finding, probability, opinion, location,
        label (0, 1 or missing), label_text, note, seconds, finished, at (UTC), uncertain (whether
        the reader cannot tell) and score_seen (whether the model's scores were on the screen
        before the reader's word; missing where that is not known).
    """
    as_number = {"present": 1.0, "absent": 0.0}
    rows = [
        {
            "sop_uid": review.sop_uid,
            "study_uid": review.study_uid,
            "reader": review.reader,
            "model_digest": review.model_digest,
            "finding": name,
            "probability": math.nan if item.probability is None else item.probability,
            "opinion": item.opinion,
            "location": item.location,
            "label": as_number.get(item.label, math.nan),
            "label_text": item.label,
            "note": review.note,
            "seconds": review.seconds,
            "finished": review.finished,
            "at": pd.Timestamp(review.at, unit="s", tz="UTC"),
            "uncertain": item.label == "uncertain",
            "score_seen": review.score_seen,
        }
        for review in reviews
        for name, item in (review.findings or {"": FindingReview()}).items()
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def reviews_csv(reviews: Sequence[Review]) -> bytes:
    """The table as CSV; cells that a spreadsheet would run as a formula are made text."""
    table = reviews_table(reviews)
    for column in ("reader", "note", "sop_uid", "study_uid"):
        table[column] = [without_formula(str(value)) for value in table[column]]
    return table.to_csv(index=False).encode("utf-8")
