"""Budget: labels budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, show


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(budget)


def budget(
    curve: Annotated[
        Path,
        typer.Argument(
            metavar="CURVE",
            help="Table of finding, n (labelled patients), draw and auroc, as probe writes it.",
        ),
    ],
    more: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Further labelled patients. Repeatable. Default: 100, 1000."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Forecast what more labels would gain, finding by finding, or say that it cannot be told.

    Example: monai-cxr labels budget curve.csv --more 100 --more 1000
    """
    from monai_cxr.labels.budget import forecast
    from monai_cxr.tables import read_table

    made = forecast(read_table(curve), tuple(more or (100, 1000)))
    if json:
        emit({"forecasts": made})
        return
    columns = ("finding", "patients", "AUROC now", "further", "gain (95 %)")
    rows: list[tuple[object, ...]] = []
    for one in made:
        now = f"{one.auroc:.3f}"
        if one.reason:
            rows.append((one.finding, one.n, now, "-", f"cannot be told: {one.reason}"))
        for extra, gain in one.gains if not one.reason else ():
            shown = f"{gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
            rows.append((one.finding, one.n, now, f"+{extra}", shown))
    show("What more labels buy", columns, rows)
