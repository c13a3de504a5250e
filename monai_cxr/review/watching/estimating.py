"""Estimating: what the newest scores of a ledger say of performance without labels, as words."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from monai_cxr.findings import title_of
from monai_cxr.monitoring.dated_predictions import estimates
from monai_cxr.monitoring.estimated import FEWEST, EstimatedPerformance
from monai_cxr.prediction import Interval
from monai_cxr.review.cases import urgency_of
from monai_cxr.review.ledger_cases import answering
from monai_cxr.review.words import percent
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.watching import recent_results

_MOST_RESULTS = 2_000
_KEPT_SECONDS = 3_600.0
_KNOWN: WeakKeyDictionary[Ledger, Estimates] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimates of a ledger.

    Attributes:
        findings: The most urgent first; empty with too few results.
        n_then: Results of the baseline.
        n_now: Newest results.
        made_at: Seconds since 1970.
    """

    findings: tuple[EstimatedPerformance, ...]
    n_then: int
    n_now: int
    made_at: float


def estimated(ledger: Ledger) -> Estimates:
    """Estimate from the newest results; made once an hour.

    Raises:
        DeliveryError: If the ledger does not answer.
    """
    now = ledger.clock()
    known = _KNOWN.get(ledger)
    if known is not None and 0.0 <= now - known.made_at < _KEPT_SECONDS:
        return known
    with answering():
        then, newest = recent_results.first_and_newest(ledger, limit=_MOST_RESULTS)
    enough = len(newest) >= FEWEST and len(then) >= FEWEST
    found = estimates(then, newest) if enough else ()
    ordered = sorted(found, key=lambda one: (urgency_of(one.finding), one.finding))
    made = Estimates(tuple(ordered), len(then), len(newest), now)
    _KNOWN[ledger] = made
    return made


def words(made: Estimates) -> str:
    """What they rest on, in a sentence."""
    if not made.findings:
        return (
            f"No estimate without labels yet: {made.n_then + made.n_now} results, and {2 * FEWEST} "
            "are needed."
        )
    n = sum(not one.reason for one in made.findings)
    return (
        f"Estimates, not measurements: what the probabilities of the newest {made.n_now:,} results "
        f"imply about {n} of {len(made.findings)} findings, without one label. They hold while the "
        f"calibration holds, beside a baseline of {made.n_then:,} results, and change no score."
    )


def rows(made: Estimates) -> list[dict[str, str]]:
    """Rows of a table."""
    return [
        {
            "Finding": title_of(one.finding),
            "Estimated AUROC": _number(one.auroc),
            "Estimated sensitivity": _share(one.sensitivity),
            "Estimated PPV": _share(one.ppv),
            "Estimated prevalence": _share(one.prevalence),
            "Withheld because": one.reason or one.ppv_reason,
        }
        for one in made.findings
    ]


def _share(one: Interval) -> str:
    if one.estimate != one.estimate:
        return "-"
    return f"{percent(one.estimate)} ({percent(one.low)} to {percent(one.high)})"


def _number(one: Interval) -> str:
    if one.estimate != one.estimate:
        return "-"
    return f"{one.estimate:.2f} ({one.low:.2f} to {one.high:.2f})"
