"""Statements: what a score means here, in numbers with intervals and in words; never a bare bar."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monai_cxr.evaluation.decisions.conformal import FLAGS, ConformalRule
from monai_cxr.evaluation.statistics.predictive_values import AtPrevalence, rates_at_prevalence
from monai_cxr.findings import FINDINGS
from monai_cxr.prediction import FindingScore, Interval, OperatingPoint, Prediction
from monai_cxr.review.cases import urgency_of
from monai_cxr.review.words import percent

URGENCY_WORDS = {1: "act now", 2: "soon", 3: "routine", 4: "nothing flagged"}

_NAMED = 2
_ORDER = {"present": 0, "flagged": 0, "uncertain": 1, "not flagged": 2, "absent": 2, "no rule": 3}


@dataclass(frozen=True, slots=True)
class Statement:
    """What the model says of one finding.

    Attributes:
        finding: Name.
        title: For people.
        urgency: 1 (act now) to 3.
        probability: Calibrated, [0, 1]; NaN when the bundle is not calibrated.
        state: ``"present"``, ``"uncertain"`` or ``"absent"`` by a conformal rule; else
            ``"flagged"`` or ``"not flagged"`` by the operating point; ``"no rule"`` without both.
        threshold: Threshold of the operating point; NaN without one.
        prevalence: Prevalence for which PPV is computed, (0, 1); NaN when unknown.
        prevalence_source: ``"site"`` or ``"calibration data"``.
        ppv: PPV at this prevalence; NaN when unknown.
        npv: NPV at this prevalence; NaN when unknown.
        meaning: Sentences about the statement, the most useful first.
    """

    finding: str
    title: str
    urgency: int
    probability: float
    state: str
    threshold: float
    prevalence: float
    prevalence_source: str
    ppv: float
    npv: float
    meaning: tuple[str, ...]

    @property
    def positive(self) -> bool:
        """Whether it is claimed: flagged, or present."""
        return self.state in ("present", "flagged")


def statements(
    prediction: Prediction,
    points: Mapping[str, OperatingPoint],
    *,
    rules: Mapping[str, ConformalRule] | None = None,
    prevalence: Mapping[str, float] | None = None,
) -> list[Statement]:
    """What a prediction means, claimed findings first, each group by clinical urgency.

    Args:
        prediction: Prediction of one image or study.
        points: Operating points by finding.
        rules: Conformal rules by finding; they decide the state where there are any.
        prevalence: Of the site, by finding, in (0, 1); else that of the operating point's data.
    """
    made = [
        _statement(
            score,
            points.get(score.finding),
            (rules or {}).get(score.finding),
            (prevalence or {}).get(score.finding),
        )
        for score in prediction.scores
    ]

    def order(item: Statement) -> tuple[int, int, float]:
        probability = -1.0 if math.isnan(item.probability) else item.probability
        return _ORDER[item.state], item.urgency, -probability

    return sorted(made, key=order)


def _statement(
    score: FindingScore,
    point: OperatingPoint | None,
    rule: ConformalRule | None,
    site_prevalence: float | None,
) -> Statement:
    prevalence, source = _prevalence(point, site_prevalence)
    trade = trade_of(point, prevalence)
    state = _state(score, rule)
    title = FINDINGS[score.finding].title if score.finding in FINDINGS else score.finding
    return Statement(
        finding=score.finding,
        title=title,
        urgency=urgency_of(score.finding),
        probability=score.probability,
        state=state,
        threshold=point.threshold if point else math.nan,
        prevalence=prevalence,
        prevalence_source=source,
        ppv=trade.ppv.estimate if trade else math.nan,
        npv=trade.npv.estimate if trade else math.nan,
        meaning=tuple(_meaning(score, point, rule, state, trade, (prevalence, source))),
    )


def trade_of(point: OperatingPoint | None, prevalence: float) -> AtPrevalence | None:
    """What an operating point means at a prevalence; None where too little is known of it."""
    if point is None or math.isnan(prevalence) or not 0 < point.n_positive < point.n:
        return None
    if math.isnan(point.sensitivity.estimate) or math.isnan(point.specificity.estimate):
        return None
    return rates_at_prevalence(
        point.sensitivity,
        point.specificity,
        prevalence,
        n_positive=point.n_positive,
        n_negative=point.n - point.n_positive,
    )


def _prevalence(point: OperatingPoint | None, site_prevalence: float | None) -> tuple[float, str]:
    if site_prevalence is not None:
        return site_prevalence, "site"
    if point is not None and point.n > 0 and 0 < point.n_positive < point.n:
        return point.n_positive / point.n, "calibration data"
    return math.nan, ""


def _state(score: FindingScore, rule: ConformalRule | None) -> str:
    if rule is not None and not math.isnan(score.probability):
        return FLAGS[int(rule.flag([score.probability])[0])]
    if score.positive is None:
        return "no rule"
    return "flagged" if score.positive else "not flagged"


def _meaning(
    score: FindingScore,
    point: OperatingPoint | None,
    rule: ConformalRule | None,
    state: str,
    trade: AtPrevalence | None,
    prevalence: tuple[float, str],
) -> list[str]:
    sentences: list[str] = []
    if math.isnan(score.probability):
        sentences.append("This bundle is not calibrated: there is no probability to show.")
    if rule is not None:
        sentences.append(_conformal_words(rule, state))
    if point is None:
        flagged = "" if score.positive is not None else ": nothing is flagged"
        sentences.append(f"There is no operating point of this model here{flagged}.")
        return sentences
    if trade is not None:
        share, source = prevalence
        where = "at this site" if source == "site" else "in the calibration data"
        among = f"at the prevalence of {percent(share)} {where}"
        if score.positive:
            right = _in_ten(trade.ppv.estimate)
            low, high = percent(trade.ppv.low), percent(trade.ppv.high)
            ppv = f"PPV {percent(trade.ppv.estimate)}, {low} to {high}"
            sentences.append(f"{_of_this_film(score)}{among}, {right} flags are right ({ppv}).")
        else:
            missed = percent(1.0 - trade.npv.estimate)
            low, high = percent(1.0 - trade.npv.high), percent(1.0 - trade.npv.low)
            unflagged = f"{missed} ({low} to {high}) of unflagged films have it"
            sentences.append(f"{_of_this_film(score)}{among}, {unflagged}.")
    sentences.append(
        f"Flagged from {percent(point.threshold)} on ({point.criterion}): finds "
        f"{_with_interval(point.sensitivity)} of the films with it, leaves "
        f"{_with_interval(point.specificity)} of the others unflagged; {point.n_positive} of "
        f"{point.n} calibration films had it."
    )
    return sentences


def _of_this_film(score: FindingScore) -> str:
    """The film's own number in words; the numbers of all flagged ones come after it."""
    if math.isnan(score.probability):
        return "Of all films: "
    if score.probability > 0.95:
        return "Of films scored like this one nearly all have it. Of all films: "
    if score.probability < 0.02:
        return "Of films scored like this one hardly any has it. Of all films: "
    few = score.probability < 0.45
    number = f"1 in {round(1 / score.probability)}" if few else _in_ten(score.probability)
    verb = "has" if few else "have"
    return f"Of films scored like this one about {number} {verb} it. Of all films: "


def _conformal_words(rule: ConformalRule, state: str) -> str:
    error = percent(rule.alpha)
    if state == "uncertain":
        return f"Uncertain: neither claim keeps its error below {error}."
    wrong = "without it" if state == "present" else "with it"
    return f"{state.capitalize()}: of films {wrong}, at most {error} are called {state}."


def _in_ten(share: float) -> str:
    tenths = round(share * 10)
    if tenths == 0:
        return f"1 in {round(1 / share)}" if share > 0 else "none of the"
    return "more than 9 in 10" if tenths == 10 else f"{tenths} in 10"


def _with_interval(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return "an unknown share"
    if math.isnan(interval.low):
        return percent(interval.estimate)
    return f"{percent(interval.estimate)} ({percent(interval.low)} to {percent(interval.high)})"


def summary_words(made: Sequence[Statement]) -> str:
    """One sentence about all findings, for a title or dictation."""
    claimed = [item.title for item in made if item.positive]
    open_ones = [item.title for item in made if item.state == "uncertain"]
    if len(claimed) > _NAMED + 1:
        return f"{', '.join(claimed[:_NAMED])} and {len(claimed) - _NAMED} more flagged"
    if claimed:
        before, last = ", ".join(claimed[:-1]), claimed[-1]
        return f"{before} and {last} flagged" if before else f"{last} flagged"
    return "Nothing flagged" + (f"; uncertain: {', '.join(open_ones)}" if open_ones else "")


def point_rows(points: Mapping[str, OperatingPoint]) -> list[dict[str, str]]:
    """Operating points as rows, the most urgent finding first."""
    ordered = sorted(points.values(), key=lambda point: (urgency_of(point.finding), point.finding))
    return [
        {
            "Finding": FINDINGS[p.finding].title if p.finding in FINDINGS else p.finding,
            "Flagged from": percent(p.threshold),
            "Rule": p.criterion,
            "Sensitivity (95 %)": _with_interval(p.sensitivity),
            "Specificity (95 %)": _with_interval(p.specificity),
            "Films": f"{p.n:,}",
            "With it": f"{p.n_positive:,}",
        }
        for p in ordered
    ]
