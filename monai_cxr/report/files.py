"""Report: an evaluation as files: JSON, CSV, LaTeX, SVG plots and one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from monai_cxr.atomic import write_json, write_text
from monai_cxr.evaluation.results import Aggregate, FindingPerformance, Performance
from monai_cxr.prediction import Interval
from monai_cxr.report.inspection import ReportExtras
from monai_cxr.report.model_card import model_card
from monai_cxr.report.page import render_page
from monai_cxr.report.panels import finding_panels
from monai_cxr.report.plots import panel_grid
from monai_cxr.tables import write_table


def write_report(
    performance: Performance, directory: Path | str, *, extras: ReportExtras | None = None
) -> tuple[Path, ...]:
    """Write every form of an evaluation; each file is written whole or not at all.

    Args:
        performance: The numbers.
        directory: Made where it does not exist.
        extras: Worst errors with thumbnails, localization and robustness, where there are any.

    Returns:
        The files written: ``performance.json``, ``.csv`` and ``.tex``, ``inspection.json`` where
        there are extras, ``model_card.md``, one SVG a figure, and ``report.html`` last.
    """
    folder = Path(directory)
    contents = {"performance.json": performance.to_json()}
    if extras is not None:
        contents["inspection.json"] = extras.to_json()
    for name, content in contents.items():
        write_json(folder / name, content, indent=1)
    write_table(performance_table(performance), folder / "performance.csv")
    write_text(folder / "performance.tex", latex_table(performance))
    title = performance.identity.model.get("name") or "Chest radiograph model"
    write_text(folder / "model_card.md", model_card(performance, title=title, description=""))
    figures = {
        name: panel_grid(drawn, title=name) for name, drawn in finding_panels(performance).items()
    }
    for name, svg in figures.items():
        write_text(folder / f"{name}.svg", svg)
    write_text(folder / "report.html", render_page(performance, extras))
    names = (*contents, "performance.csv", "performance.tex", "model_card.md")
    return tuple(folder / n for n in (*names, *(f"{n}.svg" for n in figures), "report.html"))


def performance_table(performance: Performance) -> pd.DataFrame:
    """One row per finding and one for the mean; missing numbers are empty."""
    rows = []
    for item in performance:
        row = {name: getattr(item, name) for name in ("finding", "n", "n_positive")}
        slope = ("calibration_slope", "calibration_intercept")
        rows.append(row | _interval_cells(item) | {name: getattr(item, name) for name in slope})
    macro: dict[str, object] = {"finding": "macro", "n": performance.identity.n_images}
    table = pd.DataFrame([*rows, macro | _interval_cells(performance.macro)])
    return table.astype({"n": "Int64", "n_positive": "Int64"})


def latex_table(performance: Performance) -> str:
    """The findings table for a paper, with booktabs rules; intervals are 95 %."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrrccc}",
        r"\toprule",
        r"Finding & $n$ & $n_+$ & AUROC (95\,\% CI) & AP (95\,\% CI) & ECE \\",
        r"\midrule",
    ]
    for item in performance:
        name = item.finding.replace("_", " ")
        cells = (_latex(item.auroc), _latex(item.average_precision), f"{item.ece.estimate:.3f}")
        row = f"{name} & {item.n} & {item.n_positive} & {' & '.join(cells)}"
        lines.append(row.replace("nan", "--") + r" \\")
    macro = performance.macro
    mean = (_latex(macro.auroc), _latex(macro.average_precision), f"{macro.ece.estimate:.3f}")
    lines += [
        r"\midrule",
        f"Mean & {performance.identity.n_images} & & {' & '.join(mean)}".replace("nan", "--")
        + r" \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _interval_cells(item: FindingPerformance | Aggregate) -> dict[str, object]:
    cells: dict[str, object] = {}
    for name in ("auroc", "average_precision", "brier", "ece"):
        interval: Interval = getattr(item, name)
        cells |= {name: interval.estimate}
        cells |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return cells


def _latex(interval: Interval) -> str:
    return str(interval).replace("-", "--").replace("not estimable", "--")
