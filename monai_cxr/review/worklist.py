"""Worklist: cases and reviews as the rows of a list, the most urgent and longest waiting first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_cxr.evaluation.decisions.conformal import ConformalRule
from monai_cxr.findings import title_of
from monai_cxr.review.cases import ROUTINE, Case, CaseStatus, due
from monai_cxr.review.reviews import Review
from monai_cxr.review.words import day, duration, reason_words

STATUSES = ("new", "read", "waiting", "not analysed", "failed")
ACT_NOW = 1
"""Urgency of findings that wait for nobody: their studies stand above all others."""

_HIDDEN_CLASS = 2
_CLASSES = {"new": 1, "failed": 2, "not analysed": 2, "waiting": 3, "read": 4}

ByStudy = Mapping[str, Sequence[Review]]


@dataclass(frozen=True, slots=True)
class Closing:
    """Who closed a study, and whether there is something that they did not see.

    Attributes:
        readers: Who closed it, the earliest first.
        at: POSIX seconds of the last one; 0 without one.
        since: What came after, in words; ``""`` where the study is closed.
    """

    readers: tuple[str, ...] = ()
    at: float = 0.0
    since: str = ""


def by_study(reviews: Iterable[Review]) -> dict[str, list[Review]]:
    """Reviews by what they call their study."""
    found: dict[str, list[Review]] = {}
    for review in reviews:
        found.setdefault(review.study_uid, []).append(review)
    return found


def reviews_of(case: Case, known: ByStudy) -> list[Review]:
    """Reviews of a case; of a study UID that two people share, those of this person's films."""
    found = list(known.get(case.name, ()))
    if case.name != case.key.study_uid:
        films = {image.key.sop_uid for image in case.images}
        others = known.get(case.key.study_uid, ()) if case.key.study_uid else ()
        found += [review for review in others if review.sop_uid in films]
    return found


def closing(case: Case, known: ByStudy) -> Closing:
    """Who closed a case. A review closes the films and flags that it saw, and no others."""
    finished = [review for review in reviews_of(case, known) if review.finished]
    if not finished:
        return Closing()
    readers = tuple(dict.fromkeys(review.reader for review in finished))
    unseen = [_unseen(case, review) for review in finished]
    since = "" if "" in unseen else unseen[-1]
    return Closing(readers, max(review.at for review in finished), since)


def _unseen(case: Case, review: Review) -> str:
    if not review.films:
        return ""  # of a version that did not note what it saw
    films = [image for image in case.images if image.key.sop_uid not in review.films]
    if films:
        return f"{len(films)} film{'s' if len(films) > 1 else ''} since"
    flagged = [name for name in case.flagged if name not in review.flagged]
    return f"{title_of(flagged[0])} flagged since" if flagged else ""


def study_name(case: Case) -> str:
    """What a study is called in reviews: its UID, or the image's name where it has none."""
    return case.name


def case_status(case: Case, known: ByStudy) -> str:
    """One of :data:`STATUSES`."""
    closed = closing(case, known)
    if closed.readers and not closed.since:
        return "read"
    return "new" if case.status is CaseStatus.ANALYSED else case.status.value


@dataclass(frozen=True, slots=True)
class Shown:
    """What a worklist shows of cases, to whom.

    Attributes:
        longest_wait_seconds: See :func:`monai_cxr.review.cases.due`.
        identify: Whether rows carry PatientID and accession number.
        hidden: Whether a reader gives their own word first: nothing of what a model said is in
            the row, nor in its place.
        reading: Who has a study open now, by what reviews call it.
        rules: Conformal rules by finding: what they do not claim is shown as uncertain.
    """

    longest_wait_seconds: float
    identify: bool = False
    hidden: Callable[[Case], bool] = lambda _case: False
    reading: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rules: Mapping[str, ConformalRule] = field(default_factory=dict)


def ordered(cases: Iterable[Case], known: ByStudy, shown: Shown) -> list[Case]:
    """Unread studies that want to be acted on now; others by urgency with ageing; then the rest.

    After the unread ones come those not analysed, those that wait for the model, and the read
    ones. A case whose scores are hidden has the same place whatever they are.
    """

    def order(case: Case) -> tuple[int, float]:
        status, hidden = case_status(case, known), shown.hidden(case)
        if status == "new" and case.urgency == ACT_NOW and not hidden:
            return 0, case.received
        return _CLASSES[status], _due(case, shown)

    return sorted(cases, key=order)


def _due(case: Case, shown: Shown) -> float:
    if shown.hidden(case):
        return case.received + shown.longest_wait_seconds * (_HIDDEN_CLASS - 1)
    return due(case, longest_wait_seconds=shown.longest_wait_seconds)


def worklist(
    cases: Sequence[Case],
    reviews: Iterable[Review],
    *,
    now: float,
    longest_wait_seconds: float,
    identify: bool = False,
    hidden: Callable[[Case], bool] = lambda _case: False,
    reading: Mapping[str, Sequence[str]] | None = None,
    rules: Mapping[str, ConformalRule] | None = None,
) -> dict[str, Any]:
    """The list as a JSON value.

    Args:
        cases: Cases of a source.
        reviews: Reviews of a store.
        now: POSIX seconds.
        longest_wait_seconds: See :func:`monai_cxr.review.cases.due`.
        identify: Whether rows carry PatientID and accession number; for sites that read
            clinically.
        hidden: See :class:`Shown`.
        reading: See :class:`Shown`.
        rules: See :class:`Shown`.

    Returns:
        ``now``, ``counts`` by status and ``rows``.
    """
    shown = Shown(longest_wait_seconds, identify, hidden, reading or {}, rules or {})
    known = by_study(reviews)
    rows = [_row(case, known, shown, now) for case in ordered(cases, known, shown)]
    counts = Counter(row["status"] for row in rows)
    return {"now": now, "counts": {name: counts[name] for name in STATUSES}, "rows": rows}


def _row(case: Case, known: ByStudy, shown: Shown, now: float) -> dict[str, Any]:
    refusal, closed = case.refusal, closing(case, known)
    hidden, identify = shown.hidden(case), shown.identify
    status = case_status(case, known)
    pinned = case.urgency == ACT_NOW and not hidden
    return {
        "id": case.case_id,
        "name": case.key.patient_id if identify and case.key.patient_id else short_name(case),
        "status": status,
        "urgency": ROUTINE if hidden else case.urgency,
        "flagged": [] if hidden else [title_of(name) for name in case.flagged],
        "uncertain": [] if hidden else _uncertain(case, shown.rules),
        "why": reason_words(refusal.reason) if refusal else "",
        "received": round(case.received),
        "day": day(case.acquired),
        "view": case.images[0].view.value,
        "images": len(case.images),
        "person": person(case),
        "readers": list(closed.readers),
        "since": "" if hidden and "flagged" in closed.since else closed.since,
        "reading": list(shown.reading.get(case.name, ())),
        "hidden": hidden,
        "shared": case.shared,
        "accession": case.accession if identify else "",
        "order": _order_in_words(case, status, shown, now),
        "overdue": status == "new" and not pinned and now > _due(case, shown),
    }


def _uncertain(case: Case, rules: Mapping[str, ConformalRule]) -> list[str]:
    """What is flagged for its place in the list, though its rule does not claim it."""
    scores = {s.finding: s.probability for s in case.prediction.scores} if case.prediction else {}
    ruled = [name for name in case.flagged if name in rules and not math.isnan(scores[name])]
    return [title_of(name) for name in ruled if not rules[name].claims(scores[name])]


def _order_in_words(case: Case, status: str, shown: Shown, now: float) -> str:
    """Why a row stands where it does."""
    if status != "new":
        return ""
    hidden = shown.hidden(case)
    if case.urgency == ACT_NOW and not hidden:
        return "Act now: above all others, whatever they have waited."
    late = now - _due(case, shown)
    wait = duration(math.fabs(late))
    return f"Overdue since {wait}." if late > 0 else f"To be read within {wait}."


def short_name(case: Case) -> str:
    """A name that can be spoken and reveals nothing about the patient."""
    return f"{case.case_id[:3]}-{case.case_id[3:6]}".upper()


def person(case: Case) -> str:
    """Sex and age, such as ``F 63``; of a child below one year ``F <1``, without a sex ``63 y``."""
    years, sex = case.patient_age_years, case.patient_sex
    if years is None:
        return sex
    age = "<1" if years < 1 else f"{years:.0f}"
    return f"{sex} {age}" if sex else f"{age} y"
