"""Monitoring: does the model still behave: volume, turnaround, failures, flags, agreement."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.findings import title_of
from monai_cxr.prediction import Interval, OperatingPoint
from monai_cxr.review.cases import Case, CaseStatus, urgency_of
from monai_cxr.review.reviews import Review
from monai_cxr.review.words import reason_words
from monai_cxr.review.worklist import study_name

ENOUGH = 30
"""Fewest studies that a share is told of."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share that is watched.

    Attributes:
        name: Name of what the share is about.
        n: Number that the share is of.
        count: How many did.
        share: Share, with a 95 % Wilson interval; images of one patient are taken for independent.
        expected: What the bundle's own data lead one to expect; NaN when unknown.
        verdict: ``"as expected"``, ``"differs"``, ``"too few"`` or ``""``.
    """

    name: str
    n: int
    count: int
    share: Interval
    expected: float = math.nan
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """The numbers at the top.

    Attributes:
        studies: Known.
        analysed: Number with a prediction.
        waiting: Not yet looked at.
        not_analysed: Refused: out of the model's scope.
        failed: Could not be read.
        read: Closed by a reader.
        median_minutes_to_read: From arrival to the first close; NaN without one.
        median_seconds_reading: Median reading time of closed reviews; NaN without one.
    """

    studies: int
    analysed: int
    waiting: int
    not_analysed: int
    failed: int
    read: int
    median_minutes_to_read: float
    median_seconds_reading: float


def overview(cases: Sequence[Case], reviews: Sequence[Review]) -> Overview:
    """Count cases and reviews."""
    by_status = Counter(case.status for case in cases)
    closed: dict[str, float] = {}
    for review in reviews:
        if review.finished:
            closed[review.study_uid] = min(closed.get(review.study_uid, math.inf), review.at)
    turnaround = [
        (closed[name] - case.received) / 60.0
        for case in cases
        if (name := study_name(case)) in closed and case.received > 0
    ]
    seconds = [review.seconds for review in reviews if review.finished and review.seconds > 0]
    return Overview(
        studies=len(cases),
        analysed=by_status[CaseStatus.ANALYSED],
        waiting=by_status[CaseStatus.WAITING],
        not_analysed=by_status[CaseStatus.NOT_ANALYSED],
        failed=by_status[CaseStatus.FAILED],
        read=sum(study_name(case) in closed for case in cases),
        median_minutes_to_read=statistics.median(turnaround) if turnaround else math.nan,
        median_seconds_reading=statistics.median(seconds) if seconds else math.nan,
    )


def flag_rates(cases: Iterable[Case], points: Mapping[str, OperatingPoint]) -> list[Rate]:
    """How often each finding is flagged, and how often its operating point predicts it.

    At the prevalence of the data that chose the point, a share
    ``sensitivity * prevalence + (1 - specificity) * (1 - prevalence)`` is flagged.
    """
    flagged: Counter[str] = Counter()
    scored: Counter[str] = Counter()
    for case in cases:
        for score in case.prediction.scores if case.prediction else ():
            if score.positive is not None:
                scored[score.finding] += 1
                flagged[score.finding] += score.positive
    names = sorted(points, key=lambda name: (urgency_of(name), name))
    return [_flag_rate(name, flagged[name], scored[name], points[name]) for name in names]


def _flag_rate(name: str, count: int, n: int, point: OperatingPoint) -> Rate:
    share = wilson(count, n) if n else Interval(math.nan)
    expected = math.nan
    if point.n:
        prevalence = point.n_positive / point.n
        sensitivity, specificity = point.sensitivity.estimate, point.specificity.estimate
        expected = sensitivity * prevalence + (1.0 - specificity) * (1.0 - prevalence)
    if n < ENOUGH:
        verdict = "too few"
    elif math.isnan(expected):
        verdict = ""
    else:
        verdict = "as expected" if share.low <= expected <= share.high else "differs"
    return Rate(title_of(name), n, count, share, expected, verdict)


def agreement_rates(reviews: Iterable[Review]) -> list[Rate]:
    """How often readers agree with the model, by finding; what nobody judged is left out."""
    agreed: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    for review in reviews:
        for name, item in review.findings.items():
            if item.opinion:
                judged[name] += 1
                agreed[name] += item.opinion == "agree"
    names = sorted(judged, key=lambda name: (urgency_of(name), name))
    return [
        Rate(
            title_of(name),
            judged[name],
            agreed[name],
            wilson(agreed[name], judged[name]),
            verdict="too few" if judged[name] < ENOUGH else "",
        )
        for name in names
    ]


def agreement_by_day(reviews: Iterable[Review]) -> list[tuple[str, float, int]]:
    """(day in UTC, share of agreement, judged findings), by day."""
    agreed: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    for review in reviews:
        opinions = [item.opinion for item in review.findings.values() if item.opinion]
        date = time.strftime("%Y-%m-%d", time.gmtime(review.at))
        judged[date] += len(opinions)
        agreed[date] += opinions.count("agree")
    return [
        (date, agreed[date] / judged[date], judged[date]) for date in sorted(judged) if judged[date]
    ]


def volume_by_day(cases: Iterable[Case]) -> list[tuple[str, int]]:
    """(day of arrival in UTC, studies), by day."""
    days = Counter(time.strftime("%Y-%m-%d", time.gmtime(case.received)) for case in cases)
    return sorted(days.items())


def reasons(cases: Iterable[Case]) -> list[tuple[str, str, int]]:
    """(reason in words, ``"failed"`` or ``"not analysed"``, studies), the most frequent first."""
    found = Counter(
        (reason_words(image.reason), "failed" if image.failed else "not analysed")
        for case in cases
        if (image := case.refusal) is not None
    )
    return [(words, kind, count) for (words, kind), count in found.most_common()]
