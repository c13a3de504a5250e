"""Worklist: cases and reviews as the rows of a list, the most urgent and longest waiting first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monai_cxr.findings import title_of
from monai_cxr.review.cases import Case, CaseStatus, due
from monai_cxr.review.reviews import Review
from monai_cxr.review.words import day, reason_words

STATUSES = ("new", "read", "waiting", "not analysed", "failed")


def finished_by(reviews: Iterable[Review]) -> dict[str, list[str]]:
    """Readers who closed a study, by Study Instance UID."""
    readers: dict[str, list[str]] = {}
    for review in reviews:
        if review.finished:
            readers.setdefault(review.study_uid, []).append(review.reader)
    return readers


def study_name(case: Case) -> str:
    """What a study is called in reviews: its UID, or the image's name where it has none."""
    return case.key.study_uid or case.key.sop_uid


def case_status(case: Case, finished: Mapping[str, Sequence[str]]) -> str:
    """One of :data:`STATUSES`."""
    if study_name(case) in finished:
        return "read"
    return "new" if case.status is CaseStatus.ANALYSED else case.status.value


def ordered(
    cases: Iterable[Case],
    finished: Mapping[str, Sequence[str]],
    *,
    longest_wait_seconds: float,
) -> list[Case]:
    """Unread studies by urgency with ageing, then those not yet analysed, then the read ones."""
    classes = {"new": 0, "failed": 1, "not analysed": 1, "waiting": 2, "read": 3}

    def order(case: Case) -> tuple[int, float]:
        when = due(case, longest_wait_seconds=longest_wait_seconds)
        return classes[case_status(case, finished)], when

    return sorted(cases, key=order)


def worklist(
    cases: Sequence[Case],
    reviews: Iterable[Review],
    *,
    now: float,
    longest_wait_seconds: float,
    identify: bool = False,
) -> dict[str, Any]:
    """The list as a JSON value.

    Args:
        cases: Of a source.
        reviews: Of a store.
        now: POSIX seconds.
        longest_wait_seconds: See :func:`monai_cxr.review.cases.due`.
        identify: Whether rows carry PatientID; for sites that read clinically.

    Returns:
        ``now``, ``counts`` by status and ``rows``.
    """
    finished = finished_by(reviews)
    rows = [
        _row(case, finished, identify=identify)
        for case in ordered(cases, finished, longest_wait_seconds=longest_wait_seconds)
    ]
    counts = Counter(row["status"] for row in rows)
    return {"now": now, "counts": {name: counts[name] for name in STATUSES}, "rows": rows}


def _row(case: Case, finished: Mapping[str, Sequence[str]], *, identify: bool) -> dict[str, Any]:
    refusal = case.refusal
    return {
        "id": case.case_id,
        "name": case.key.patient_id if identify and case.key.patient_id else short_name(case),
        "status": case_status(case, finished),
        "urgency": case.urgency,
        "flagged": [title_of(name) for name in case.flagged],
        "why": reason_words(refusal.reason) if refusal else "",
        "received": round(case.received),
        "day": day(case.acquired),
        "view": case.images[0].view.value,
        "images": len(case.images),
        "person": person(case),
        "readers": list(dict.fromkeys(finished.get(study_name(case), ()))),
    }


def short_name(case: Case) -> str:
    """A name that can be said aloud and tells nothing of the patient."""
    return f"{case.case_id[:3]}-{case.case_id[3:6]}".upper()


def person(case: Case) -> str:
    """Sex and age, such as ``F 63``."""
    age = "" if case.age_years is None else f"{case.age_years:.0f}"
    return " ".join(part for part in (case.sex, age) if part)
