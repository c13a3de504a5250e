"""Report page: one self-contained HTML page of an evaluation, for the screen and for paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from monai_cxr.evaluation.localization import FindingLocalization
from monai_cxr.evaluation.page_cells import title_of
from monai_cxr.evaluation.page_sections import (
    conformal_table,
    finding_panels,
    findings_table,
    identity_list,
    limitations,
    localization_section,
    operating_points_table,
    published_table,
    robustness_section,
    subgroups_table,
)
from monai_cxr.evaluation.page_style import PAGE_STYLE
from monai_cxr.evaluation.results import Performance
from monai_cxr.evaluation.robustness import RobustnessPoint
from monai_cxr.prediction import Interval

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


@dataclass(frozen=True, slots=True)
class WorstError:
    """One film that the model got most wrong.

    Attributes:
        finding: Which finding.
        image_id: SOP Instance UID or image name.
        probability: Calibrated, in [0, 1].
        label: 0 or 1.
        thumbnail: PNG or JPEG data URI, or empty.
        heatmap: PNG data URI of the same size, or empty.
    """

    finding: str
    image_id: str
    probability: float
    label: int
    thumbnail: str = ""
    heatmap: str = ""


@dataclass(frozen=True, slots=True)
class ReportExtras:
    """What a report may show beside the performance.

    Attributes:
        worst_errors: Films, the worst first.
        localization: Heatmaps against references, by finding.
        robustness: Points of all perturbations.
    """

    worst_errors: Sequence[WorstError] = ()
    localization: Sequence[FindingLocalization] = ()
    robustness: Sequence[RobustnessPoint] = ()


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
        operating_points_table(performance),
        conformal_table(performance),
        subgroups_table(performance),
        _films(more.worst_errors),
        localization_section(more.localization),
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
        f"radiographs of {who.n_patients:,} patients{f' ({where})' if where else ''}. Intervals "
        f"are 95 %, from {who.n_bootstrap:,} resamplings of whole patients.</p></header>"
    )


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


def _films(films: Sequence[WorstError]) -> str:
    if not films:
        return ""
    return (
        "<h2>Worst errors</h2>"
        '<p class="hint">The films on which label and probability disagree most. Some are errors '
        "of the model, some of the label.</p>"
        f'<div class="films">{"".join(map(_film, films))}</div>'
    )


def _film(film: WorstError) -> str:
    pictures = [
        f'<img src="{escape(uri)}" alt="{alt}">'
        for uri, alt in ((film.thumbnail, "film"), (film.heatmap, "heatmap"))
        if uri.startswith("data:image/")  # anything else would call the network
    ]
    label = "labelled present" if film.label else "labelled absent"
    return (
        f"<figure><div>{''.join(pictures) or '<i></i>'}</div>"
        f"<figcaption><b>{escape(title_of(film.finding))}</b>, {label}, probability "
        f"{film.probability:.3f}<br>{escape(film.image_id)}</figcaption></figure>"
    )
