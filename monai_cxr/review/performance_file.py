"""Performance file: what ``performance.json`` says of a bundle, as the model page shows it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from monai_cxr.evaluation.decisions.conformal import ConformalRule
from monai_cxr.evaluation.json_values import interval_from_json
from monai_cxr.findings import FINDINGS
from monai_cxr.prediction import Interval
from monai_cxr.report.performance_schema import PERFORMANCE_SCHEMA
from monai_cxr.review.cases import urgency_of
from monai_cxr.review.words import percent

_NAME = "performance.json"
_RARE = 30


@dataclass(frozen=True, slots=True)
class PerformanceFile:
    """A ``performance.json`` that belongs to a model.

    Attributes:
        content: The parsed file; see ``docs/reference/performance-json.md``.
        path: Where it lies.
    """

    content: Mapping[str, Any]
    path: Path

    @property
    def findings(self) -> list[str]:
        """Names, the most urgent first."""
        return sorted(self.content["findings"], key=lambda name: (urgency_of(name), name))


def find_performance(bundle: Path, digest: str) -> PerformanceFile | None:
    """The performance of a model: in the bundle, or in the report beside it.

    Args:
        bundle: Folder of the bundle.
        digest: Of the model; a file about another model is left alone.

    Returns:
        The first valid file whose model has this digest, or None.
    """
    places = (bundle / "models", bundle / "docs", bundle, bundle.parent / "report")
    for place in places:
        path = place / _NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            jsonschema.validate(content, PERFORMANCE_SCHEMA)
        except (OSError, ValueError, jsonschema.ValidationError):
            continue
        if content["model"].get("digest") == digest and content["findings"]:
            return PerformanceFile(content, path)
    return None


def conformal_rules(performance: PerformanceFile | None) -> dict[str, ConformalRule]:
    """Rules for absent, uncertain and present over all images, by finding."""
    if performance is None:
        return {}
    rules = [ConformalRule.from_json(item["rule"]) for item in performance.content["conformal"]]
    return {rule.finding: rule for rule in rules if not rule.group}


def performance_rows(performance: PerformanceFile) -> list[dict[str, str]]:
    """One row a finding: how well it is told apart, and how honest its probability is."""
    rows = []
    for name in performance.findings:
        item = performance.content["findings"][name]
        rows.append(
            {
                "Finding": FINDINGS[name].title if name in FINDINGS else name,
                "AUROC (95 %)": _words(item["auroc"]),
                "Average precision (95 %)": _words(item["average_precision_interval"]),
                "Prevalence": percent(item["prevalence"]) if item["prevalence"] else "-",
                "Calibration error (95 %)": _words(item["ece_interval"]),
                "Films": f"{item['n']:,}",
                "With it": f"{item['n_positive']:,}",
            }
        )
    return rows


def subgroup_rows(performance: PerformanceFile) -> list[dict[str, str]]:
    """One row a subgroup: its macro AUROC, and its gap to the reference group."""
    return [
        {
            "Group": ", ".join(
                f"{dimension}: {level}"
                for dimension, level in zip(group["dimension"], group["level"], strict=False)
            ),
            "Macro AUROC (95 %)": _words(group["macro_auroc"]),
            "Gap to the reference (95 %)": _words(group["gap"]) if group["gap"] else "reference",
            "Films": f"{group['n']:,}",
            "Patients": f"{group['n_patients']:,}",
        }
        for group in performance.content["subgroups"]
    ]


def _words(value: Mapping[str, float | None] | None) -> str:
    interval = interval_from_json(value) if value else Interval(math.nan)
    return "-" if math.isnan(interval.estimate) else str(interval)


def headline(performance: PerformanceFile) -> list[tuple[str, str, str]]:
    """(name, value, detail) of the numbers at the top."""
    macro, data = performance.content["macro"], performance.content["data"]
    auroc = interval_from_json(macro["auroc"])
    ece = math.nan if macro["ece"] is None else macro["ece"]
    return [
        ("Macro AUROC", f"{auroc.estimate:.3f}", f"95 % {auroc.low:.3f} to {auroc.high:.3f}"),
        ("Calibration error", f"{ece:.3f}", "mean ECE; 0 is perfect"),
        ("Films", f"{data['n_images']:,}", f"of {data['n_patients']:,} patients"),
        ("Data", str(data["name"] or "not stated"), str(data["split"] or "split not stated")),
    ]


def reliability_points(performance: PerformanceFile, finding: str) -> list[dict[str, float]]:
    """Bins of a finding's reliability curve: what was said, what was found, and how many films."""
    curve = performance.content["curves"].get(finding, {}).get("reliability", {})
    columns = (curve.get("predicted", ()), curve.get("observed", ()), curve.get("counts", ()))
    return [
        {"predicted": predicted, "observed": observed, "films": films}
        for predicted, observed, films in zip(*columns, strict=True)
        if predicted is not None and observed is not None
    ]


def limitations(performance: PerformanceFile) -> list[str]:
    """What the numbers do not say, in sentences."""
    content = performance.content
    rare = [
        FINDINGS[name].title if name in FINDINGS else name
        for name in performance.findings
        if 0 < (content["findings"][name]["n_positive_patients"] or 0) < _RARE
    ]
    sentences = [
        *map(str, content["warnings"]),
        "Intervals cover the choice of patients, not the training of the model or errors in the "
        "labels.",
        "PPV, NPV and calibration move with the share of positives: judge them at your own "
        "prevalence.",
        "The model reads frontal films of adults; what is out of its scope is refused.",
    ]
    if rare:
        sentences.append(f"Fewer than {_RARE} positive patients: {', '.join(rare)}.")
    return sentences
