"""Performance file: what ``performance.json`` says of a bundle, as the model page shows it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.decisions.conformal import ConformalRule
from monai_cxr.evaluation.json_values import read_as
from monai_cxr.evaluation.results import Performance
from monai_cxr.findings import title_of
from monai_cxr.prediction import Interval
from monai_cxr.report.limitations import limitation_sentences
from monai_cxr.review.cases import urgency_of
from monai_cxr.review.words import percent

_NAME = "performance.json"
_INSPECTION = ("inspection.json", "monai_cxr inspection")


@dataclass(frozen=True, slots=True)
class PerformanceFile:
    """A ``performance.json`` that belongs to a model.

    Attributes:
        content: What it says; see ``docs/reference/performance-json.md``.
        path: Where it is.
    """

    content: Performance
    path: Path

    @property
    def findings(self) -> list[str]:
        """Names, the most urgent first."""
        names = (item.finding for item in self.content)
        return sorted(names, key=lambda name: (urgency_of(name), name))


def find_performance(bundle: Path, digest: str) -> PerformanceFile | None:
    """The performance of a model: in the bundle, or in the report beside it.

    Args:
        bundle: Folder of the bundle.
        digest: Digest of the model; a file about another model is left alone.

    Returns:
        The first valid file whose model has this digest, or None.
    """
    places = (bundle / "models", bundle / "docs", bundle, bundle.parent / "report")
    for place in places:
        path = place / _NAME
        try:
            content = Performance.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, SettingsError):
            continue
        if content.identity.model.get("digest") == digest and content.findings:
            return PerformanceFile(content, path)
    return None


def conformal_rules(performance: PerformanceFile | None) -> dict[str, ConformalRule]:
    """Rules for absent, uncertain and present over all images, by finding."""
    if performance is None:
        return {}
    rules = (check.rule for check in performance.content.conformal)
    return {rule.finding: rule for rule in rules if not rule.group}


def performance_rows(performance: PerformanceFile) -> list[dict[str, str]]:
    """One row for each finding: discrimination and calibration."""
    rows = []
    for name in performance.findings:
        item = performance.content[name]
        rows.append(
            {
                "Finding": title_of(name),
                "AUROC (95 %)": _words(item.auroc),
                "Average precision (95 %)": _words(item.average_precision),
                "Prevalence": percent(item.prevalence) if item.n_positive else "-",
                "Calibration error (95 %)": _words(item.ece),
                "Films": f"{item.n:,}",
                "With it": f"{item.n_positive:,}",
            }
        )
    return rows


def subgroup_rows(performance: PerformanceFile) -> list[dict[str, str]]:
    """One row a subgroup: its macro AUROC, and its gap to the reference group."""
    return [
        {
            "Group": ", ".join(
                f"{dimension}: {level}"
                for dimension, level in zip(group.dimension, group.level, strict=False)
            ),
            "Macro AUROC (95 %)": _words(group.macro_auroc),
            "Gap to the reference (95 %)": (
                "reference" if group.level == group.reference else _words(group.gap)
            ),
            "Films": f"{group.n:,}",
            "Patients": f"{group.n_patients:,}",
        }
        for group in performance.content.subgroups
    ]


def _words(interval: Interval) -> str:
    return "-" if math.isnan(interval.estimate) else str(interval)


def headline(performance: PerformanceFile) -> list[tuple[str, str, str]]:
    """(name, value, detail) of the numbers at the top."""
    macro, who = performance.content.macro, performance.content.identity
    auroc = macro.auroc
    return [
        ("Macro AUROC", f"{auroc.estimate:.3f}", f"95 % {auroc.low:.3f} to {auroc.high:.3f}"),
        ("Calibration error", f"{macro.ece.estimate:.3f}", "mean ECE; 0 is perfect"),
        ("Films", f"{who.n_images:,}", f"of {who.n_patients:,} patients"),
        ("Data", who.data or "not stated", who.split or "split not stated"),
    ]


def reliability_points(performance: PerformanceFile, finding: str) -> list[dict[str, float]]:
    """Bins of a finding's reliability curve: what was said, what was found, and how many films."""
    curves = performance.content.curves.get(finding)
    if curves is None:
        return []
    bins = curves.reliability
    return [
        {"predicted": predicted, "observed": observed, "films": films}
        for predicted, observed, films in zip(
            bins.predicted.tolist(), bins.observed.tolist(), bins.counts.tolist(), strict=True
        )
        if not (math.isnan(predicted) or math.isnan(observed))
    ]


def limitations(performance: PerformanceFile) -> list[str]:
    """What a reader must know first, and what the numbers do not say, in sentences."""
    return [*performance.content.warnings, *limitation_sentences(performance.content)]


@dataclass(frozen=True, slots=True)
class Localized:
    """How often the hottest point of a finding's map lay in the reference.

    Attributes:
        n: Films with a reference.
        pointing: Share of hits, with a 95 % interval.
        by_chance: Share that a random point would hit.
    """

    n: int
    pointing: Interval
    by_chance: float

    @property
    def shown(self) -> bool:
        """Whether hits are more than chance, so that a box may be drawn."""
        return self.pointing.low > self.by_chance

    @property
    def sentence(self) -> str:
        """What it means for a reader."""
        low, high = percent(self.pointing.low), percent(self.pointing.high)
        seen = (
            f"on {self.n} films with reference boxes its hottest point was inside in "
            f"{percent(self.pointing.estimate)} ({low} to {high}), by chance in "
            f"{percent(self.by_chance)}"
        )
        if self.shown:
            return f"Place: {seen}. Key b draws its box."
        return f"Place: {seen}: not more than chance, so no box is drawn."


UNKNOWN = "Place: it was not measured whether its map points to the finding, so no box is drawn."


def localized_findings(performance: PerformanceFile | None) -> Mapping[str, Localized]:
    """Localization by finding; empty without the file beside ``performance.json``."""
    if performance is None:
        return {}
    try:
        name, kind = _INSPECTION
        content = json.loads(performance.path.with_name(name).read_text(encoding="utf-8"))
        if content["format"] != kind:
            return {}
        return {
            str(item["finding"]): read_as(Localized, item, "localization")
            for item in content["localization"]
        }
    except (OSError, ValueError, KeyError, TypeError, SettingsError):
        return {}
