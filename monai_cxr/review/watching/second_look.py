"""Second look: studies that the model flags and whose signed report does not say so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from monai_cxr.findings import title_of
from monai_cxr.monitoring.concordance import ALL, OUTCOMES, concordance
from monai_cxr.prediction import Interval
from monai_cxr.review.ledger_cases import answering
from monai_cxr.review.words import percent
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.people import second_looks
from monai_cxr.screening.ledger.watching import tallies
from monai_cxr.screening.watching import agreement

OUTCOME_WORDS = dict(zip(OUTCOMES, ("Missed", "Not there", "It is in the report"), strict=True))
"""Outcomes of a look, for buttons."""

MOST_REPORTS = 2_000
"""Reports that a page looks at, the newest: a look at a film of years ago helps nobody."""

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Look:
    """One study and finding to look at again.

    Attributes:
        study_uid: Which study.
        finding: Name of the finding.
        probability: Of the model, [0, 1].
        days: Since the film arrived.
        span: Words of the report that decided, or ``""``.
    """

    study_uid: str = field(repr=False)
    finding: str
    probability: float
    days: float
    span: str = field(repr=False)

    @property
    def age(self) -> str:
        """How old the film is, for people."""
        days = int(self.days)
        return "today's film" if days < 1 else f"film {days} day{'s' if days > 1 else ''} old"


def n_reports(ledger: Ledger) -> int:
    """How many signed reports a ledger has taken in."""
    with answering(), ledger.read() as connection:
        return tallies.total(connection, tallies.REPORTS.what, "")


def against_reports(ledger: Ledger) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Concordance with the signed reports as rows of a table, and how many reports fit how."""
    with answering():
        table, fits = agreement.side_by_side(ledger, newest=MOST_REPORTS)
    rows = [
        {
            "Finding": title_of(one.finding),
            "Studies": f"{one.n:,}",
            "Stated": f"{one.n_present:,}",
            "Flagged": f"{one.n_flagged:,}",
            "Of stated, flagged": _share(one.sensitivity),
            "Of flagged, stated": _share(one.ppv),
            "Kappa": _number(one.kappa),
        }
        for one in concordance(table)
        if one.group == ALL and one.n_present + one.n_flagged
    ]
    return rows, fits


def to_look_at(ledger: Ledger, limit: int) -> list[Look]:
    """The most probable misses first."""
    with answering():
        queue, now = agreement.queue(ledger, limit=limit, newest=MOST_REPORTS), ledger.clock()
    return [
        Look(
            str(row["study_uid"]),
            str(row["finding"]),
            float(row["probability"]),
            (now - float(row["received_at"])) / _DAY,
            str(row["span"] or ""),
        )
        for row in queue.to_dict("records")
    ]


def outcomes(ledger: Ledger) -> dict[str, int]:
    """How many looks came to what."""
    found: Counter[str] = Counter()
    with answering():
        for (_, outcome), n in second_looks.counts(ledger).items():
            found[outcome] += n
    return dict(found)


def outcome_words(counts: dict[str, int]) -> str:
    """The same in a sentence."""
    said = [f"{OUTCOME_WORDS[name].lower()}: {counts.get(name, 0)}" for name in OUTCOMES]
    return "; ".join(said)


def _share(interval: Interval) -> str:
    if interval.estimate != interval.estimate:
        return "-"
    return f"{percent(interval.estimate)} ({percent(interval.low)} to {percent(interval.high)})"


def _number(interval: Interval) -> str:
    return "-" if interval.estimate != interval.estimate else f"{interval.estimate:.2f}"
