"""Plot frame: scales, style, and the square frame with ticks and title that every panel shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from monai_cxr.prediction import Interval
from monai_cxr.report.rendering import style_sheet

Floats = NDArray[np.float64]

PLOT_STYLE = style_sheet("plots.css")

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


class PlotFrame:
    """The square that a panel is drawn in, with its two scales."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], *, root: bool = False
    ) -> None:
        self.x = Scale(x, (LEFT, LEFT + SIDE), root)
        self.y = Scale(y, (TOP + SIDE, TOP), root)

    def path(self, xs: Sequence[float] | Floats, ys: Sequence[float] | Floats) -> str:
        """SVG path data through the points."""
        points = (f"{self.x(a):g} {self.y(b):g}" for a, b in zip(xs, ys, strict=True))
        return "M" + "L".join(points)

    def whisker(self, x: float, interval: Interval) -> str:
        """A vertical bar over the interval; nothing without one."""
        if math.isnan(interval.low):
            return ""
        at, top, bottom = self.x(x), self.y(interval.high), self.y(interval.low)
        return f'<line class="bar" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'

    def grid(self) -> str:
        """Faint lines through the middle."""
        across, down = LEFT + SIDE / 2, TOP + SIDE / 2
        return f'<path class="grid" d="M{across} {TOP}V{TOP + SIDE}M{LEFT} {down}H{LEFT + SIDE}"/>'

    def missing(self) -> str:
        """A placeholder where nothing can be drawn."""
        middle = f'x="{LEFT + SIDE / 2}" y="{TOP + SIDE / 2}"'
        return f'<text class="gap" {middle} text-anchor="middle">not estimable</text>'

    def panel(self, title: str, note: str, body: str, *, low_y: float | None = None) -> str:
        """Frame, axis ends and text; ``low_y`` is the value to label instead of the lower end."""
        low = self.y.domain[0] if low_y is None else low_y
        ends = (
            _tick(LEFT, TOP + SIDE + 11, short(self.x.domain[0]), "start")
            + _tick(LEFT + SIDE, TOP + SIDE + 11, short(self.x.domain[1]), "end")
            + _tick(LEFT - 4, min(self.y(low) + 3, TOP + SIDE), short(low), "end")
            + _tick(LEFT - 4, TOP + 7, short(self.y.domain[1]), "end")
        )
        if self.x.root:
            ends += _tick(LEFT + SIDE / 2, TOP + SIDE + 11, short(self.x.domain[1] / 4), "middle")
        text = (
            f'<text class="title" x="{LEFT}" y="12">{escape(title)}</text>'
            f'<text class="note" x="{LEFT}" y="25">{escape(note)}</text>'
        )
        frame = f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/>'
        return svg_element(PANEL, frame + body + ends + text, f"{title}: {note}")


def _tick(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def short(value: float) -> str:
    """Three digits, without the leading nought."""
    text = f"{value:.3g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def nice_end(value: float) -> float:
    """The next of 1, 2, 3, 4, 5, 6, 8 times a power of ten, at most 1."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-4)))
    steps = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return min(1.0, round(next(s for s in steps if s * power >= value * 0.999) * power, 6))


def svg_element(size: tuple[float, float], body: str, label: str) -> str:
    """An SVG element with a label for those who cannot see it."""
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{body}</svg>'
    )
