"""Curves: ROC, precision-recall, reliability and decision curves of a finding, thinned to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.decisions.conformal import risk_coverage_curve
from monai_cxr.evaluation.json_values import numbers, read_as
from monai_cxr.evaluation.statistics.discrimination import (
    cumulative_counts,
    known,
    precision_recall_curve_of,
    roc_curve_of,
)
from monai_cxr.evaluation.statistics.rates import rates_at
from monai_cxr.evaluation.statistics.reliability import (
    ReliabilityCurve,
    observed_shares,
    reliability_curve,
)

Floats = NDArray[np.float64]

POINTS = 120
DECISION_POINTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class FindingCurves:
    """The curves of one finding; the arrays of a pair have one shape, empty if a class is absent.

    Attributes:
        fpr: False positive rate, increasing.
        tpr: True positive rate.
        roc_thresholds: Flagged from here on gives this point; infinite where nothing is flagged.
        recall: Increasing.
        precision: At this recall.
        reliability: Adaptive bins.
        observed_low: Lower 95 % bound, over patients, of the observed share in each bin.
        observed_high: The upper bound.
        decision_thresholds: Threshold probabilities, increasing, up to six times the prevalence.
        net_benefit: Net benefit of the model, at these.
        net_benefit_all: Net benefit of flagging every image.
        coverage: Share of images answered, the surest first.
        risk: Share of wrong answers among them.
    """

    fpr: Floats
    tpr: Floats
    roc_thresholds: Floats
    recall: Floats
    precision: Floats
    reliability: ReliabilityCurve
    observed_low: Floats
    observed_high: Floats
    decision_thresholds: Floats
    net_benefit: Floats
    net_benefit_all: Floats
    coverage: Floats
    risk: Floats

    def to_json(self) -> dict[str, object]:
        """The entry of ``performance.json``, rounded to six decimals."""
        return {
            curve: {key: numbers(attrgetter(name)(self)) for key, name in series.items()}
            for curve, series in _SERIES.items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Mapping[str, object]], place: str) -> FindingCurves:
        """The inverse of :meth:`to_json`, as far as six decimals go.

        Args:
            value: The entry of ``performance.json``.
            place: Keys that lead to it, for messages.

        Raises:
            SettingsError: If a series is missing, is not of numbers, or is not as long as those
                that are drawn with it.
        """
        read: dict[str, Floats] = {}
        for curve, series in _SERIES.items():
            entry = read_as(Mapping[str, Floats], value.get(curve), f"{place}.{curve}")
            if "observed" in entry:  # a file before 1.3 has no bounds
                unknown = np.full_like(entry["observed"], np.nan)
                entry = {"observed_low": unknown, "observed_high": unknown, **entry}
            if {*series} - {*entry} or len({len(entry[key]) for key in series}) != 1:
                raise SettingsError(
                    f"Expected {', '.join(series)} of one length at {place}.{curve}."
                )
            read |= {name: entry[key] for key, name in series.items()}
        read["roc_thresholds"] = np.nan_to_num(read["roc_thresholds"], nan=np.inf)
        held = [name for name in read if name.startswith("reliability.")]
        bins = ReliabilityCurve(*(read.pop(name) for name in held))
        return cls(reliability=bins, **read)


_SERIES = {
    "roc": {"fpr": "fpr", "tpr": "tpr", "threshold": "roc_thresholds"},
    "precision_recall": {"recall": "recall", "precision": "precision"},
    "reliability": {
        "counts": "reliability.counts",
        "predicted": "reliability.predicted",
        "observed": "reliability.observed",
        "observed_low": "observed_low",
        "observed_high": "observed_high",
    },
    "decision": {
        "threshold": "decision_thresholds",
        "net_benefit": "net_benefit",
        "net_benefit_all": "net_benefit_all",
    },
    "risk_coverage": {"coverage": "coverage", "risk": "risk"},
}
"""Curves and series of ``performance.json``, and the attributes that they are."""


def finding_curves(
    probabilities: Floats, labels: Floats, patients: NDArray[np.intp]
) -> FindingCurves:
    """All curves of one finding.

    Args:
        probabilities: Shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        patients: Shape (N,), codes from 0.

    Returns:
        The curves with at most about 120 points each.
    """
    present = labels[~np.isnan(labels)]
    reliability = reliability_curve(probabilities, labels)
    observed = observed_shares(probabilities, labels, patients)
    bounds = (np.array([i.low for i in observed]), np.array([i.high for i in observed]))
    thresholds = decision_thresholds(float(present.mean()) if len(present) else 0.0)
    coverage, risk = risk_coverage_curve(probabilities, labels)
    kept = thinned(coverage, risk) if len(coverage) else np.empty(0, dtype=np.intp)
    decisions = (
        thresholds,
        *decision_curve(probabilities, labels, thresholds),
        coverage[kept],
        risk[kept],
    )
    if not 0.0 < present.sum() < len(present):
        nothing = np.empty(0)
        empty = (nothing, nothing, nothing, nothing, nothing)
        return FindingCurves(*empty, reliability, *bounds, *decisions)
    counts = cumulative_counts(probabilities, labels)
    fpr, tpr, on_thresholds = roc_curve_of(counts)
    precision, recall, _ = precision_recall_curve_of(counts)
    on_roc, on_pr = thinned(fpr, tpr), thinned(recall, precision)
    return FindingCurves(
        fpr[on_roc],
        tpr[on_roc],
        on_thresholds[on_roc],
        recall[on_pr],
        precision[on_pr],
        reliability,
        *bounds,
        *decisions,
    )


def net_benefit(scores: ArrayLike, labels: ArrayLike, threshold: float) -> float:
    """TP / N - FP / N x t / (1 - t) (Vickers and Elkin 2006).

    Args:
        scores: Calibrated probabilities, shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        threshold: t in (0, 1): the probability at which treating and not treating weigh the same.

    Returns:
        In true positives an image; NaN without labels.
    """
    rates = rates_at(scores, labels, threshold)
    n = len(known(scores, labels)[0])
    if not n:
        return math.nan
    return (rates.true_positives - rates.false_positives * threshold / (1.0 - threshold)) / n


def decision_curve(
    scores: ArrayLike, labels: ArrayLike, thresholds: ArrayLike
) -> tuple[Floats, Floats]:
    """Net benefit of the model, and of flagging every image, at each threshold probability.

    Args:
        scores: Calibrated probabilities, shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        thresholds: Shape (T,), in (0, 1).

    Returns:
        Two arrays, float64, shape (T,). Flagging nobody has net benefit 0.
    """
    score, label, _ = known(scores, labels)
    t = np.asarray(thresholds, dtype=np.float64)
    n = len(label)
    if not n:
        return np.full_like(t, np.nan), np.full_like(t, np.nan)
    positives, negatives = np.sort(score[label == 1.0]), np.sort(score[label == 0.0])
    true = (len(positives) - np.searchsorted(positives, t, side="left")) / n
    false = (len(negatives) - np.searchsorted(negatives, t, side="left")) / n
    odds = t / (1.0 - t)
    return true - false * odds, len(positives) / n - len(negatives) / n * odds


def decision_thresholds(prevalence: float) -> Floats:
    """Threshold probabilities at which one may act: up to six times the prevalence, at most 0.5."""
    end = float(f"{min(0.5, max(0.02, 6.0 * prevalence)):.1g}")
    return np.linspace(end / DECISION_POINTS, end, DECISION_POINTS)


def thinned(x: Floats, y: Floats) -> NDArray[np.intp]:
    """Indices of points spread evenly along a curve in the unit square; both ends are kept."""
    length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    wanted = np.linspace(0.0, float(length[-1]), POINTS)
    return np.unique(np.append(np.searchsorted(length, wanted), len(x) - 1).clip(0, len(x) - 1))
