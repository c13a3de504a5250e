"""Trade: what a threshold on a finding's probability would mean at the prevalence of a site."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monai_cxr.evaluation.statistics.predictive_values import AtPrevalence, at_prevalence
from monai_cxr.prediction import Interval
from monai_cxr.review.performance_file import PerformanceFile
from monai_cxr.review.words import percent

_FILMS = 1000


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A measured point of a ROC curve.

    Attributes:
        threshold: Flagged from this probability on, [0, 1].
        sensitivity: Share of the films with the finding that are flagged.
        specificity: Share of the films without it that are not.
    """

    threshold: float
    sensitivity: float
    specificity: float


def curve_points(performance: PerformanceFile, finding: str) -> list[CurvePoint]:
    """The measured points of a finding's curve, by growing threshold; empty without a curve."""
    curves = performance.content.curves.get(finding)
    if curves is None:
        return []
    points = [
        CurvePoint(threshold, tpr, 1.0 - fpr)
        for threshold, tpr, fpr in zip(
            curves.roc_thresholds.tolist(), curves.tpr.tolist(), curves.fpr.tolist(), strict=True
        )
        if math.isfinite(threshold)
    ]
    return sorted(points, key=lambda point: point.threshold)


def choices(points: Sequence[CurvePoint]) -> dict[str, CurvePoint]:
    """Points by the words of their threshold, for a slider; of equal words the first counts."""
    named: dict[str, CurvePoint] = {}
    for point in points:
        named.setdefault(f"{point.threshold * 100:.3g} %", point)
    return named


def nearest(named: dict[str, CurvePoint], threshold: float) -> str:
    """The choice nearest to a threshold; the middle one where it is NaN."""
    words = list(named)
    if math.isnan(threshold):
        return words[len(words) // 2]
    return min(words, key=lambda word: abs(named[word].threshold - threshold))


def trade_at(
    performance: PerformanceFile, finding: str, point: CurvePoint, prevalence: float
) -> AtPrevalence | None:
    """What a point means at a prevalence in (0, 1); None without films of both kinds.

    A patient counts as one trial, however many films it has: more is not known of any threshold.
    """
    item = performance.content[finding]
    n, n_positive = item.n, item.n_positive
    if not 0 < n_positive < n:
        return None
    return at_prevalence(
        point.sensitivity,
        point.specificity,
        prevalence,
        n_positive=min(n_positive, item.n_positive_patients),
        n_negative=min(n - n_positive, performance.content.identity.n_patients),
    )


def trade_sentence(trade: AtPrevalence) -> str:
    """The trade in films, for people."""
    found, missed, alarms = (
        round(share * _FILMS) for share in (trade.found, trade.missed, trade.false_alarms)
    )
    return (
        f"Of {_FILMS:,} films **{found} found, {missed} missed, {alarms} false alarms**: "
        f"{_flags(trade.flagged)} flags."
    )


def trade_columns(chosen: AtPrevalence, in_use: AtPrevalence | None) -> dict[str, dict[str, str]]:
    """The chosen threshold and the operating point in use as columns of words, by measure."""
    columns: dict[str, dict[str, str]] = {"Chosen here (95 %)": {}, "In use (95 %)": {}}
    for name, meaning, words in (
        ("Sensitivity", "of films with it are flagged", _share),
        ("Specificity", "of films without it are not", _share),
        ("PPV", "of flags are right", _share),
        ("NPV", "of unflagged films are free of it", _share),
        ("Flagged", "per 1,000 films", _flags),
    ):
        for column, known in zip(columns.values(), (chosen, in_use), strict=True):
            column[f"{name}: {meaning}"] = words(getattr(known, name.lower())) if known else "-"
    return columns


def _share(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return "-"
    return f"{percent(interval.estimate)} ({percent(interval.low)} to {percent(interval.high)})"


def _flags(interval: Interval) -> str:
    low, middle, high = (
        round(share * _FILMS) for share in (interval.low, interval.estimate, interval.high)
    )
    return f"{middle} ({low} to {high})"
