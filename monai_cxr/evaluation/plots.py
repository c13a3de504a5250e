"""Plots: small SVG panels, drawn by hand, that mean the same on screen, in print and in grey.

Colours are Okabe and Ito's, which colour-blind readers tell apart; nothing is said by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.curves import DECISION_THRESHOLDS, FindingCurves
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

PLOT_STYLE = """
svg{font:10px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
svg .frame{fill:none;stroke:#c9d1d9;stroke-width:1}
svg .grid{stroke:#e6eaee;stroke-width:1}
svg .chance{stroke:#8c959f;stroke-width:1;stroke-dasharray:3 3;fill:none}
svg .line{fill:none;stroke:#0072B2;stroke-width:1.6;stroke-linejoin:round}
svg .area{fill:#0072B2;fill-opacity:.08;stroke:none}
svg .other{fill:none;stroke:#D55E00;stroke-width:1.2;stroke-dasharray:5 2}
svg .dot{fill:#0072B2;stroke:#fff;stroke-width:.8}
svg .bar{fill:#b8c4ce}
svg .whisker{stroke:#0072B2;stroke-width:2;stroke-linecap:round}
svg .mean{fill:#1f2328}
svg .meanline{stroke:#1f2328;stroke-width:2;stroke-linecap:round}
svg .tick{fill:#59636e;font-size:9px}
svg .title{fill:#1f2328;font-size:11px;font-weight:600}
svg .note{fill:#59636e;font-size:9.5px}
svg .gap{fill:#59636e;font-size:10px;font-style:italic}
"""

SIDE = 104.0
LEFT, TOP, RIGHT, BOTTOM = 26.0, 32.0, 8.0, 24.0
PANEL = (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from data to pixels, clipped to its ends.

    Attributes:
        domain: Two data values.
        span: The pixels they become.
    """

    domain: tuple[float, float]
    span: tuple[float, float]

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high = self.domain
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return round(self.span[0] + share * (self.span[1] - self.span[0]), 2)


def forest(interval: Interval, domain: tuple[float, float], *, mean: bool = False) -> str:
    """An interval as a dot with a whisker, 150 pixels wide, for a row of a table.

    Args:
        interval: What to draw.
        domain: Values of the left and right end; 0.5, if inside, is dashed as chance.
        mean: Draw a diamond, as for a mean over rows.

    Returns:
        An SVG element.
    """
    x = Scale(domain, (4.0, 146.0))
    zero = 0.5 if domain[0] > 0.0 else 0.0
    parts = [f'<line class="chance" x1="{x(zero)}" x2="{x(zero)}" y1="0" y2="20"/>']
    if math.isnan(interval.estimate):
        parts.append('<text class="gap" x="75" y="14" text-anchor="middle">not estimable</text>')
        return _svg((150.0, 20.0), "".join(parts), "not estimable")
    if not math.isnan(interval.low):
        kind = "meanline" if mean else "whisker"
        parts.append(
            f'<line class="{kind}" x1="{x(interval.low)}" x2="{x(interval.high)}" y1="10" y2="10"/>'
        )
    at = x(interval.estimate)
    parts.append(
        f'<path class="mean" d="M{at - 6} 10L{at} 4.5L{at + 6} 10L{at} 15.5Z"/>'
        if mean
        else f'<circle class="dot" cx="{at}" cy="10" r="4.2"/>'
    )
    return _svg((150.0, 20.0), "".join(parts), str(interval))


def forest_axis(domain: tuple[float, float], ticks: Sequence[float]) -> str:
    """The axis above a column of :func:`forest`."""
    x = Scale(domain, (4.0, 146.0))
    marks = "".join(
        f'<text class="tick" x="{min(max(x(tick), 8.0), 142.0)}" y="10" text-anchor="middle">'
        f"{_short(tick)}</text>"
        for tick in ticks
    )
    return _svg((150.0, 13.0), marks, "axis")


def roc_panel(title: str, curves: FindingCurves, area: Interval) -> str:
    """ROC of one finding with the chance line; title and AUROC above."""
    frame = _Frame((0.0, 1.0), (0.0, 1.0))
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
    frame = _Frame((0.0, 1.0), (0.0, 1.0))
    if not len(curves.recall):
        return frame.panel(title, "no AP", frame.missing())
    body = (
        frame.grid()
        + f'<path class="chance" d="{frame.path([0.0, 1.0], [prevalence, prevalence])}"/>'
        + f'<path class="line" d="{frame.path(curves.recall, curves.precision)}"/>'
    )
    return frame.panel(title, f"AP {_plain(area)}", body)


def reliability_panel(title: str, curves: FindingCurves, ece: Interval) -> str:
    """Observed share over mean probability by bin, with the bins' counts as bars below.

    Both axes end at the largest bin, rounded up, because the probabilities of rare findings crowd
    near 0; the axis says where.
    """
    bins = curves.reliability
    if not len(bins.counts):
        frame = _Frame((0.0, 1.0), (0.0, 1.0))
        return frame.panel(title, "no labels", frame.missing())
    end = _nice_end(max(float(bins.predicted.max()), float(bins.observed.max())))
    frame = _Frame((0.0, end), (0.0, end))
    edges = np.concatenate(
        [[0.0], (bins.predicted[1:] + bins.predicted[:-1]) / 2.0, [float(bins.predicted[-1])]]
    )
    # Bars of width and height in data: density of images along the axis, on a root scale.
    density = np.sqrt(bins.counts / np.maximum(np.diff(edges), end / 200.0))
    heights = 16.0 * density / density.max()
    bars = "".join(
        f'<rect class="bar" x="{frame.x(left)}" y="{round(TOP + SIDE - height, 2)}" '
        f'width="{max(0.8, round(frame.x(right) - frame.x(left) - 0.4, 2))}" '
        f'height="{round(height, 2)}"/>'
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True)
    )
    errors = 1.96 * np.sqrt(np.maximum(bins.observed * (1 - bins.observed), 1e-9) / bins.counts)
    whiskers = "".join(
        f'<line class="whisker" style="stroke-width:1" x1="{frame.x(x)}" x2="{frame.x(x)}" '
        f'y1="{frame.y(y - e)}" y2="{frame.y(y + e)}"/>'
        for x, y, e in zip(bins.predicted, bins.observed, errors, strict=True)
    )
    dots = "".join(
        f'<circle class="dot" cx="{frame.x(x)}" cy="{frame.y(y)}" r="2.8"/>'
        for x, y in zip(bins.predicted, bins.observed, strict=True)
    )
    chance = f'<path class="chance" d="{frame.path([0.0, end], [0.0, end])}"/>'
    body = frame.grid() + bars + chance + whiskers + dots
    return frame.panel(title, f"ECE {ece.estimate:.3f}", body)


def decision_panel(title: str, curves: FindingCurves, prevalence: float) -> str:
    """Net benefit over threshold probability: the model, flagging all, flagging none."""
    top = _nice_end(max(prevalence, 1e-3))
    frame = _Frame((0.0, float(DECISION_THRESHOLDS[-1])), (-0.25 * top, top))
    if math.isnan(prevalence):
        return frame.panel(title, "no labels", frame.missing())
    inside = curves.net_benefit_all >= -0.25 * top
    zero = f'<path class="chance" d="{frame.path([0.0, 0.5], [0.0, 0.0])}"/>'
    body = (
        zero
        + f'<path class="other" d="'
        + frame.path(DECISION_THRESHOLDS[inside], curves.net_benefit_all[inside])
        + '"/>'
        + f'<path class="line" d="{frame.path(DECISION_THRESHOLDS, curves.net_benefit)}"/>'
    )
    return frame.panel(title, f"prevalence {prevalence:.3f}", body)


def change_panel(title: str, amounts: Floats, changes: Sequence[Interval], unit: str) -> str:
    """AUROC change over the amount of a perturbation, with intervals."""
    low = min([-0.02, *(c.low for c in changes if not math.isnan(c.low))])
    frame = _Frame(
        (min(0.0, float(amounts.min())), max(0.0, float(amounts.max()))), (low * 1.1, 0.03)
    )
    order = np.argsort(amounts)
    xs = [float(amounts[i]) for i in order]
    ys = [changes[i].estimate for i in order]
    whiskers = "".join(
        f'<line class="whisker" style="stroke-width:1" x1="{frame.x(x)}" x2="{frame.x(x)}" '
        f'y1="{frame.y(changes[i].low)}" y2="{frame.y(changes[i].high)}"/>'
        for x, i in zip(xs, order, strict=True)
        if not math.isnan(changes[i].low)
    )
    dots = "".join(
        f'<circle class="dot" cx="{frame.x(x)}" cy="{frame.y(y)}" r="2.8"/>'
        for x, y in zip(xs, ys, strict=True)
    )
    zero = f'<path class="chance" d="{frame.path(list(frame.x.domain), [0.0, 0.0])}"/>'
    line = f'<path class="line" d="{frame.path(xs, ys)}"/>'
    return frame.panel(title, unit, zero + line + whiskers + dots)


def panel_grid(panels: Sequence[str], *, columns: int = 7, title: str = "") -> str:
    """Panels in a grid as one standalone SVG file, style included."""
    width, height = PANEL
    placed = "".join(
        panel.replace(
            "<svg ", f'<svg x="{i % columns * width:g}" y="{i // columns * height:g}" ', 1
        )
        for i, panel in enumerate(panels)
    )
    rows = -(-len(panels) // columns)
    body = f"<style>{PLOT_STYLE}</style>{placed}"
    return _svg((width * min(columns, len(panels) or 1), height * max(rows, 1)), body, title)


class _Frame:
    """The square that a panel is drawn in, with its two scales."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x = Scale(x, (LEFT, LEFT + SIDE))
        self.y = Scale(y, (TOP + SIDE, TOP))

    def path(self, xs: Sequence[float] | Floats, ys: Sequence[float] | Floats) -> str:
        points = (f"{self.x(a):g} {self.y(b):g}" for a, b in zip(xs, ys, strict=True))
        return "M" + "L".join(points)

    def grid(self) -> str:
        middle_x, middle_y = LEFT + SIDE / 2, TOP + SIDE / 2
        return (
            f'<path class="grid" d="M{middle_x} {TOP}V{TOP + SIDE}M{LEFT} {middle_y}H{LEFT + SIDE}"/>'
        )

    def missing(self) -> str:
        return (
            f'<text class="gap" x="{LEFT + SIDE / 2}" y="{TOP + SIDE / 2}" text-anchor="middle">'
            "not estimable</text>"
        )

    def panel(self, title: str, note: str, body: str) -> str:
        ends = (
            _tick(LEFT, TOP + SIDE + 11, _short(self.x.domain[0]), "start")
            + _tick(LEFT + SIDE, TOP + SIDE + 11, _short(self.x.domain[1]), "end")
            + _tick(LEFT - 4, TOP + SIDE, _short(self.y.domain[0]), "end")
            + _tick(LEFT - 4, TOP + 7, _short(self.y.domain[1]), "end")
        )
        text = (
            f'<text class="title" x="{LEFT}" y="12">{escape(title)}</text>'
            f'<text class="note" x="{LEFT}" y="25">{escape(note)}</text>'
        )
        frame = f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/>'
        return _svg(PANEL, frame + body + ends + text, f"{title}: {note}")


def _tick(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _short(value: float) -> str:
    text = f"{value:.3g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _plain(interval: Interval) -> str:
    return "not estimable" if math.isnan(interval.estimate) else f"{interval.estimate:.3f}"


def _nice_end(value: float) -> float:
    """The next of 1, 2, 3, 4, 5, 6, 8 times a power of ten, at most 1."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-4)))
    steps = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return min(1.0, round(next(s for s in steps if s * power >= value * 0.999) * power, 6))


def _svg(size: tuple[float, float], body: str, label: str) -> str:
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{body}</svg>'
    )


