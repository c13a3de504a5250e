"""Ledger store: reviews and the audit of a screening ledger.

The ledger keeps one row per film and finding, and only adds rows. A whole review becomes the rows
that say something new; the film as a whole (finding ``""``) carries note, measurements and whether
the study is closed, and its ``label_agrees`` is known once it is.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from monai_cxr.review.ledger_cases import answering
from monai_cxr.review.reviews import (
    Change,
    FindingReview,
    Review,
    last_review,
    mark_from_json,
    merged,
    says_something,
)
from monai_cxr.review.stores import Access, Asked
from monai_cxr.screening.ledger import Ledger, audit
from monai_cxr.screening.ledger.people import label_answers, reviews
from monai_cxr.screening.ledger.people.label_answers import LabelAnswer
from monai_cxr.screening.ledger.people.reviews import ReviewRow

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
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._extent = (0, 0)
        self._kept: list[Review] = []

    def save(self, review: Review) -> None:
        """Add what the review says beyond what the ledger knows of it."""
        with self._writing, answering():
            before = {_key(known): known for known in self.of_study(review.study_uid)}
            self._add(review, before.get(_key(review)))

    def merge(self, change: Change) -> Review:
        """Add a change to what the ledger knows, and return the review after it."""
        with self._writing, answering():
            known = self.of_study(change.study_uid)
            after = merged(last_review(known, change.reader, change.model_digest), change)
            before = {_key(review): review for review in known}
            self._add(after, before.get(_key(after)))
            return after

    def _add(self, review: Review, before: Review | None) -> None:
        rows = _new_rows(review, before)
        if rows:
            reviews.add(self._ledger, rows)

    def reviews(self) -> Sequence[Review]:
        """The last review of each study, reader and model, oldest first."""
        with self._reading, answering():
            last, n = reviews.extent(self._ledger)
            before, known = self._extent
            if (last, n) != self._extent:
                new = reviews.between(self._ledger, before, last)
                # A number below the last may come into sight later: then all are read again.
                if known + len(new) == n:
                    self._kept = joined(new, self._kept)
                else:
                    self._kept = joined(reviews.between(self._ledger, 0, last))
                self._extent = (last, n)
            return list(self._kept)

    def of_study(self, study_uid: str) -> Sequence[Review]:
        """The same, of one study."""
        with answering():
            return joined(reviews.of_study(self._ledger, study_uid))

    def words(self) -> Sequence[ReviewRow]:
        """Every word of every reader as it was said, oldest first."""
        with answering():
            return reviews.since(self._ledger)

    def record(self, access: Access) -> None:
        """Add an entry to the ledger's audit trail."""
        with answering():
            detail = {"role": access.role}
            audit.append(self._ledger, access.user, access.action, access.study_uid, detail)

    def accesses(self, limit: int, asked: Asked | None = None) -> Sequence[Access]:
        """The last entries of the audit trail, the newest first."""
        which = asked or Asked()
        with answering():
            entries = audit.entries(
                self._ledger,
                subject=which.study_uid or None,
                actor=which.user or None,
                since=which.since,
                until=which.until,
                only_people=which.only_people,
                offset=which.offset,
                limit=limit,
            )
        return [
            Access(e.at, e.actor, str(e.detail.get("role", "")), e.action, e.subject)
            for e in entries
        ]

    def answer(self, said: LabelAnswer) -> bool:
        """Keep a reader's answer of a label audit; False where another one came first."""
        with answering():
            return label_answers.add(self._ledger, said)

    def answers(self, audit: str) -> Sequence[LabelAnswer]:
        """Every answer of a label audit, oldest first."""
        with answering():
            return label_answers.of_audit(self._ledger, audit)


def _key(review: Review) -> _Key:
    return review.study_uid, review.reader, review.model_digest


def _new_rows(review: Review, before: Review | None) -> list[ReviewRow]:
    said = before.findings if before else {}
    names = [*review.findings, *(name for name in said if name not in review.findings)]
    empty = FindingReview()
    rows = []
    for name in names:
        now, then = review.findings.get(name, empty), said.get(name, empty)
        if replace(now, probability=None) != replace(then, probability=None):
            rows.append(_row(review, name, now))
    if before is None or _as_a_whole(review) != _as_a_whole(before):
        rows.append(_row_of_study(review))
    return rows


def _as_a_whole(review: Review) -> tuple[Any, ...]:
    closed = (review.finished, review.films, review.flagged)
    return review.note, *closed, dict(review.marks), _agrees(review), review.score_seen


def _agrees(review: Review) -> bool | None:
    if not review.finished:
        return None
    return all(item.opinion != "disagree" for item in review.findings.values())


def _row_of_study(review: Review) -> ReviewRow:
    seen = {"films": list(review.films), "flagged": list(review.flagged)}
    return ReviewRow(
        review.sop_uid,
        review.study_uid,
        "",
        review.reader,
        review.model_digest,
        label_agrees=_agrees(review),
        note=review.note,
        seconds_to_read=review.seconds,
        reviewed_at=review.at,
        finished=review.finished,
        score_seen=review.score_seen,
        seen=seen if any(seen.values()) else {},
        marks={name: asdict(mark) for name, mark in review.marks.items()},
    )


def _row(review: Review, name: str, item: FindingReview) -> ReviewRow:
    return ReviewRow(
        review.sop_uid,
        review.study_uid,
        name,
        review.reader,
        review.model_digest,
        label_agrees=_AGREES[item.opinion],
        location_agrees=_AGREES[item.location],
        corrected_label=_CORRECTED.get(item.label),
        seconds_to_read=review.seconds,
        reviewed_at=review.at,
        uncertain=True if item.label == _UNCERTAIN else None,
        score_seen=review.score_seen,
        probability=item.probability,
    )


def joined(rows: Sequence[ReviewRow], before: Sequence[Review] = ()) -> list[Review]:
    """Rows of the ledger, oldest first, as the last review of each study, reader and model.

    Args:
        rows: What was said.
        before: What earlier rows came to.
    """
    made: dict[_Key, Review] = {_key(review): review for review in before}
    for row in rows:
        key = (row.study_uid, row.reader, row.model_digest)
        review = made.pop(key, None) or Review(
            row.study_uid, row.sop_uid, row.reader, row.model_digest
        )
        review = _with_finding(review, row) if row.finding else _with_study(review, row)
        seconds = row.seconds_to_read if row.seconds_to_read is not None else review.seconds
        made[key] = replace(
            review, sop_uid=row.sop_uid, seconds=seconds, at=row.reviewed_at,
            score_seen=row.score_seen if row.score_seen is not None else review.score_seen,
        )  # fmt: skip
    return list(made.values())


def _with_finding(review: Review, row: ReviewRow) -> Review:
    label = _UNCERTAIN if row.uncertain else _LABEL[row.corrected_label]
    opinion, location = _OPINION[row.label_agrees], _OPINION[row.location_agrees]
    item = FindingReview(opinion, location, label, row.probability)
    findings = {**review.findings, row.finding: item}
    if not says_something(item):
        del findings[row.finding]
    return replace(review, findings=findings)


def _with_study(review: Review, row: ReviewRow) -> Review:
    return replace(
        review,
        note=row.note,
        finished=bool(row.finished),
        films=tuple(row.seen.get("films", ())),
        flagged=tuple(row.seen.get("flagged", ())),
        marks={name: mark_from_json(item) for name, item in row.marks.items()},
    )
