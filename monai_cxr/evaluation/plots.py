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

from monai_cxr.evaluation.curves import FindingCurves
from monai_cxr.evaluation.intervals import wilson
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
svg .bar{stroke:#0072B2;stroke-width:1;stroke-opacity:.75}
svg .whisker{stroke:#0072B2;stroke-width:2;stroke-linecap:round}
svg .mean{fill:#1f2328}
svg .hollow{fill:#fff;stroke:#0072B2;stroke-width:1.5}
svg .tick{fill:#59636e;font-size:9px}
svg .title{fill:#1f2328;font-size:11px;font-weight:600}
svg .note{fill:#59636e;font-size:9.5px}
svg .gap{fill:#59636e;font-size:10px;font-style:italic}
"""

SIDE = 104.0
LEFT, TOP, RIGHT, BOTTOM = 26.0, 32.0, 8.0, 18.0
FOREST, FOREST_SPAN = (162.0, 24.0), (8.0, 154.0)
PANEL = (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM)


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale from data to pixels, clipped to its ends.

    Attributes:
        domain: Two data values.
        span: The pixels they become.
        root: Whether the square root is linear in pixels, which spreads small values.
    """

    domain: tuple[float, float]
    span: tuple[float, float]
    root: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        if math.isnan(value):
            return self.span[0]
        low, high = self.domain
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        share = math.sqrt(share) if self.root else share
        return round(self.span[0] + share * (self.span[1] - self.span[0]), 2)


def forest(
    interval: Interval,
    domain: tuple[float, float],
    ticks: Sequence[float] = (),
    *,
    mean: bool = False,
) -> str:
    """An interval as a dot with a whisker, for a row of a table.

    Args:
        interval: What to draw.
        domain: Values of the left and right end; the left one, chance, is dashed.
        ticks: Values with a faint line.
        mean: Draw a diamond as wide as the interval, as for a mean over rows.

    Returns:
        An SVG element.
    """
    x = Scale(domain, FOREST_SPAN)
    lines = "".join(f"M{x(tick)} 0V24" for tick in ticks)
    parts = [f'<path class="grid" d="{lines}"/>'] if lines else []
    parts.append(f'<path class="chance" d="M{x(domain[0])} 0V24"/>')
    at, low, high = x(interval.estimate), x(interval.low), x(interval.high)
    if math.isnan(interval.estimate):
        return _svg(FOREST, "".join(parts), "not estimable")
    if math.isnan(interval.low):
        parts.append(f'<circle class="hollow" cx="{at}" cy="12" r="3.6"/>')
    elif mean:
        low, high = min(low, at - 4), max(high, at + 4)
        parts.append(f'<path class="mean" d="M{low} 12L{at} 6L{high} 12L{at} 18Z"/>')
    else:
        parts.append(f'<path class="whisker" d="M{low} 12H{high}"/>')
        parts.append(f'<circle class="dot" cx="{at}" cy="12" r="4"/>')
    return _svg(FOREST, "".join(parts), str(interval))


def forest_axis(domain: tuple[float, float], ticks: Sequence[float]) -> str:
    """The axis above a column of :func:`forest`."""
    x = Scale(domain, FOREST_SPAN)
    marks = "".join(
        f'<text class="tick" x="{x(tick)}" y="10" text-anchor="middle">{_short(tick)}</text>'
        for tick in ticks
    )
    return _svg((FOREST[0], 13.0), marks, "axis")


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
    """Observed share over mean probability by bin, with 95 % bars; larger dots are more films.

    Both axes have a square-root scale and end at the largest bin, rounded up: the probabilities of
    rare findings crowd near 0. The diagonal stays the diagonal.
    """
    bins = curves.reliability
    if not len(bins.counts):
        frame = _Frame((0.0, 1.0), (0.0, 1.0))
        return frame.panel(title, "no labels", frame.missing())
    end = _nice_end(max(float(bins.predicted.max()), float(bins.observed.max())))
    frame = _Frame((0.0, end), (0.0, end), root=True)
    radii = 1.2 + 1.9 * np.sqrt(bins.counts / bins.counts.max())
    marks = "".join(
        frame.whisker(x, wilson(y * n, n))
        + f'<circle class="dot" cx="{frame.x(x)}" cy="{frame.y(y)}" r="{radius:.1f}"/>'
        for x, y, n, radius in zip(bins.predicted, bins.observed, bins.counts, radii, strict=True)
    )
    chance = f'<path class="chance" d="{frame.path([0.0, end], [0.0, end])}"/>'
    note = f"ECE {ece.estimate:.3f}, {_count(bins.counts)} a bin"
    return frame.panel(title, note, frame.grid() + chance + marks)


def decision_panel(title: str, curves: FindingCurves, prevalence: float) -> str:
    """Net benefit over threshold probability: the model, acting on all, acting on none."""
    top = _nice_end(max(prevalence, 1e-3)) if not math.isnan(prevalence) else 1.0
    thresholds = curves.decision_thresholds
    frame = _Frame((0.0, float(thresholds[-1])), (-0.2 * top, top))
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


def change_panel(title: str, amounts: Floats, changes: Sequence[Interval], unit: str) -> str:
    """AUROC change over the amount of a perturbation, with intervals."""
    lows = [c.low if not math.isnan(c.low) else c.estimate for c in changes]
    bottom = -_nice_end(-min([-0.02, *(low for low in lows if not math.isnan(low))]))
    ends = (min(0.0, float(amounts.min())), max(0.0, float(amounts.max())))
    frame = _Frame(ends, (bottom, -0.25 * bottom))
    order = np.argsort(amounts)
    xs = [float(amounts[i]) for i in order]
    ys = [changes[i].estimate for i in order]
    marks = "".join(
        frame.whisker(x, changes[i])
        + f'<circle class="dot" cx="{frame.x(x)}" cy="{frame.y(changes[i].estimate)}" r="2.8"/>'
        for x, i in zip(xs, order, strict=True)
    )
    zero = f'<path class="chance" d="{frame.path(ends, (0.0, 0.0))}"/>'
    line = f'<path class="line" d="{frame.path(xs, ys)}"/>'
    return frame.panel(title, unit, zero + line + marks)


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

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], *, root: bool = False
    ) -> None:
        self.x = Scale(x, (LEFT, LEFT + SIDE), root)
        self.y = Scale(y, (TOP + SIDE, TOP), root)

    def path(self, xs: Sequence[float] | Floats, ys: Sequence[float] | Floats) -> str:
        points = (f"{self.x(a):g} {self.y(b):g}" for a, b in zip(xs, ys, strict=True))
        return "M" + "L".join(points)

    def whisker(self, x: float, interval: Interval) -> str:
        if math.isnan(interval.low):
            return ""
        at, top, bottom = self.x(x), self.y(interval.high), self.y(interval.low)
        return f'<line class="bar" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'

    def grid(self) -> str:
        across, down = LEFT + SIDE / 2, TOP + SIDE / 2
        return f'<path class="grid" d="M{across} {TOP}V{TOP + SIDE}M{LEFT} {down}H{LEFT + SIDE}"/>'

    def missing(self) -> str:
        middle = f'x="{LEFT + SIDE / 2}" y="{TOP + SIDE / 2}"'
        return f'<text class="gap" {middle} text-anchor="middle">not estimable</text>'

    def panel(self, title: str, note: str, body: str, *, low_y: float | None = None) -> str:
        """Frame, axis ends and text; ``low_y`` is the value to label instead of the lower end."""
        low = self.y.domain[0] if low_y is None else low_y
        ends = (
            _tick(LEFT, TOP + SIDE + 11, _short(self.x.domain[0]), "start")
            + _tick(LEFT + SIDE, TOP + SIDE + 11, _short(self.x.domain[1]), "end")
            + _tick(LEFT - 4, min(self.y(low) + 3, TOP + SIDE), _short(low), "end")
            + _tick(LEFT - 4, TOP + 7, _short(self.y.domain[1]), "end")
        )
        if self.x.root:
            ends += _tick(LEFT + SIDE / 2, TOP + SIDE + 11, _short(self.x.domain[1] / 4), "middle")
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


def _count(counts: Floats) -> str:
    """Films in the middle bin."""
    return f"{int(np.median(counts)):,}"


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
