"""Report page: one self-contained HTML page of an evaluation, for the screen and for paper."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from monai_cxr.evaluation.classification import ABSENT_OR_PRESENT
from monai_cxr.evaluation.results import Performance
from monai_cxr.evaluation.statistics.localization import IOU_THRESHOLDS
from monai_cxr.evaluation.subgroups import LEAST_PATIENTS
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.report.inspection import ReportExtras
from monai_cxr.report.limitations import limitation_sentences
from monai_cxr.report.panels import conformal_panels, finding_panels, robustness_panels
from monai_cxr.report.plots import forest, forest_axis
from monai_cxr.report.published import N_OFFICIAL_FILMS, OFFICIAL_SPLIT, results_beside
from monai_cxr.report.rendering import render

_AREA = ((0.5, 1.0), (0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
_SHARE = ((0.0, 1.0), (0.0, 0.5, 1.0))
"""Ends and ticks of the forest plots of AUROC, and of shares."""

_FACTS = {
    "age": "Age in years",
    "sex": "Sex",
    "view": "View",
    "manufacturer": "Maker or site",
    "follow_up": "Film of the patient",
}

_HYPHENATED = {
    name.replace("-", ""): name.replace("-", "\N{SOFT HYPHEN}").replace("_", " ").capitalize()
    for name in (
        "Pneumo-thorax", "Cardio-megaly", "Atelec-tasis", "Infil-tration", "Pneu-monia",
        "Consoli-dation", "Emphy-sema", "Pleural_Thick-ening",
    )
}  # fmt: skip
"""Where a narrow column may break a finding's name."""


def render_page(performance: Performance, extras: ReportExtras | None = None) -> str:
    """Render the page.

    Args:
        performance: The numbers.
        extras: Films, localization and robustness, where the caller has them.

    Returns:
        HTML that needs no other file and no network.
    """
    extras = extras or ReportExtras()
    who, found = performance.identity, performance.classification
    checked = {check.point.finding for check in performance.operating_points}
    binary = found is not None and found.classes == ABSENT_OR_PRESENT
    official = who.split == OFFICIAL_SPLIT
    return render(
        "evaluation.html",
        performance=performance,
        extras=extras,
        name=who.model.get("name") or "Chest radiograph model",
        limitations=limitation_sentences(performance),
        identity=_identity(performance),
        panels={
            **finding_panels(performance),
            "risk_coverage": conformal_panels(performance),
            "robustness": robustness_panels(extras.robustness),
        },
        area_plot=partial(forest, domain=_AREA[0], ticks=_AREA[1]),
        area_axis=forest_axis(*_AREA),
        share_plot=partial(forest, domain=_SHARE[0], ticks=_SHARE[1]),
        share_axis=forest_axis(*_SHARE),
        class_rule="present means a probability of at least 0.5"
        if binary
        else "the class of the largest probability",
        criteria=sorted({rule_of(check.point.criterion) for check in performance.operating_points}),
        without_point=[item.finding for item in performance if item.finding not in checked],
        facts={group.dimension: _facts(group.dimension) for group in performance.subgroups},
        least_patients=LEAST_PATIENTS,
        iou_thresholds=IOU_THRESHOLDS,
        published=results_beside(who.data, who.split),
        part_of_official=N_OFFICIAL_FILMS if official and who.n_images != N_OFFICIAL_FILMS else 0,
        own_auroc={item.finding: item.auroc.estimate for item in performance},
        finding_names=FINDING_NAMES,
        hyphenated=_HYPHENATED,
    )


def rule_of(criterion: str) -> str:
    """A criterion as a department reads it."""
    return criterion.replace(">=", "of at least").replace("_", " ")


def _facts(dimension: tuple[str, ...]) -> str:
    return " and ".join(_FACTS.get(fact, fact) for fact in dimension).capitalize()


def _identity(performance: Performance) -> list[tuple[str, Any]]:
    """What was evaluated, on what, and how."""
    who = performance.identity
    methods = sorted(Counter(who.calibration.values()).items())
    calibration = ", ".join(f"{method.replace('_', ' ')} ({n})" for method, n in methods)
    return [
        *((f"Model {key}", value) for key, value in who.model.items()),
        ("Data", who.data or "not stated"),
        ("Split", who.split or "not stated"),
        ("Labels", who.labels or "not stated"),
        ("Films, patients", f"{who.n_images:,}, {who.n_patients:,}"),
        ("Digest of films and labels", who.data_digest),
        ("Calibration", calibration or "none applied by this evaluation"),
        ("Intervals", f"patient bootstrap, {who.n_bootstrap:,} replicates, seed {who.seed}"),
    ]
