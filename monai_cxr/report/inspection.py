"""Page inspection: the sections that need the films: worst errors, localization, robustness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from monai_cxr.evaluation.robustness import RobustnessPoint, robustness_to_json
from monai_cxr.evaluation.statistics.localization import IOU_THRESHOLDS, FindingLocalization
from monai_cxr.evaluation.statistics.perturbation import PERTURBATIONS
from monai_cxr.findings import title_of
from monai_cxr.report import plots
from monai_cxr.report.cells import interval_cell, percent_cell


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
        method: How the maps were made.
    """

    worst_errors: Sequence[WorstError] = ()
    localization: Sequence[FindingLocalization] = ()
    robustness: Sequence[RobustnessPoint] = ()
    method: str = ""

    def to_json(self) -> dict[str, object]:
        """The value of ``inspection.json``: the same without pictures."""
        errors = [
            {
                "finding": film.finding,
                "image_id": film.image_id,
                "probability": film.probability,
                "label": film.label,
            }
            for film in self.worst_errors
        ]
        return {
            "format": "monai_cxr inspection",
            "schema_version": "1.0",
            "method": self.method,
            "worst_errors": errors,
            "localization": [item.to_json() for item in self.localization],
            "robustness": robustness_to_json(self.robustness),
        }


def worst_errors_section(films: Sequence[WorstError], method: str = "") -> str:
    """Films with their maps."""
    if not films:
        return ""
    return (
        "<h2>Worst errors</h2>"
        '<p class="hint">The films on which label and probability disagree most. Some are errors '
        "of the model, some of the label. Right, where there is one, the map of what the model "
        f"used{f' ({escape(method)})' if method else ''}: yellow most; nothing where it speaks "
        "against the finding.</p>"
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


def localization_section(results: Sequence[FindingLocalization], method: str = "") -> str:
    """Pointing game and IoU by finding; ``method`` names the maps."""
    if not results:
        return ""
    rows = "".join(
        f"<tr><td>{escape(title_of(item.finding))}</td><td>{item.n}</td>"
        f'<td class="plot">{plots.forest(item.pointing, (0.0, 1.0), (0.0, 0.5, 1.0))}</td>'
        f"<td>{interval_cell(item.pointing)}</td><td>{item.by_chance:.3f}</td>"
        f"<td>{interval_cell(item.mean_iou)}</td>"
        + "".join(f"<td>{percent_cell(share.estimate)}</td>" for share in item.iou_above)
        + "</tr>"
        for item in results
    )
    axis = plots.forest_axis((0.0, 1.0), (0.0, 0.5, 1.0))
    limits = "".join(f"<th>IoU<br>\N{GREATER-THAN OR EQUAL TO} {t:g}</th>" for t in IOU_THRESHOLDS)
    return (
        "<h2>Localization</h2>"
        f'<p class="hint">{f"Maps by {escape(method)}. " if method else ""}Hits: the hottest pixel '
        "lies in the reference (pointing game); by chance: the share of the film that the "
        "reference covers. IoU: overlap of reference and hottest region, as large as the "
        "reference, over their union; beside it the share of films above a limit.</p>"
        '<div class="scroll"><table><thead><tr><th>Finding</th><th>Films</th>'
        f'<th class="plot">Hits{axis}</th><th>Hits<br>(95 % interval)</th><th>by chance</th>'
        f"<th>Mean IoU<br>(95 % interval)</th>{limits}</tr></thead><tbody>{rows}</tbody></table>"
        "</div>"
    )


def robustness_section(points: Sequence[RobustnessPoint]) -> str:
    """Change of AUROC under each perturbation: the mean with intervals, each finding as a line."""
    macro = [point for point in points if point.finding == "macro"]
    if not macro:
        return ""
    drawn = []
    for name in dict.fromkeys(point.perturbation for point in macro):
        mine = [point for point in macro if point.perturbation == name]
        unit = PERTURBATIONS[name].unit if name in PERTURBATIONS else "amount"
        amounts = np.array([point.amount for point in mine])
        changes = [point.auroc_change for point in mine]
        drawn.append(
            plots.change_panel(name.capitalize(), amounts, changes, unit, _each(points, name))
        )
    return (
        '<section class="figure"><h2>Robustness</h2>'
        '<p class="hint">Change of AUROC (up) when the films are perturbed by the amount shown '
        "(right): the mean with 95 % bars, and a thin line for each finding.</p>"
        f'<div class="panels">{"".join(drawn)}</div></section>'
    )


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
