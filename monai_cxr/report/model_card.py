"""Model card: a bundle's ``docs/README.md``, rendered from the numbers of its evaluation."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from monai_cxr.evaluation.classification import Classification
from monai_cxr.evaluation.results import Performance
from monai_cxr.findings import title_of
from monai_cxr.prediction import Interval
from monai_cxr.report.limitations import limitation_sentences


def model_card(
    performance: Performance,
    *,
    title: str,
    description: str,
    sections: Mapping[str, str] | None = None,
) -> str:
    """Render the card.

    Args:
        performance: The numbers, and the identity of model and data.
        title: Name of the model.
        description: What it is for, in a paragraph.
        sections: Heading to Markdown, for what no number says: data, training, licence.

    Returns:
        Markdown.
    """
    who = performance.identity
    parts = [
        f"# {title}",
        description,
        "Research use, not a medical device.",
        "## Performance",
        f"{_data(performance)} Intervals are 95 %, from {who.n_bootstrap:,} resamplings of whole "
        f"patients (seed {who.seed}).",
        _findings(performance),
    ]
    if performance.classification is not None:
        parts += ["## Likeliest class", _classification(performance.classification)]
    if performance.operating_points:
        parts += ["## Operating points", _operating_points(performance)]
    if performance.subgroups:
        parts += ["## Subgroups", _subgroups(performance)]
    if performance.warnings:
        parts += ["## Read this first", _list(performance.warnings)]
    parts += ["## Limitations", _list(limitation_sentences(performance))]
    for heading, text in (sections or {}).items():
        parts += [f"## {heading}", text.strip()]
    parts += ["## Identity", _identity(performance)]
    return "\n\n".join(parts) + "\n"


def with_performance(readme: str, performance: Performance) -> str:
    """A bundle's README with its section "Performance" replaced by these numbers.

    Args:
        readme: Markdown; without such a section it is added at the end.
        performance: The numbers.

    Returns:
        Markdown; all other sections stay as they are.
    """
    who = performance.identity
    parts = [
        "## Performance",
        f"{_data(performance)} Intervals are 95 %, from {who.n_bootstrap:,} resamplings of whole "
        f"patients (seed {who.seed}).",
        _findings(performance),
    ]
    if performance.classification is not None:
        parts += ["### Likeliest class", _classification(performance.classification)]
    if performance.operating_points:
        parts += ["### Operating points", _operating_points(performance)]
    if performance.subgroups:
        parts += ["### Subgroups", _subgroups(performance)]
    parts += ["### Limitations", _list([*performance.warnings, *limitation_sentences(performance)])]
    parts += ["### Identity", _identity(performance)]
    section = "\n\n".join(parts) + "\n\n"
    found = re.search(r"^## Performance$.*?(?=^#{1,2} |\Z)", readme, re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{readme.rstrip()}\n\n{section}"
    return readme[: found.start()] + section + readme[found.end() :]


def _data(performance: Performance) -> str:
    who = performance.identity
    name = ", ".join(part for part in (who.data, who.split) if part) or "Data not stated"
    return f"{name}: {who.n_images:,} films of {who.n_patients:,} patients."


def _findings(performance: Performance) -> str:
    macro = performance.macro
    rows = [
        (
            title_of(item.finding),
            f"{item.n_positive:,}",
            str(item.auroc),
            str(item.average_precision),
            _number(item.ece.estimate),
        )
        for item in performance
    ]
    rows.append(
        (
            "**Mean**",
            "",
            str(macro.auroc),
            str(macro.average_precision),
            _number(macro.ece.estimate),
        )
    )
    return _table(("Finding", "Positive", "AUROC", "Average precision", "ECE"), rows)


def _classification(found: Classification) -> str:
    rates = (
        ("Accuracy", found.accuracy),
        ("Balanced accuracy", found.balanced_accuracy),
        ("Cohen's kappa", found.kappa),
        *((f"Found: {title_of(name)}", rate) for name, rate in found.recall.items()),
    )
    return _table(("Measure", "Value"), [(name, str(rate)) for name, rate in rates])


def _operating_points(performance: Performance) -> str:
    rows = [
        (
            title_of(point.point.finding),
            point.point.criterion,
            f"{point.point.threshold:.4f}",
            _percent(point.sensitivity),
            _percent(point.specificity),
        )
        for point in performance.operating_points
    ]
    return _table(("Finding", "Criterion", "Threshold", "Sensitivity", "Specificity"), rows)


def _subgroups(performance: Performance) -> str:
    rows = [
        (
            ", ".join(group.level),
            f"{group.n:,}",
            str(group.n_findings),
            str(group.macro_auroc) if group.n_findings else "too few to show",
        )
        for group in performance.subgroups
        if len(group.dimension) == 1
    ]
    return _table(("Group", "Films", "Findings", "Mean AUROC"), rows)


def _identity(performance: Performance) -> str:
    who = performance.identity
    rows = [(f"Model {key}", value) for key, value in who.model.items()]
    rows += [("Labels", who.labels or "not stated"), ("Films and labels", who.data_digest)]
    return _table(("What", "Value"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _number(value: float) -> str:
    return "not estimable" if math.isnan(value) else f"{value:.3f}"


def _percent(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return "not estimable"
    if math.isnan(interval.low):
        return f"{100 * interval.estimate:.0f} %"
    return f"{100 * interval.estimate:.0f} % ({100 * interval.low:.0f}-{100 * interval.high:.0f})"
