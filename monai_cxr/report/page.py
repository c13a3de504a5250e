"""Report page: one self-contained HTML page of an evaluation, for the screen and for paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from monai_cxr.evaluation.results import Performance
from monai_cxr.prediction import Interval
from monai_cxr.report.classification import classification_section
from monai_cxr.report.decisions import conformal_table, operating_points_table
from monai_cxr.report.inspection import (
    ReportExtras,
    localization_section,
    robustness_section,
    worst_errors_section,
)
from monai_cxr.report.published_page import published_table
from monai_cxr.report.sections import (
    finding_panels,
    findings_table,
    identity_list,
    limitations,
    subgroups_table,
)
from monai_cxr.report.style import PAGE_STYLE

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def render_page(performance: Performance, extras: ReportExtras | None = None) -> str:
    """Render the page.

    Args:
        performance: The numbers.
        extras: Films, localization and robustness, where the caller has them.

    Returns:
        HTML that needs no other file and no network.
    """
    more = extras or ReportExtras()
    name = performance.identity.model.get("name") or "Chest radiograph model"
    sections = [
        _header(performance, name),
        _tiles(performance),
        _warnings(performance.warnings),
        findings_table(performance),
        limitations(performance),
        identity_list(performance),
        finding_panels(performance),
        classification_section(performance),
        operating_points_table(performance),
        conformal_table(performance),
        subgroups_table(performance),
        worst_errors_section(more.worst_errors, more.method),
        localization_section(more.localization, more.method),
        robustness_section(more.robustness),
        published_table(performance),
        "<footer>Research use, not a medical device.</footer>",
    ]
    return _PAGE.format(
        title=escape(f"{name}: performance"), style=PAGE_STYLE, body="\n".join(sections)
    )


def _header(performance: Performance, name: str) -> str:
    who = performance.identity
    where = ", ".join(escape(part) for part in (who.data, who.split) if part)
    when = f", {escape(who.created)}" if who.created else ""
    version = who.model.get("version", "")
    return (
        f'<header><p class="kicker">Performance report{when}</p>'
        f"<h1>{escape(name)}{escape(f' {version}') if version else ''}</h1>"
        f'<p class="lead">{len(performance.findings)} findings on {who.n_images:,} frontal chest '
        f"radiographs of {who.n_patients:,} patients{f' ({where})' if where else ''}. "
        f"{_intervals(who.n_bootstrap)}</p></header>"
    )


def _intervals(n_bootstrap: int) -> str:
    if not n_bootstrap:
        return "No intervals were asked for, or none can be given."
    return f"Intervals are 95 %, from {n_bootstrap:,} resamplings of whole patients."


def _tiles(performance: Performance) -> str:
    macro = performance.macro
    raw = macro.ece_uncalibrated
    before = "adaptive ECE" if math.isnan(raw) else f"ECE; {raw:.3f} uncalibrated"
    tiles = (
        ("Mean AUROC", *_large(macro.auroc), f"of {len(macro.findings)} findings"),
        ("Any finding, AUROC", *_large(performance.any_finding.auroc), "is the film abnormal?"),
        ("Mean average precision", *_large(macro.average_precision), "chance is the prevalence"),
        ("Mean calibration error", *_large(macro.ece), before),
    )
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><span>{label}</span><b>{value}</b>'
            f"<span>{bounds}</span><span>{hint}</span></div>"
            for label, value, bounds, hint in tiles
        )
        + "</div>"
    )


def _large(interval: Interval) -> tuple[str, str]:
    if math.isnan(interval.estimate):
        return "–", "not estimable"
    if math.isnan(interval.low):
        return f"{interval.estimate:.3f}", "no interval"
    return f"{interval.estimate:.3f}", f"{interval.low:.3f} to {interval.high:.3f}"


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings" role="note"><b>Read this first</b><ul>{items}</ul></div>'
