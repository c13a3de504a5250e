"""Surveillance: the file of a period for an audit, made again byte for byte from the same ledger.

What came after the period changes nothing in it: charts, alarms, reports and looks are taken as
they were at its end. Only films that were forgotten (``keep_days``) are missing from a later copy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from monai_cxr.atomic import write_text
from monai_cxr.errors import SettingsError
from monai_cxr.monitoring import chart_names
from monai_cxr.monitoring.chart_content import chart_content
from monai_cxr.monitoring.charts import Chart
from monai_cxr.monitoring.concordance import concordance
from monai_cxr.monitoring.labeller_error import shipped
from monai_cxr.report.rendering import render
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.people import second_looks
from monai_cxr.screening.ledger.people.signed_reports import fits_in_words
from monai_cxr.screening.ledger.schema import audit, results
from monai_cxr.screening.ledger.watching import alarms, chart_sums
from monai_cxr.screening.watching import agreement, service_charts

NOT_MONITORED = (
    "Rooms have no charts of their own; each maker and each view has two (flags, mean gray).",
    "Subgroups by age and sex are not compared.",
    "Films that never reached the service are not known to it.",
    "Corrected concordance takes the error of the rules as it was measured on English reports.",
    "Films and studies that were forgotten after their time are missing from concordance.",
    "A study whose report comes after the period counts in the period that the report comes in.",
    "Charts remember a year: a sum begins at 0 a year before the period.",
)
_WIDTH, _HEIGHT, _DIGITS = 640.0, 80.0, 6


def write_surveillance(
    ledger: Ledger, folder: Path, first: date, last: date, *, signed_by: str = ""
) -> Mapping[str, Any]:
    """Write ``surveillance.json`` and ``surveillance.html``.

    Args:
        ledger: The ledger.
        folder: Made where it does not exist.
        first: First day of the period, in UTC.
        last: Last day; it must be over.
        signed_by: Name of the person who answers for it; an empty line where none is given.

    Returns:
        The content of the JSON file.

    Raises:
        SettingsError: If the period is empty or not over.
    """
    content = surveillance(ledger, first, last) | {"signed_by": signed_by}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(folder / "surveillance.json", text + "\n", private=True)
    said = fits_in_words(content["reports"])
    page = render("surveillance.html", **content, reports_in_words=said)
    write_text(folder / "surveillance.html", page, private=True)
    return content


def surveillance(ledger: Ledger, first: date, last: date) -> dict[str, Any]:
    """The content of the file; see :func:`write_surveillance`."""
    today = chart_sums.day_of(ledger.clock())
    if first > last or last >= today:
        raise SettingsError(
            f"Expected a period that is over, but got {first} to {last}; today is {today} in UTC."
        )
    start, end = _seconds(first), _seconds(last + timedelta(days=1))
    drawn = service_charts.draw(ledger, since=first, until=last)
    table, fits = agreement.side_by_side(ledger, since=start, until=end)
    looks = second_looks.between(ledger, start, end)
    content = {
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "models": _models(ledger, start, end),
        "films": _films(ledger, first, last),
        "charts": [_chart(one, first) for one in drawn],
        "alarms": _alarms(ledger, first, last, end),
        "reports": fits,
        "concordance": [
            asdict(one) for one in concordance(table, agreement.GROUPS, errors=shipped("en"))
        ],
        "second_looks": _tally(looks),
        "events": _events(ledger, start, end),
        "not_monitored": NOT_MONITORED,
    }
    rounded = _rounded(content)
    assert isinstance(rounded, dict)
    return rounded


def _models(ledger: Ledger, start: float, end: float) -> list[dict[str, Any]]:
    """What ran, and from when to when."""
    made: list[tuple[float, dict[str, Any]]] = []
    with ledger.read() as connection:
        digest = _next_model(connection, "")
        while digest is not None:
            made += _model(connection, digest, start, end)
            digest = _next_model(connection, digest)
    return [one for _, one in sorted(made, key=lambda pair: (pair[0], pair[1]["digest"]))]


def _next_model(connection: Connection, after: str) -> str | None:
    query = select(func.min(results.c.model_digest)).where(results.c.model_digest > after)
    return connection.execute(query).scalar()


def _model(
    connection: Connection, digest: str, start: float, end: float
) -> Iterator[tuple[float, dict[str, Any]]]:
    """How many films a model read in the period, by its index alone; nothing where none."""
    at = results.c.predicted_at
    within = (results.c.model_digest == digest, at >= start, at < end)
    counted = select(func.count(), func.min(at), func.max(at)).where(*within)
    n, begin, until = connection.execute(counted).one()
    if not n:
        return
    named = select(results.c.model_name, results.c.model_version).where(*within)
    name, version = connection.execute(named.order_by(at).limit(1)).one()
    yield (
        begin,
        {
            "name": name,
            "version": version,
            "digest": digest,
            "n": n,
            "first_day": chart_sums.day_of(begin).isoformat(),
            "last_day": chart_sums.day_of(until).isoformat(),
        },
    )


def _films(ledger: Ledger, first: date, last: date) -> dict[str, Any]:
    """Films that ended, and refusals by reason."""
    with ledger.read() as connection:
        days = chart_sums.read(connection, since=first, until=last)
        ended = chart_sums.n_ended(connection, first, last)
    refused = {
        name.removeprefix(chart_names.refused("")): sum(s.total for s in sums)
        for name, sums in days.items()
        if name.startswith(chart_names.refused(""))
    }
    return {"n": ended, "refused": {reason: int(n) for reason, n in refused.items() if n}}


def _chart(one: Chart, first: date) -> dict[str, Any]:
    """A chart with its two sums and their lines."""
    made = chart_content(one, first)
    points = made.pop("points")
    n = sum(point["n"] for point in points)
    return made | {
        "limit": one.cusum_limit,
        "n_days": len(points),
        "n_films": n,
        "mean": sum(point["value"] * point["n"] for point in points) / n if n else None,
        "up": [[point["day"], point["up"]] for point in points],
        "down": [[point["day"], point["down"]] for point in points],
        "up_line": _line([point["up"] for point in points], one.cusum_limit),
        "down_line": _line([point["down"] for point in points], one.cusum_limit),
    }


def _line(values: list[float], limit: float) -> str:
    """Points of an SVG polyline; the limit lies at half the height."""
    step = _WIDTH / max(len(values) - 1, 1)
    tops = [_HEIGHT - min(value / (2 * limit), 1.0) * _HEIGHT for value in values]
    return " ".join(f"{i * step:.1f},{top:.1f}" for i, top in enumerate(tops))


def _alarms(ledger: Ledger, first: date, last: date, end: float) -> list[dict[str, Any]]:
    """Alarms that were open at some time of the period, as they were at its end."""
    made = []
    for one in alarms.kept(ledger):
        closed = one.acknowledged_at if one.acknowledged_at and one.acknowledged_at < end else None
        if one.alarm.first > last or (closed and chart_sums.day_of(closed) < first):
            continue
        made.append(
            {
                "number": one.id,
                "first_day": one.alarm.first.isoformat(),
                "charts": [f"{name} {way}" for name, way in one.alarm.charts],
                "closed_day": chart_sums.day_of(closed).isoformat() if closed else "",
                "by": one.actor if closed else "",
                "action": one.action if closed else "",
                "note": one.note if closed else "",
                "new_baseline": one.new_baseline if closed else False,
            }
        )
    return made


def _tally(looks: list[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    made: dict[str, dict[str, int]] = {}
    for one in looks:
        counts = made.setdefault(one["finding"], {})
        counts[one["outcome"]] = counts.get(one["outcome"], 0) + 1
    return made


def _events(ledger: Ledger, start: float, end: float) -> dict[str, Any]:
    """How often what was done, and the head of the audit trail at the end."""
    within = (audit.c.at >= start, audit.c.at < end)
    counted = select(audit.c.action, func.count()).where(*within).group_by(audit.c.action)
    head = select(audit.c.id, audit.c.hash).where(audit.c.at < end)
    with ledger.read() as connection:
        rows = connection.execute(counted.order_by(audit.c.action))
        actions = {str(action): int(n) for action, n in rows}
        row = connection.execute(
            head.order_by(audit.c.at.desc(), audit.c.id.desc()).limit(1)
        ).one_or_none()
    number, digest = (row.id, row.hash) if row is not None else (0, "")
    return {"actions": actions, "audit_entry": number, "head": digest}


def _seconds(day: date) -> float:
    return datetime.combine(day, time(), timezone.utc).timestamp()


def _rounded(value: Any) -> Any:
    """Plain values with rounded numbers; what is not known is null."""
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
