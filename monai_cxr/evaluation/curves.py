"""Curves: ROC, precision-recall, reliability and decision curves of a finding, thinned to draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.decision_curve import decision_curve
from monai_cxr.evaluation.decisions.conformal import risk_coverage_curve
from monai_cxr.evaluation.json_values import numbers
from monai_cxr.evaluation.statistics.discrimination import (
    cumulative_counts,
    precision_recall_curve_of,
    roc_curve_of,
)
from monai_cxr.evaluation.statistics.reliability import ReliabilityCurve, reliability_curve

Floats = NDArray[np.float64]

POINTS = 120
DECISION_POINTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class FindingCurves:
    """What is drawn of one finding; each pair has one shape, empty where a class is absent.

    Attributes:
        fpr: False positive rate, increasing.
        tpr: True positive rate.
        roc_thresholds: Flagged from here on gives this point; infinite where nothing is flagged.
        recall: Increasing.
        precision: At this recall.
        reliability: Adaptive bins.
        decision_thresholds: Threshold probabilities, increasing, up to six times the prevalence.
        net_benefit: Of the model, at these.
        net_benefit_all: Of flagging every image.
        coverage: Share of images answered, the surest first.
        risk: Share of wrong answers among them.
    """

    fpr: Floats
    tpr: Floats
    roc_thresholds: Floats
    recall: Floats
    precision: Floats
    reliability: ReliabilityCurve
    decision_thresholds: Floats
    net_benefit: Floats
    net_benefit_all: Floats
    coverage: Floats
    risk: Floats

    def to_json(self) -> dict[str, object]:
        """The entry of ``performance.json``, rounded to six decimals."""
        return {
            "roc": {
                "fpr": numbers(self.fpr),
                "tpr": numbers(self.tpr),
                "threshold": numbers(self.roc_thresholds),
            },
            "precision_recall": {
                "recall": numbers(self.recall),
                "precision": numbers(self.precision),
            },
            "reliability": {
                "counts": numbers(self.reliability.counts),
                "predicted": numbers(self.reliability.predicted),
                "observed": numbers(self.reliability.observed),
            },
            "decision": {
                "threshold": numbers(self.decision_thresholds),
                "net_benefit": numbers(self.net_benefit),
                "net_benefit_all": numbers(self.net_benefit_all),
            },
            "risk_coverage": {"coverage": numbers(self.coverage), "risk": numbers(self.risk)},
        }


def finding_curves(probabilities: Floats, labels: Floats) -> FindingCurves:
    """All curves of one finding.

    Args:
        probabilities: Shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.

    Returns:
        The curves with at most about 120 points each.
    """
    present = labels[~np.isnan(labels)]
    reliability = reliability_curve(probabilities, labels)
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
        return FindingCurves(nothing, nothing, nothing, nothing, nothing, reliability, *decisions)
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
        *decisions,
    )


def decision_thresholds(prevalence: float) -> Floats:
    """Threshold probabilities at which one may act: up to six times the prevalence, at most 0.5."""
    end = float(f"{min(0.5, max(0.02, 6.0 * prevalence)):.1g}")
    return np.linspace(end / DECISION_POINTS, end, DECISION_POINTS)


def thinned(x: Floats, y: Floats, n_points: int = POINTS) -> NDArray[np.intp]:
    """Indices of points spread evenly along a curve in the unit square; both ends are kept."""
    length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    wanted = np.linspace(0.0, float(length[-1]), n_points)
    return np.unique(np.append(np.searchsorted(length, wanted), len(x) - 1).clip(0, len(x) - 1))
