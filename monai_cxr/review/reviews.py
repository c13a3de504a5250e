"""Reviews: what readers say of a model's findings, kept so that nothing is lost, and exported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import pandas as pd

from monai_cxr.errors import InputError
from monai_cxr.findings import FINDINGS

OPINIONS = ("", "agree", "disagree")
LABELS = ("", "absent", "uncertain", "present")
_COLUMNS = (
    *("sop_uid", "study_uid", "reader", "model_digest", "finding", "probability", "opinion"),
    *("location", "label", "label_text", "note", "seconds", "finished", "at"),
)
LONGEST_NOTE = 4000
LONGEST_READING_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class FindingReview:
    """What a reader says of one finding.

    Attributes:
        opinion: ``"agree"``, ``"disagree"`` or ``""`` with the model's statement.
        location: Likewise, with the place that the heatmap points to.
        label: What is there: ``"present"``, ``"absent"``, ``"uncertain"`` or ``""``.
        probability: What the model said, in [0, 1]; None without a prediction.
    """

    opinion: str = ""
    location: str = ""
    label: str = ""
    probability: float | None = None


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
        return cls(**{**value, "findings": findings})


@dataclass(frozen=True, slots=True)
class Access:
    """One line of the audit: who did what with which study.

    Attributes:
        at: POSIX seconds.
        user: Login name or address.
        role: Their role then.
        action: ``"opened"``, ``"finished"``, ``"exported"``, ``"uploaded"``, ``"denied"`` ...
        study_uid: Which study, or ``""``.
    """

    at: float
    user: str
    role: str
    action: str
    study_uid: str = ""

    def __repr__(self) -> str:
        """What was done: no user, no study."""
        return f"Access(action={self.action!r})"


class ReviewStore(Protocol):
    """Where reviews and the audit are kept: a local file, or the screening ledger."""

    def save(self, review: Review) -> None:
        """Keep a review; the last one of a study, reader and model counts.

        Raises:
            DeliveryError: If the store is locked or gone; nothing was kept, try again.
        """
        ...

    def reviews(self) -> Sequence[Review]:
        """The last review of each study, reader and model, oldest first."""
        ...

    def of_study(self, study_uid: str) -> Sequence[Review]:
        """The same, of one study."""
        ...

    def record(self, access: Access) -> None:
        """Add a line to the audit."""
        ...

    def accesses(self, limit: int) -> Sequence[Access]:
        """The last lines of the audit, the newest first."""
        ...


def parse_findings(
    value: Any, probabilities: Mapping[str, float | None]
) -> dict[str, FindingReview]:
    """Read the finding part of a review that a browser sent.

    Args:
        value: By finding ``{"opinion", "location", "label"}``.
        probabilities: What the model said, by finding: also the findings that may be reviewed.

    Raises:
        InputError: If it is not of this shape.
    """
    if not isinstance(value, dict):
        raise InputError("Expected an object of findings.", reason="invalid_review")
    result: dict[str, FindingReview] = {}
    for name, item in value.items():
        if name not in FINDINGS and name not in probabilities:
            raise InputError(f"Unknown finding '{str(name)[:40]}'.", reason="invalid_review")
        if not isinstance(item, dict):
            raise InputError("Expected an object for a finding.", reason="invalid_review")
        opinion, location, label = (item.get(k, "") for k in ("opinion", "location", "label"))
        if opinion not in OPINIONS or location not in OPINIONS or label not in LABELS:
            raise InputError(
                f"Expected an opinion of {OPINIONS} and a label of {LABELS}.",
                reason="invalid_review",
            )
        if opinion or location or label:
            result[name] = FindingReview(opinion, location, label, probabilities.get(name))
    return result


def parse_note(value: Any) -> str:
    """A note that a browser sent: text of at most 4,000 characters, control characters left out."""
    if not isinstance(value, str):
        raise InputError("Expected a note as text.", reason="invalid_review")
    text = "".join(c for c in value if c.isprintable() or c in "\n\t")
    return text[:LONGEST_NOTE]


def parse_seconds(value: Any) -> float:
    """A reading time that a browser sent, in [0, one day]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError("Expected seconds as a number.", reason="invalid_review")
    return float(min(max(value, 0.0), LONGEST_READING_SECONDS))


def reviews_table(reviews: Sequence[Review]) -> pd.DataFrame:
    """One row a review and finding, for label audit and local recalibration.

    Returns:
        Columns sop_uid, study_uid, reader, model_digest, finding, probability, opinion, location,
        label (0, 1 or missing), label_text, note, seconds, finished, at (UTC).
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
        }
        for review in reviews
        for name, item in (review.findings or {"": FindingReview()}).items()
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def reviews_csv(reviews: Sequence[Review]) -> bytes:
    """The table as CSV; cells that a spreadsheet would run as a formula are made text."""
    table = reviews_table(reviews)
    for column in ("reader", "note", "sop_uid", "study_uid"):
        table[column] = [f"'{v}" if str(v)[:1] in "=+-@\t" and v else v for v in table[column]]
    return table.to_csv(index=False).encode("utf-8")
