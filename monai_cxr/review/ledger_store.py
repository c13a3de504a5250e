"""Ledger store: reviews and the audit of a screening ledger.

The ledger keeps one row a film and finding, and only adds rows. A whole review becomes the rows
that say something new; the film as a whole (finding ``""``) carries note and time, and its
``label_agrees`` is known once the reader has closed the study.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import func, select

from monai_cxr.review.ledger_cases import answering
from monai_cxr.review.reviews import Access, FindingReview, Review
from monai_cxr.screening.ledger import Ledger, audit, reviews
from monai_cxr.screening.ledger.reviews import Review as Row
from monai_cxr.screening.ledger.schema import reviews as review_table

_OPINION = {True: "agree", False: "disagree", None: ""}
_AGREES = {"agree": True, "disagree": False, "": None}
_LABEL = {1: "present", 0: "absent", None: ""}
_CORRECTED = {"present": 1, "absent": 0}
_UNCERTAIN = "uncertain"

_Key = tuple[str, str, str]


class LedgerStore:
    """Answers :class:`monai_cxr.review.reviews.ReviewStore`.

    Args:
        ledger: An open ledger.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._last = -1
        self._kept: list[Review] = []

    def save(self, review: Review) -> None:
        """Add what the review says beyond what the ledger knows of it."""
        with answering():
            before = {
                (known.study_uid, known.reader, known.model_digest): known
                for known in self.of_study(review.study_uid)
            }.get((review.study_uid, review.reader, review.model_digest))
            rows = _new_rows(review, before)
            if rows:
                reviews.add(self._ledger, rows)

    def reviews(self) -> Sequence[Review]:
        """The last review of each study, reader and model, oldest first."""
        with self._lock, answering():
            with self._ledger.read() as connection:
                last = connection.execute(select(func.max(review_table.c.id))).scalar() or 0
            if last != self._last:
                self._kept = _joined(reviews.since(self._ledger))
                self._last = int(last)
            return list(self._kept)

    def of_study(self, study_uid: str) -> Sequence[Review]:
        """The same, of one study."""
        with answering():
            return _joined(reviews.of_study(self._ledger, study_uid))

    def record(self, access: Access) -> None:
        """Add an entry to the ledger's audit trail."""
        with answering():
            detail = {"role": access.role}
            audit.append(self._ledger, access.user, access.action, access.study_uid, detail)

    def accesses(self, limit: int) -> Sequence[Access]:
        """The last entries of the audit trail, the newest first."""
        with answering():
            entries = audit.entries(self._ledger, limit=limit)
        return [
            Access(e.at, e.actor, str(e.detail.get("role", "")), e.action, e.subject)
            for e in entries
        ]


def _new_rows(review: Review, before: Review | None) -> list[Row]:
    said = before.findings if before else {}
    names = [*review.findings, *(name for name in said if name not in review.findings)]
    empty = FindingReview()
    rows = []
    for name in names:
        now, then = review.findings.get(name, empty), said.get(name, empty)
        if replace(now, probability=None) != replace(then, probability=None):
            rows.append(_row(review, name, now))
    changed = before is None or (review.note, review.finished) != (before.note, before.finished)
    if changed or rows:
        disagrees = any(item.opinion == "disagree" for item in review.findings.values())
        rows.append(
            Row(
                review.sop_uid,
                review.study_uid,
                "",
                review.reader,
                review.model_digest,
                label_agrees=(not disagrees) if review.finished else None,
                note=review.note,
                seconds_to_read=review.seconds,
            )
        )
    return rows


def _row(review: Review, name: str, item: FindingReview) -> Row:
    return Row(
        review.sop_uid,
        review.study_uid,
        name,
        review.reader,
        review.model_digest,
        label_agrees=_AGREES[item.opinion],
        location_agrees=_AGREES[item.location],
        corrected_label=_CORRECTED.get(item.label),
        note=_UNCERTAIN if item.label == _UNCERTAIN else "",
        seconds_to_read=review.seconds,
    )


def _joined(rows: Sequence[Row]) -> list[Review]:
    """Rows of the ledger, oldest first, as the last review of each study, reader and model."""
    made: dict[_Key, Review] = {}
    for row in rows:
        key = (row.study_uid, row.reader, row.model_digest)
        review = made.pop(key, None) or Review(
            row.study_uid, row.sop_uid, row.reader, row.model_digest
        )
        if row.finding:
            label = _UNCERTAIN if row.note == _UNCERTAIN else _LABEL[row.corrected_label]
            item = FindingReview(_OPINION[row.label_agrees], _OPINION[row.location_agrees], label)
            findings = {**review.findings, row.finding: item}
            if item == FindingReview():
                del findings[row.finding]
            review = replace(review, findings=findings)
        else:
            review = replace(review, note=row.note, finished=row.label_agrees is not None)
        seconds = row.seconds_to_read if row.seconds_to_read is not None else review.seconds
        made[key] = replace(review, seconds=seconds, at=row.reviewed_at)
    return list(made.values())
