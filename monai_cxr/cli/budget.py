"""Budget: monitor budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_cxr.cli.arguments import (
    BlankOption,
    CalibrationOption,
    LabelsOption,
    PredictionsArgument,
    UncertainOption,
    calibrated,
    scored,
)
from monai_cxr.cli.monitoring.monitor import monitor_app, shown
from monai_cxr.cli.output import JsonOption, emit, note, say, show

if TYPE_CHECKING:
    from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
    from monai_cxr.monitoring.alarm_budget import BudgetedThreshold

_GROUPS = ("manufacturer", "view")


def register(_: typer.Typer) -> None:
    """Add this verb to ``monitor``."""
    monitor_app.command("budget")(budget)


def budget(
    predictions: PredictionsArgument,
    false_alarms: Annotated[
        float, typer.Option(help="A shift, over all findings together; above 0.")
    ],
    films: Annotated[float, typer.Option(help="Films that are read in a shift; above 0.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="operating_points.json, for package --rules."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="PREDICTIONS", help="Later labelled films: whether the budget was kept."
        ),
    ] = None,
    time_column: Annotated[
        str,
        typer.Option(
            "--time", metavar="COLUMN", help="Times of the films. Default: found by name."
        ),
    ] = "",
    films_a_day: Annotated[
        float | None,
        typer.Option(
            help="Films of a whole day at this site, for the alarms by hour. Default: of the table."
        ),
    ] = None,
    labels: LabelsOption = None,
    calibration: CalibrationOption = None,
    uncertain: UncertainOption = "refuse",
    blank: BlankOption = "unknown",
    json: JsonOption = False,
) -> None:
    """Set thresholds by what readers can bear, and say what that costs in sensitivity.

    The films must be at the site's own prevalence. Each finding has an equal part of the budget.
    Expected false alarms are also given by maker and view, and by hour of the day where the
    predictions have times.

    Example: monai-cxr monitor budget val.parquet --false-alarms 2 --films 60 --out rules.json
    """
    data = calibrated(scored(predictions, labels, uncertain, blank), calibration)
    found = _thresholds(data, false_alarms, films)
    groups = _by_group(data, found, films)
    by_hour = _by_hour(data, found, predictions, time_column, films_a_day)
    if out is not None:
        _write(data, found, out)
    checked = None
    if check is not None:
        later = calibrated(scored(check, labels, uncertain, blank), calibration)
        checked = _checked(later, found, films)
    if json:
        emit({"thresholds": found, "by_group": groups, "by_hour": by_hour, "check": checked})
        return
    for sentence in data.notes:
        note(sentence)
    _show(f"At most {false_alarms:g} false alarms in a shift of {films:g} films", found)
    rows = [(fact, value, n) for fact, values in groups.items() for value, n in values.items()]
    if rows:
        show("Expected false alarms a shift by group", ("fact", "value", "false alarms"), rows)
    if by_hour:
        title = "Expected false alarms by hour of the day"
        show(title, ("hour", "false alarms a day"), list(by_hour.items()))
    if checked is not None:
        columns = ("finding", "expected a shift", "observed a shift", "shifts", "kept")
        keys = ("finding", "expected", "observed", "shifts", "kept")
        show("What happened", columns, [[one[key] for key in keys] for one in checked])
    if out is not None:
        say(f"Thresholds: {out}")


def _show(title: str, found: tuple[BudgetedThreshold, ...]) -> None:
    show(
        title,
        ("finding", "threshold", "false alarms", "sensitivity", "positive", "films"),
        [
            (f.finding, "none fits" if f.threshold > 1.0 else f"{f.threshold:.4f}",
             shown(f.false_alarms), shown(f.sensitivity), f.n_positive, f.n)
            for f in found
        ],
    )  # fmt: skip


def _thresholds(
    data: PredictionSet, false_alarms: float, films: float
) -> tuple[BudgetedThreshold, ...]:
    from monai_cxr.monitoring.alarm_budget import thresholds_within

    return thresholds_within(
        {name: data.probabilities[:, i] for i, name in enumerate(data.findings)},
        {name: data.labels[:, i] for i, name in enumerate(data.findings)},
        budget=false_alarms,
        films_a_shift=films,
    )


def _by_group(
    data: PredictionSet, found: tuple[BudgetedThreshold, ...], films: float
) -> dict[str, dict[str, float]]:
    """Expected false alarms a shift of all findings together, by maker and view."""
    made: dict[str, dict[str, float]] = {}
    for fact in _GROUPS:
        values = [str(value) or "not known" for value in data.facts[fact].fillna("")]
        if set(values) != {"not known"}:
            made[fact] = _expected(data, found, values, films)
    return made


def _by_hour(
    data: PredictionSet,
    found: tuple[BudgetedThreshold, ...],
    predictions: Path,
    column: str,
    films_a_day: float | None,
) -> dict[str, float]:
    """Expected false alarms of all findings in each hour of a day; empty without times."""
    from monai_cxr.evaluation.predictions.image_names import image_identifiers
    from monai_cxr.monitoring.dated_predictions import DAY, dated, hours
    from monai_cxr.tables import read_table

    table = read_table(predictions)
    known = hours(table, column)
    if known is None:
        return {}
    of_film = dict(zip(image_identifiers(table, what="predictions"), known, strict=True))
    values = [of_film.get(name) or "not known" for name in data.image_ids]
    if films_a_day is None:
        films_a_day = len(table) / dated(table, column)[DAY].nunique()
    return _expected(data, found, values, films_a_day)


def _expected(
    data: PredictionSet, found: tuple[BudgetedThreshold, ...], values: list[str], films: float
) -> dict[str, float]:
    from monai_cxr.monitoring.alarm_budget import expected_by

    total: dict[str, float] = {}
    for i, one in enumerate(found):
        flags = list(data.probabilities[:, i] >= one.threshold)
        for value, n in expected_by(flags, data.labels[:, i], values, films).items():
            total[value] = total.get(value, 0.0) + (n if n == n else 0.0)
    return total


def _checked(
    data: PredictionSet, found: tuple[BudgetedThreshold, ...], films: float
) -> list[dict[str, Any]]:
    """What later films did at these thresholds; as many shifts as their labelled films fill."""
    from monai_cxr.monitoring.alarm_budget import kept

    made = []
    for one in found:
        i = data.findings.index(one.finding)
        labels = data.labels[:, i]
        shifts = int((labels == labels).sum() / films)
        n = int(((data.probabilities[:, i] >= one.threshold) & (labels == 0)).sum())
        observed, is_kept = kept(one.false_alarms.estimate, n, shifts)
        made.append(
            {
                "finding": one.finding,
                "expected": one.false_alarms.estimate,
                "observed": observed,
                "shifts": shifts,
                "kept": is_kept,
            }
        )
    return made


def _write(data: PredictionSet, found: tuple[BudgetedThreshold, ...], out: Path) -> None:
    """As operating points; a finding that no threshold fits has none."""
    from monai_cxr.evaluation.decisions.decision_rules import (
        DecisionRules,
        choose_rules,
        write_rules,
    )
    from monai_cxr.evaluation.statistics.shares import wilson
    from monai_cxr.prediction import OperatingPoint

    points = []
    for i, one in enumerate(found):
        if one.threshold > 1.0:
            continue
        negative = data.labels[:, i] == 0
        below = int((negative & (data.probabilities[:, i] < one.threshold)).sum())
        points.append(
            OperatingPoint(
                one.finding,
                one.threshold,
                f"false alarms a shift <= {one.false_alarms.estimate:.3g}",
                one.sensitivity,
                wilson(below, int(negative.sum())),
                one.n,
                one.n_positive,
            )
        )
    patients = choose_rules(data, "youden", n_bootstrap=0).patients
    write_rules(DecisionRules(tuple(points), (), patients), out)
