"""Plots: small SVG panels, drawn by hand, that mean the same on screen, in print and in grey.

Colours are Okabe and Ito's, which colour-blind readers tell apart; nothing is said by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.curves import FindingCurves
from monai_cxr.prediction import Interval
from monai_cxr.report.plot_frame import (
    FOREST,
    FOREST_SPAN,
    PANEL,
    PLOT_STYLE,
    PlotFrame,
    Scale,
    nice_end,
    short,
    svg_element,
)

Floats = NDArray[np.float64]


def forest(
    interval: Interval,
    domain: tuple[float, float],
    ticks: Sequence[float] = (),
    *,
    mean: bool = False,
    dashed: float | None = None,
) -> str:
    """An interval as a dot with a whisker, for a row of a table.

    Args:
        interval: What to draw.
        domain: Values of the left and right end.
        ticks: Values with a faint line.
        mean: Draw a diamond as wide as the interval, as for a mean over rows.
        dashed: Value of the dashed line; the left end, which is chance, by default.

    Returns:
        An SVG element.
    """
    x = Scale(domain, FOREST_SPAN)
    lines = "".join(f"M{x(tick)} 0V24" for tick in ticks)
    parts = [f'<path class="grid" d="{lines}"/>'] if lines else []
    nothing = domain[0] if dashed is None else dashed
    parts.append(f'<path class="chance" d="M{x(nothing)} 0V24"/>')
    at, low, high = x(interval.estimate), x(interval.low), x(interval.high)
    if math.isnan(interval.estimate):
        return svg_element(FOREST, "".join(parts), "not estimable")
    if math.isnan(interval.low):
        parts.append(f'<circle class="hollow" cx="{at}" cy="12" r="3.6"/>')
    elif mean:
        low, high = min(low, at - 4), max(high, at + 4)
        parts.append(f'<path class="mean" d="M{low} 12L{at} 6L{high} 12L{at} 18Z"/>')
    else:
        parts.append(f'<path class="whisker" d="M{low} 12H{high}"/>')
        parts.append(f'<circle class="dot" cx="{at}" cy="12" r="4"/>')
    return svg_element(FOREST, "".join(parts), str(interval))


def forest_axis(domain: tuple[float, float], ticks: Sequence[float]) -> str:
    """The axis above a column of :func:`forest`."""
    x = Scale(domain, FOREST_SPAN)
    marks = "".join(
        f'<text class="tick" x="{x(tick)}" y="10" text-anchor="middle">{short(tick)}</text>'
        for tick in ticks
    )
    return svg_element((FOREST[0], 13.0), marks, "axis")


def roc_panel(title: str, curves: FindingCurves, area: Interval) -> str:
    """ROC of one finding with the chance line; title and AUROC above."""
    frame = PlotFrame((0.0, 1.0), (0.0, 1.0))
    if not len(curves.fpr):
        return frame.panel(title, "no AUROC", frame.missing())
    line = frame.path(curves.fpr, curves.tpr)
    body = (
        frame.grid()
        + f'<path class="area" d="{line}L{frame.x(1.0)} {frame.y(0.0)}Z"/>'
        + f'<path class="chance" d="{frame.path([0.0, 1.0], [0.0, 1.0])}"/>'
        + f'<path class="line" d="{line}"/>'
    )
    return frame.panel(title, f"AUROC {_plain(area)}", body)


def precision_recall_panel(
    title: str, curves: FindingCurves, area: Interval, prevalence: float
) -> str:
    """Precision over recall of one finding, with the prevalence as the chance line."""
    frame = PlotFrame((0.0, 1.0), (0.0, 1.0))
    if not len(curves.recall):
        return frame.panel(title, "no AP", frame.missing())
    body = (
        frame.grid()
        + f'<path class="chance" d="{frame.path([0.0, 1.0], [prevalence, prevalence])}"/>'
        + f'<path class="line" d="{frame.path(curves.recall, curves.precision)}"/>'
    )
    return frame.panel(title, f"AP {_plain(area)}", body)


def reliability_panel(title: str, curves: FindingCurves, ece: Interval) -> str:
    """Observed share over mean probability by bin; larger dots are more films.

    The bars are 95 % intervals over patients. Both axes have a square-root scale and end at the
    largest bin, rounded up: the probabilities of rare findings crowd near 0. The diagonal stays the
    diagonal.
    """
    bins = curves.reliability
    if not len(bins.counts):
        frame = PlotFrame((0.0, 1.0), (0.0, 1.0))
        return frame.panel(title, "no labels", frame.missing())
    end = nice_end(max(float(bins.predicted.max()), float(bins.observed.max())))
    frame = PlotFrame((0.0, end), (0.0, end), root=True)
    radii = 1.2 + 1.9 * np.sqrt(bins.counts / bins.counts.max())
    marks = "".join(
        frame.whisker(x, Interval(y, low, high))
        + f'<circle class="dot" cx="{frame.x(x)}" cy="{frame.y(y)}" r="{radius:.1f}"/>'
        for x, y, low, high, radius in zip(
            bins.predicted,
            bins.observed,
            curves.observed_low,
            curves.observed_high,
            radii,
            strict=True,
        )
    )
    chance = f'<path class="chance" d="{frame.path([0.0, end], [0.0, end])}"/>'
    note = f"ECE {ece.estimate:.3f}, {_count(bins.counts)} a bin"
    return frame.panel(title, note, frame.grid() + chance + marks)


def decision_panel(title: str, curves: FindingCurves, prevalence: float) -> str:
    """Net benefit over threshold probability: the model, acting on all, acting on none."""
    top = nice_end(max(prevalence, 1e-3)) if not math.isnan(prevalence) else 1.0
    thresholds = curves.decision_thresholds
    frame = PlotFrame((0.0, float(thresholds[-1])), (-0.2 * top, top))
    if math.isnan(prevalence):
        return frame.panel(title, "no labels", frame.missing())
    inside = curves.net_benefit_all >= -0.2 * top
    zero = f'<path class="chance" d="{frame.path(frame.x.domain, (0.0, 0.0))}"/>'
    everyone = frame.path(thresholds[inside], curves.net_benefit_all[inside])
    body = (
        zero
        + (f'<path class="other" d="{everyone}"/>' if inside.any() else "")
        + f'<path class="line" d="{frame.path(thresholds, curves.net_benefit)}"/>'
    )
    return frame.panel(title, f"{100 * prevalence:.1f} % positive", body, low_y=0.0)


def risk_coverage_panel(title: str, curves: FindingCurves) -> str:
    """Share of wrong answers over the share of films answered, the surest first."""
    if not len(curves.coverage):
        frame = PlotFrame((0.0, 1.0), (0.0, 1.0))
        return frame.panel(title, "no labels", frame.missing())
    end = nice_end(max(float(curves.risk.max()), 1e-3))
    frame = PlotFrame((0.0, 1.0), (0.0, end))
    line = f'<path class="line" d="{frame.path(curves.coverage, curves.risk)}"/>'
    return frame.panel(title, f"{100 * curves.risk[-1]:.1f} % wrong in all", frame.grid() + line)


def change_panel(
    title: str,
    amounts: Floats,
    changes: Sequence[Interval],
    unit: str,
    each: Sequence[Sequence[tuple[float, float]]] = (),
) -> str:
    """AUROC change over the amount of a perturbation: a mean with intervals, and thin lines.

    Args:
        title: Name of the perturbation.
        amounts: Shape (A,).
        changes: Changes of the mean, one for each amount.
        unit: Unit of the amounts.
        each: Lines of (amount, change), one per finding.

    Returns:
        An SVG element.
    """
    lows = [c.low if not math.isnan(c.low) else c.estimate for c in changes]
    lows += [change for line in each for _, change in line]
    bottom = -nice_end(-min([-0.02, *(low for low in lows if not math.isnan(low))]))
    ends = (min(0.0, float(amounts.min())), max(0.0, float(amounts.max())))
    frame = PlotFrame(ends, (bottom, -0.2 * bottom))
    order = np.argsort(amounts)
    xs = [float(amounts[i]) for i in order]
    ys = [changes[i].estimate for i in order]
    marks = "".join(
        frame.whisker(x, changes[i])
        + f'<circle class="dot" cx="{frame.x(x)}" cy="{frame.y(changes[i].estimate)}" r="2.8"/>'
        for x, i in zip(xs, order, strict=True)
    )
    zero = f'<path class="chance" d="{frame.path(ends, (0.0, 0.0))}"/>'
    thin = "".join(
        f'<path class="thin" d="{frame.path([x for x, _ in one], [y for _, y in one])}"/>'
        for one in each
        if one
    )
    line = f'<path class="line" d="{frame.path(xs, ys)}"/>'
    return frame.panel(title, unit, zero + thin + line + marks)


def panel_grid(panels: Sequence[str], *, title: str = "") -> str:
    """Panels in a grid of seven columns as one standalone SVG file, style included."""
    (width, height), columns = PANEL, 7
    placed = "".join(
        panel.replace(
            "<svg ", f'<svg x="{i % columns * width:g}" y="{i // columns * height:g}" ', 1
        )
        for i, panel in enumerate(panels)
    )
    rows = -(-len(panels) // columns)
    body = f"<style>{PLOT_STYLE}</style>{placed}"
    return svg_element((width * min(columns, len(panels) or 1), height * max(rows, 1)), body, title)


def _count(counts: Floats) -> str:
    """Films in the middle bin."""
    return f"{int(np.median(counts)):,}"


def _plain(interval: Interval) -> str:
    return "not estimable" if math.isnan(interval.estimate) else f"{interval.estimate:.3f}"
