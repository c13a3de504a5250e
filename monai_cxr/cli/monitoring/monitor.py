"""Monitor: charts, alarms, drift and estimated performance of a service or a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from monai_cxr.cli.output import JsonOption, emit, say, show

if TYPE_CHECKING:
    import pandas as pd

    from monai_cxr.monitoring.charts import Chart
    from monai_cxr.screening.ledger import Ledger

_SHOW = "show"
_LEDGERS = (".sqlite", ".sqlite3", ".db")


class _ShowFirst(TyperGroup):
    """A group whose first verb need not be named: ``monitor SOURCE`` is ``monitor show SOURCE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the verb in where a source stands in its place."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [_SHOW, *args]
        return super().parse_args(ctx, args)


monitor_app = typer.Typer(
    cls=_ShowFirst,
    no_args_is_help=True,
    help="Watch a service over years: charts with memory, alarms, drift, estimated performance.",
)

LedgerArgument = Annotated[
    str,
    typer.Argument(
        metavar="LEDGER", help="The service's TOML, a SQLite ledger, or postgresql://..."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    monitor_app.command(_SHOW)(show_)
    monitor_app.command("acknowledge")(acknowledge)
    app.add_typer(monitor_app, name="monitor")


def show_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The service's TOML, a SQLite ledger, postgresql://..., or a predictions table "
            "(parquet or CSV) with a column of dates.",
        ),
    ],
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            metavar="DATE",
            help="Show charts, drift and estimates from this day on; memory begins before it.",
        ),
    ] = None,
    date_column: Annotated[
        str, typer.Option("--date", metavar="COLUMN", help="Of a table: its column of dates.")
    ] = "",
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Drift reference of a bundle. Default: the first days."),
    ] = None,
    baseline_days: Annotated[
        int, typer.Option(help="Days with films that a baseline is learnt from.")
    ] = 60,
    days_between_alarms: Annotated[
        float, typer.Option(help="Wanted days between false alarms of all charts together.")
    ] = 365.0,
    json: JsonOption = False,
) -> None:
    """Say whether the films and the scores are still the same, and how good the model may be.

    "show" need not be said: monitor SOURCE is the same. A service keeps its alarms until a person
    acknowledges them; a table has none to keep.

    Example: monai-cxr monitor screening.toml --since 2026-11-01
    """
    from monai_cxr.monitoring.drift import read_references

    day = since.date() if since is not None else None
    options = {"baseline_days": baseline_days, "days_between_alarms": days_between_alarms}
    references = read_references(reference) if reference is not None else None
    if _is_ledger(source):
        content = _of_ledger(source, day, options, references)
    else:
        content = _of_table(source, date_column, day, options, references)
    if json:
        emit(content)
    else:
        _print(content)


def acknowledge(
    ledger: LedgerArgument,
    number: Annotated[int, typer.Argument(metavar="ALARM", help="Number of the alarm.")],
    by: Annotated[str, typer.Option(help="Name of the person who dealt with it.")],
    action: Annotated[str, typer.Option(help="What was done.")],
    note: Annotated[str, typer.Option(help="A note, without a patient's name.")] = "",
    new_baseline: Annotated[
        bool,
        typer.Option(
            "--new-baseline", help="This is the new normal from now on: learn the baseline again."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Close an alarm with a name and an action; its charts start again, and it is kept for ever.

    Example: monai-cxr monitor acknowledge screening.toml 3 --by "Dr. Weber" --action "grid changed"
    """
    from monai_cxr.screening.ledger.watching import alarms

    with opened(ledger) as open_:
        closed = alarms.acknowledge(
            open_, number, actor=by, action=action, note=note, new_baseline=new_baseline
        )
    if json:
        emit({"alarm": closed})
    else:
        say(f"Alarm {number} is closed. Its charts start again tomorrow.")


def opened(source: str) -> Ledger:
    """The ledger of a TOML, a file or an address; it is never made here."""
    from monai_cxr.screening.watching.named_ledger import open_named

    return open_named(source)


def _is_ledger(source: str) -> bool:
    return "://" in source or source.endswith((*_LEDGERS, ".toml"))


def _of_ledger(
    source: str, since: date | None, options: dict[str, Any], references: Any
) -> dict[str, Any]:
    from monai_cxr.monitoring.charts import alarms as alarms_of
    from monai_cxr.screening.ledger.watching import alarms
    from monai_cxr.screening.watching import recent_results, service_charts

    with opened(source) as ledger:
        drawn = service_charts.draw(ledger, since=since, **options)
        alarms.keep(ledger, alarms_of(drawn))
        kept = alarms.kept(ledger)
        then, now = recent_results.first_and_newest(ledger, since=since)
    listed = [
        {
            "number": one.id,
            "first_day": one.alarm.first.isoformat(),
            "last_day": one.alarm.last.isoformat(),
            "charts": [{"chart": name, "direction": way} for name, way in one.alarm.charts],
            "is_open": one.is_open,
            "by": one.actor,
            "action": one.action,
            "note": one.note,
        }
        for one in kept
        if one.is_open or since is None or one.alarm.last >= since
    ]
    return _content("ledger", since, drawn, listed, references, then, now)


def _of_table(
    source: str, column: str, since: date | None, options: dict[str, Any], references: Any
) -> dict[str, Any]:
    from monai_cxr.monitoring.charts import alarms, charts
    from monai_cxr.monitoring.dated_predictions import daily_sums, dated, split_at
    from monai_cxr.tables import read_table

    table = dated(read_table(source), column)
    drawn = charts(daily_sums(table), **options)
    listed = [
        {
            "first_day": one.first.isoformat(),
            "last_day": one.last.isoformat(),
            "charts": [{"chart": name, "direction": way} for name, way in one.charts],
            "is_open": True,
        }
        for one in alarms(drawn)
    ]
    then, now = split_at(table, since, options["baseline_days"])
    return _content("table", since, drawn, listed, references, then, now)


def _content(
    kind: str,
    since: date | None,
    drawn: Sequence[Chart],
    listed: list[dict[str, Any]],
    references: Any,
    then: pd.DataFrame,
    now: pd.DataFrame,
) -> dict[str, Any]:
    from monai_cxr.monitoring.chart_content import chart_content
    from monai_cxr.monitoring.dated_predictions import drifts, estimates
    from monai_cxr.monitoring.what_changed import what_changed

    has_both = len(then) > 0 and len(now) > 0
    return {
        "source": kind,
        "since": since.isoformat() if since is not None else None,
        "n_films": len(now),
        "n_reference_films": len(then),
        "charts": [chart_content(one, since) for one in drawn],
        "alarms": listed,
        "drift": drifts(references or then, now) if has_both else (),
        "estimated": estimates(then, now) if has_both else (),
        "changed": what_changed(then, now) if has_both else None,
    }


def _print(content: dict[str, Any]) -> None:
    rows: list[tuple[object, ...]] = []
    missing: dict[str, list[str]] = {}
    for one in content["charts"]:
        if one["missing"]:
            missing.setdefault(one["missing"], []).append(one["name"])
        elif one["points"]:
            point = one["points"][-1]
            rows.append((one["name"], point["day"], point["n"], point["value"], point["up"],
                         point["down"], one["cusum_limit"], point["alarm"]))  # fmt: skip
    columns = ("chart", "last day", "films", "value", "up", "down", "limit", "alarm")
    if rows:
        show("Charts", columns, rows)
    for sentence, names in missing.items():
        say(f"No baseline yet for {len(names)} chart{'s'[: len(names) - 1]}: {sentence}")
    if not content["charts"]:
        say("No chart yet: no film was finished on a day that is over.")
    if content["alarms"]:
        said = [
            (
                one.get("number", "-"),
                one["first_day"],
                ", ".join(f"{c['chart']} {c['direction']}" for c in one["charts"]),
                "open" if one["is_open"] else f"{one['by']}: {one['action']}",
            )
            for one in content["alarms"]
        ]
        show("Alarms", ("number", "since", "charts", "state"), said)
    else:
        say("No alarm.")
    if content["drift"]:
        drifted = [
            (d.name, d.n, d.index, d.distance, d.median, d.reference_median, d.differs)
            for d in content["drift"]
        ]
        words = ("measure", "films", "index", "distance", "median", "reference median", "differs")
        show("Drift against the reference", words, drifted)
    if content["changed"] is not None:
        _print_changed(content["changed"])
    if content["estimated"]:
        show(
            "Estimated without labels: true only while calibration holds",
            ("finding", "films", "AUROC", "sensitivity", "PPV", "prevalence", "not estimated"),
            [
                (e.finding, e.n, shown(e.auroc), shown(e.sensitivity), shown(e.ppv),
                 shown(e.prevalence), e.reason or e.ppv_reason)
                for e in content["estimated"]
            ],
        )  # fmt: skip


def _print_changed(found: Any) -> None:
    """Whether films differ, which ones and in what."""
    test, classifier = found.test, found.classifier
    say(
        f"By {found.features} of {test.n_then} films then and {test.n_now} now: energy distance "
        f"{test.distance:.3f} (p {test.p_value:.3f} over {test.n_blocks} blocks); a classifier "
        f"tells them apart with an AUROC of {classifier.auroc:.2f} (p {classifier.p_value:.2f})."
    )
    for sentence in found.sentences:
        say(sentence)


def shown(interval: Any) -> str:
    """An estimate with its interval, or a dash."""
    if interval.estimate != interval.estimate:
        return "-"
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"
