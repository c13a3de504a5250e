"""Curves: how a run learned, as one SVG picture in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import pandas as pd
from ignite.engine import Engine, Events

from monai_cxr.atomic import write_text
from monai_cxr.report.plot_frame import PLOT_STYLE, Scale

WIDTH, HEIGHT, LEFT, TOP = 280.0, 170.0, 52.0, 40.0
_STEP = (WIDTH + LEFT + 12, HEIGHT + TOP + 22)
_PANELS: Mapping[str, tuple[str, ...]] = {
    "Loss": ("loss", "val_loss"),
    "Macro AUROC of validation": ("val_macro_auroc",),
    "Learning rate": ("learning_rate",),
}


class LearningCurves:
    """Ignite handler: draw ``metrics.csv`` after each epoch; attach it after the row is written.

    Args:
        table: The CSV of :class:`monai_cxr.training.progress.EpochProgress`.
        picture: The SVG to write.
    """

    def __init__(self, table: str, picture: str) -> None:
        self.table = Path(table)
        self.picture = Path(picture)

    def attach(self, engine: Engine) -> None:
        """Run when an epoch and its validation have ended."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw."""
        text = learning_curves(pd.read_csv(self.table))
        write_text(self.picture, text)


def learning_curves(table: pd.DataFrame) -> str:
    """Loss, macro AUROC, learning rate, and one small panel a finding.

    Args:
        table: A row per epoch.

    Returns:
        An SVG document.
    """
    per_finding = [
        (str(name).removeprefix("val_macro_auroc_").replace("_", " "), (str(name),))
        for name in table.columns
        if str(name).startswith("val_macro_auroc_")
    ]
    panels = [*_PANELS.items(), *(per_finding if len(per_finding) > 1 else ())]
    drawn = []
    for i, (title, names) in enumerate(panels):
        x, y = (i % 3) * _STEP[0] + LEFT, (i // 3) * _STEP[1] + TOP
        series = [(name, table[name].to_numpy(float)) for name in names if name in table]
        drawn.append(
            f'<g transform="translate({x} {y})">'
            f"{_panel(title, table['epoch'].to_numpy(float), series)}</g>"
        )
    rows = -(-len(panels) // 3)
    width, height = 3 * _STEP[0] + 12, rows * _STEP[1] + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><style>{PLOT_STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def _panel(
    title: str,
    epochs: np.ndarray[tuple[int], np.dtype[np.float64]],
    series: Sequence[tuple[str, np.ndarray[tuple[int], np.dtype[np.float64]]]],
) -> str:
    frame = f'<rect class="frame" width="{WIDTH}" height="{HEIGHT}"/>'
    head = f'<text class="title" y="-10">{escape(title)}</text>'
    values = np.concatenate([v for _, v in series]) if series else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return f'{head}{frame}<text class="gap" x="12" y="{HEIGHT / 2}">not estimable</text>'
    low, high = _domain(float(values.min()), float(values.max()), title)
    x = Scale((float(epochs.min()), max(float(epochs.max()), float(epochs.min()) + 1)), (0, WIDTH))
    y = Scale((low, high), (HEIGHT, 0))
    ticks = "".join(
        f'<path class="grid" d="M0 {y(tick)}H{WIDTH}"/>'
        f'<text class="tick" x="-5" y="{y(tick) + 3}" text-anchor="end">{tick:.3g}</text>'
        for tick in np.linspace(low, high, 5)
    )
    ends = "".join(
        f'<text class="tick" x="{x(epoch)}" y="{HEIGHT + 13}" text-anchor="{anchor}">'
        f"{'epoch ' if anchor == 'start' else ''}{epoch:.0f}</text>"
        for epoch, anchor in ((epochs.min(), "start"), (epochs.max(), "end"))
    )
    lines, style = [], ("line", "other")
    for (name, part), kind in zip(series, style, strict=False):
        known = np.isfinite(part)
        points = [f"{x(e)},{y(v)}" for e, v in zip(epochs[known], part[known], strict=True)]
        lines.append(f'<polyline class="{kind}" points="{" ".join(points)}"/>')
        if len(points) == 1:
            at = points[0].split(",")
            lines.append(f'<circle class="dot" cx="{at[0]}" cy="{at[1]}" r="3"/>')
        last = f"{part[known][-1]:.3g}" if known.any() else ""
        what = f"{escape(name)} " if len(series) > 1 else "last "
        label = what + last + " (dashed)" * (kind == "other")
        lines.append(
            f'<text class="note" x="{WIDTH}" y="{-10 - 11 * (kind == "other")}" '
            f'text-anchor="end">{label}</text>'
        )
    return head + ticks + frame + "".join(lines) + ends


def _domain(low: float, high: float, title: str) -> tuple[float, float]:
    if "AUROC" in title or title not in _PANELS:
        return min(0.5, low), 1.0
    return min(0.0, low), high if high > low else low + 1.0
