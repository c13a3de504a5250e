"""Page decisions: thresholds, what-ifs at other prevalences, and conformal flags in the report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from monai_cxr.evaluation.decisions.operating_points import CheckedOperatingPoint
from monai_cxr.evaluation.results import Performance
from monai_cxr.findings import title_of
from monai_cxr.report import plots
from monai_cxr.report.cells import interval_cell, percent_cell, value_cell


def operating_points_table(performance: Performance) -> str:
    """Thresholds with their rates on these data."""
    points = performance.operating_points
    if not points:
        return ""
    missing = [
        title_of(item.finding)
        for item in performance
        if item.finding not in {point.point.finding for point in points}
    ]
    gap = (
        f'<p class="hint">No threshold: {escape(", ".join(missing))} (no positives, or the '
        "criterion cannot be met).</p>"
        if missing
        else ""
    )
    rules = ", ".join(sorted({rule_of(point) for point in points}))
    return (
        '<section class="figure"><h2>Operating points</h2>'
        f'<p class="hint">Chosen for {escape(rules)} on the data that came with the thresholds; '
        "the rates are those on these films. PPV (NPV): the share of flagged (unflagged) films "
        "that have (lack) the finding, at the share of positives here, not elsewhere. LR: the "
        "likelihood ratio, by which a flag (or its absence) multiplies the odds of the finding.</p>"
        '<div class="scroll"><table><thead><tr><th>Finding</th>'
        "<th>Threshold</th><th>Flagged</th><th>Sensitivity<br>(95 % interval)</th>"
        "<th>Specificity<br>(95 % interval)</th><th>PPV</th><th>NPV</th><th>LR+</th><th>LR-</th>"
        f"</tr></thead><tbody>{''.join(map(_point_row, points))}</tbody></table></div>"
        f"{gap}{what_if_table(points)}</section>"
    )


def what_if_table(points: Sequence[CheckedOperatingPoint]) -> str:
    """PPV and NPV at prevalences that the reader stated; nothing where none was."""
    rows = "".join(
        f"<tr><td>{escape(title_of(point.point.finding))}</td><td>{percent_cell(prevalence)}</td>"
        f"<td>{value_cell(ppv, 3)}</td><td>{value_cell(npv, 4)}</td></tr>"
        for point in points
        for prevalence, ppv, npv in point.what_if
    )
    return (
        "<h3>What if</h3>"
        '<p class="hint">PPV and NPV at a stated prevalence, if sensitivity and specificity stay '
        "as they are here.</p>"
        '<div class="scroll"><table class="narrow"><thead><tr><th>Finding</th>'
        f"<th>Prevalence</th><th>PPV</th><th>NPV</th></tr></thead><tbody>{rows}</tbody></table>"
        "</div>"
        if rows
        else ""
    )


def conformal_table(performance: Performance) -> str:
    """Flags with what they promise and what they keep here."""
    checks = performance.conformal
    if not checks:
        return ""
    rows = "".join(
        f"<tr><td>{escape(title_of(check.rule.finding))}</td>"
        f"<td>{check.rule.rule_out_below:.4f}</td><td>{check.rule.rule_in_above:.4f}</td>"
        f"<td>{100 * (1 - check.rule.alpha):.0f} %</td>"
        f"<td>{interval_cell(check.coverage_positive, 2)}</td>"
        f"<td>{interval_cell(check.coverage_negative, 2)}</td>"
        f"<td>{percent_cell(check.decided.estimate)}</td>"
        "</tr>"
        for check in checks
    )
    return (
        "<h2>Absent, uncertain, present</h2>"
        '<p class="hint">Below the first limit a finding is called absent, above the second '
        "present, if only one of the two holds; else uncertain. Kept: the share of films with "
        "(without) the finding that are not called absent (present).</p>"
        '<div class="scroll"><table><thead><tr><th>Finding</th><th>Absent<br>below</th>'
        "<th>Present<br>above</th><th>Promised</th><th>Kept, with<br>(95 % interval)</th>"
        "<th>Kept, without<br>(95 % interval)</th><th>Decided</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{_risk_coverage(performance)}"
    )


def _risk_coverage(performance: Performance) -> str:
    drawn = "".join(
        plots.risk_coverage_panel(title_of(item.finding), performance.curves[item.finding])
        for item in performance
        if item.finding in {check.rule.finding for check in performance.conformal}
    )
    return (
        '<section class="figure"><h3>Risk and coverage</h3>'
        '<p class="hint">Share of wrong answers (up) among the films that the model is most sure '
        "of (right: their share). At the right end it answers for every film.</p>"
        f'<div class="panels">{drawn}</div></section>'
    )


def rule_of(point: CheckedOperatingPoint) -> str:
    """The criterion as a department reads it."""
    return point.point.criterion.replace(">=", "of at least").replace("_", " ")


def _point_row(point: CheckedOperatingPoint) -> str:
    rates = point.rates
    flagged = rates.true_positives + rates.false_positives
    return (
        f"<tr><td>{escape(title_of(point.point.finding))}</td>"
        f"<td>{point.point.threshold:.4f}</td>"
        f"<td>{percent_cell(flagged / max(point.n, 1))}</td>"
        f"<td>{interval_cell(point.sensitivity, 2)}</td>"
        f"<td>{interval_cell(point.specificity, 2)}</td>"
        f"<td>{value_cell(point.ppv.estimate, 2)}</td><td>{value_cell(point.npv.estimate, 3)}</td>"
        f"<td>{value_cell(rates.likelihood_ratio_positive, 1)}</td>"
        f"<td>{value_cell(rates.likelihood_ratio_negative, 2)}</td></tr>"
    )
