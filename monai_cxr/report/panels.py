"""Panels: the small multiples of the report, one SVG a finding or perturbation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from monai_cxr.evaluation.results import Performance
from monai_cxr.evaluation.robustness import RobustnessPoint
from monai_cxr.evaluation.statistics.perturbation import PERTURBATIONS
from monai_cxr.findings import title_of
from monai_cxr.report import plots


def finding_panels(performance: Performance) -> dict[str, list[str]]:
    """Reliability, ROC, precision-recall and decision curves, one per finding."""
    rows = [
        (title_of(item.finding), performance.curves[item.finding], item) for item in performance
    ]
    return {
        "reliability": [
            plots.reliability_panel(title, curves, item.ece) for title, curves, item in rows
        ],
        "roc": [plots.roc_panel(title, curves, item.auroc) for title, curves, item in rows],
        "precision_recall": [
            plots.precision_recall_panel(title, curves, item.average_precision, item.prevalence)
            for title, curves, item in rows
        ],
        "decision": [
            plots.decision_panel(title, curves, item.prevalence) for title, curves, item in rows
        ],
    }


def conformal_panels(performance: Performance) -> list[str]:
    """Risk over coverage of each finding that has a conformal rule."""
    ruled = {check.rule.finding for check in performance.conformal}
    return [
        plots.risk_coverage_panel(title_of(item.finding), performance.curves[item.finding])
        for item in performance
        if item.finding in ruled
    ]


def robustness_panels(points: Sequence[RobustnessPoint]) -> list[str]:
    """Change of AUROC under each perturbation: the mean with intervals, each finding as a line."""
    macro = [point for point in points if point.finding == "macro"]
    drawn = []
    for name in dict.fromkeys(point.perturbation for point in macro):
        mine = [point for point in macro if point.perturbation == name]
        unit = PERTURBATIONS[name].unit if name in PERTURBATIONS else "amount"
        amounts = np.array([point.amount for point in mine])
        changes = [point.auroc_change for point in mine]
        drawn.append(
            plots.change_panel(name.capitalize(), amounts, changes, unit, _each(points, name))
        )
    return drawn


def _each(points: Sequence[RobustnessPoint], perturbation: str) -> list[list[tuple[float, float]]]:
    """For each finding, its (amount, change of AUROC) in the order of the amounts."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        change = point.auroc_change.estimate
        if (
            point.perturbation == perturbation
            and point.finding != "macro"
            and not math.isnan(change)
        ):
            lines.setdefault(point.finding, []).append((point.amount, change))
    return [sorted(line) for line in lines.values()]
