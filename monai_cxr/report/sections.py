"""Page sections: the tables and small multiples of the report, each from the same numbers."""

from __future__ import annotations

import math
from html import escape
from itertools import groupby

from monai_cxr.evaluation.results import FindingPerformance, Performance
from monai_cxr.evaluation.subgroups import LEAST_PATIENTS, Subgroup
from monai_cxr.findings import title_of
from monai_cxr.report import plots
from monai_cxr.report.cells import (
    interval_cell,
    percent_cell,
    signed_cell,
    value_cell,
)
from monai_cxr.report.limitations import limitation_sentences

_AREA = (0.5, 1.0)
_AREA_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_FACTS = {
    "age": "Age in years",
    "sex": "Sex",
    "view": "View",
    "manufacturer": "Maker or site",
    "follow_up": "Film of the patient",
}


def findings_table(performance: Performance) -> str:
    """The main table: one row a finding, AUROC as number and forest plot."""
    macro = performance.macro
    axis = plots.forest_axis(_AREA, _AREA_TICKS)
    mean = (
        f'<tr class="mean"><td>Mean</td><td></td><td></td>'
        f'<td class="plot">{plots.forest(macro.auroc, _AREA, _AREA_TICKS, mean=True)}</td>'
        f"<td>{interval_cell(macro.auroc)}</td><td>{interval_cell(macro.average_precision)}</td>"
        f"<td>{value_cell(macro.brier.estimate)}</td><td>{value_cell(macro.ece.estimate)}</td>"
        "<td></td><td></td></tr>"
    )
    return (
        "<h2>Findings</h2>"
        '<p class="hint">The dashed line is chance. ECE is the mean gap between probability and '
        "outcome; beside it, what perfect calibration would show on so few films. A slope of 1 is "
        "right; below 1 the model is too sure of itself. Brier: the mean squared error of the "
        "probability. Average precision: its chance level is the share of positives.</p>"
        '<div class="scroll"><table><thead><tr><th>Finding</th><th>Positive</th><th>Share</th>'
        f'<th class="plot">AUROC{axis}</th><th>AUROC<br>(95 % interval)</th>'
        "<th>Average precision<br>(95 % interval)</th><th>Brier</th><th>ECE</th>"
        "<th>ECE by<br>chance</th><th>Slope</th></tr></thead><tbody>"
        + "".join(map(_finding_row, performance))
        + mean
        + "</tbody></table></div>"
    )


def finding_panels(performance: Performance) -> str:
    """Reliability, ROC, precision-recall and decision curves as small multiples."""
    figures = panels(performance)
    return "".join(
        f'<section class="figure"><h2>{heading}</h2><p class="hint">{hint}</p><div class="panels">'
        f"{''.join(figures[name])}</div></section>"
        for name, heading, hint in (
            (
                "reliability",
                "Reliability",
                "Observed share of positives (up) over mean probability (right), in 15 bins of "
                "equally many films, with 95 % bars. On the dashed line a probability means what "
                "it says. The axes have a square-root scale, so that rare findings can be read.",
            ),
            ("roc", "ROC curves", "Sensitivity (up) over 1 - specificity (right)."),
            (
                "precision_recall",
                "Precision and recall",
                "Precision (up) over recall (right); dashed: the share of positives, which is "
                "chance.",
            ),
            (
                "decision",
                "Decision curves",
                "Net benefit (up) over the probability at which one would act (right).<br>"
                '<span class="key"></span>model &ensp;<span class="key other"></span>act on all '
                '&ensp;<span class="key chance"></span>act on none.',
            ),
        )
    )


def panels(performance: Performance) -> dict[str, list[str]]:
    """The SVG panels of each figure, one a finding."""
    rows = [(title_of(item.finding), item) for item in performance]
    curves = performance.curves
    return {
        "reliability": [
            plots.reliability_panel(title, curves[item.finding], item.ece) for title, item in rows
        ],
        "roc": [plots.roc_panel(title, curves[item.finding], item.auroc) for title, item in rows],
        "precision_recall": [
            plots.precision_recall_panel(
                title, curves[item.finding], item.average_precision, item.prevalence
            )
            for title, item in rows
        ],
        "decision": [
            plots.decision_panel(title, curves[item.finding], item.prevalence)
            for title, item in rows
        ],
    }


def subgroups_table(performance: Performance) -> str:
    """Mean AUROC by subgroup, with the gap to the largest group."""
    groups = performance.subgroups
    if not groups:
        return ""
    rows = []
    for dimension, members in groupby(groups, key=lambda group: group.dimension):
        name = " and ".join(_FACTS.get(fact, fact) for fact in dimension)
        rows.append(
            f'<tbody class="group"><tr class="head"><td colspan="7">{escape(name.capitalize())}'
            f"</td></tr>{''.join(map(_group_row, members))}</tbody>"
        )
    axis = plots.forest_axis(_AREA, _AREA_TICKS)
    return (
        "<h2>Subgroups</h2>"
        '<p class="hint">Mean AUROC over the findings with at least '
        f"{LEAST_PATIENTS} positive and {LEAST_PATIENTS} negative patients in the group; smaller "
        "ones are suppressed. The gap is to the largest group, over the findings that both have. "
        "Many looks: a gap or two outside zero is expected by chance.</p>"
        '<div class="scroll"><table><thead><tr><th>Group</th><th>Films</th><th>Patients</th>'
        f'<th>Findings</th><th class="plot">Mean AUROC{axis}</th><th>Mean AUROC<br>(95 % interval)'
        f"</th><th>Gap<br>(95 % interval)</th></tr></thead>{''.join(rows)}</table>"
        "</div>"
    )


def identity_list(performance: Performance) -> str:
    """What was evaluated, on what, and how."""
    who = performance.identity
    methods = sorted(set(who.calibration.values()))
    calibration = (
        ", ".join(
            f"{m.replace('_', ' ')} ({list(who.calibration.values()).count(m)})" for m in methods
        )
        if methods
        else "none applied by this evaluation"
    )
    rows = [
        *((f"Model {key}", value) for key, value in who.model.items()),
        ("Data", who.data or "not stated"),
        ("Split", who.split or "not stated"),
        ("Labels", who.labels or "not stated"),
        ("Films, patients", f"{who.n_images:,}, {who.n_patients:,}"),
        ("Digest of films and labels", who.data_digest),
        ("Calibration", calibration),
        ("Intervals", f"patient bootstrap, {who.n_bootstrap:,} replicates, seed {who.seed}"),
    ]
    entries = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in rows)
    return f"<h2>Model, data and method</h2><dl>{entries}</dl>"


def limitations(performance: Performance) -> str:
    """What these numbers do not say, as a list."""
    items = "".join(f"<li>{escape(item)}</li>" for item in limitation_sentences(performance))
    return f'<h2>Limitations</h2><ul class="limits">{items}</ul>'


def _finding_row(item: FindingPerformance) -> str:
    floor = "" if math.isnan(item.ece_floor) else f"<small>{item.ece_floor:.3f}</small>"
    return (
        f"<tr><td>{escape(title_of(item.finding))}</td><td>{item.n_positive:,}</td>"
        f"<td>{percent_cell(item.prevalence)}</td>"
        f'<td class="plot">{plots.forest(item.auroc, _AREA, _AREA_TICKS)}</td>'
        f"<td>{interval_cell(item.auroc)}</td><td>{interval_cell(item.average_precision)}</td>"
        f"<td>{value_cell(item.brier.estimate)}</td><td>{value_cell(item.ece.estimate)}</td>"
        f"<td>{floor}</td><td>{value_cell(item.calibration_slope, 2)}</td></tr>"
    )


def _group_row(group: Subgroup) -> str:
    same = group.level == group.reference
    gap = "<small>reference</small>" if same else signed_cell(group.gap)
    area = (
        interval_cell(group.macro_auroc) if group.n_findings else "<small>too few to show</small>"
    )
    return (
        f"<tr><td>{escape(', '.join(group.level))}</td><td>{group.n:,}</td>"
        f"<td>{group.n_patients:,}</td><td>{group.n_findings}</td>"
        f'<td class="plot">{plots.forest(group.macro_auroc, _AREA, _AREA_TICKS)}</td>'
        f"<td>{area}</td><td>{gap}</td></tr>"
    )
