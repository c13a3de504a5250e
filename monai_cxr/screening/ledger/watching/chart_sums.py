"""Chart sums: what each film adds to the charts, in the transaction that ends its job.

A line (chart, day, films, sum, sum of squares) is added for each transaction and chart, never
changed, so that two writers do not wait for each other; from time to time the lines of a day are
added up into one. Values are rounded to 1/4096, which makes all sums exact: neither the order of
films nor the adding up changes a bit. A film counts once, whatever is repeated: with its first
result, and with its first end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from monai_cxr.monitoring import chart_names
from monai_cxr.monitoring.charts import DaySums, joined_days
from monai_cxr.screening.ledger.records import Outcome
from monai_cxr.screening.ledger.schema import chart_sums, quarantine, results

_STEPS = 4096.0
_LONGEST_VALUE = 64
"""Characters of a maker's name that a chart's name keeps."""


def day_of(seconds: float) -> date:
    """The day in UTC: the same on every host, whatever its zone."""
    return datetime.fromtimestamp(seconds, timezone.utc).date()


def of_result(connection: Connection, row: Any, outcome: Outcome, *, now: float) -> None:
    """Add a film's result, before it is stored; a second model's result adds nothing.

    Args:
        connection: A transaction that writes.
        row: The film's row, locked.
        outcome: Outcome of a film, with its prediction.
        now: Seconds since 1970.
    """
    assert outcome.prediction is not None
    if _has_result(connection, row.sop_uid):
        return
    values: dict[str, float] = {}
    for score in outcome.prediction.scores:
        values[chart_names.score(score.finding)] = score.logit
        if score.positive is not None:
            values[chart_names.flag_rate(score.finding)] = float(score.positive)
    quality = {} if outcome.facts is None else outcome.facts.quality
    values |= {chart_names.picture(name): value for name, value in quality.items()}
    values |= _of_groups(outcome, values)
    values[chart_names.TURNAROUND] = math.log10(max(now - row.received_at, 1.0))
    if not _was_refused(connection, quarantine.c.film_id == row.id):
        values[chart_names.ENDED] = 0.0
    add(connection, values, now=now)


def _of_groups(outcome: Outcome, values: Mapping[str, float]) -> dict[str, float]:
    """What a film adds to the charts of its maker and its view: its flags and its mean gray."""
    if outcome.facts is None:
        return {}
    columns = outcome.facts.columns
    flags = [v for name, v in values.items() if name.startswith(chart_names.flag_rate(""))]
    kept = {chart_names.FLAGS: float(sum(flags))} if flags else {}
    mean = chart_names.picture("mean")
    kept |= {mean: values[mean]} if mean in values else {}
    return {
        chart_names.of_group(name, fact, str(columns.get(fact) or "")[:_LONGEST_VALUE]): value
        for name, value in kept.items()
        for fact in chart_names.GROUPED
    }


def of_refusal(
    connection: Connection, reason: str, known: Any, sop_uid: str, *, now: float
) -> None:
    """Add a refusal, before it is stored; a film that ended before adds nothing.

    Args:
        connection: A transaction that writes.
        reason: Reason code.
        known: Condition on ``quarantine`` for an earlier entry of the same film or file.
        sop_uid: SOP Instance UID of the film, or ``""``.
        now: Seconds since 1970.
    """
    if _was_refused(connection, known) or (sop_uid and _has_result(connection, sop_uid)):
        return
    add(connection, {chart_names.ENDED: 0.0, chart_names.refused(reason): 1.0}, now=now)


def read(
    connection: Connection, *, since: date | None = None, until: date | None = None
) -> dict[str, list[DaySums]]:
    """Daily sums by chart, in the order of their names.

    Args:
        connection: A transaction.
        since: The first day wanted; None for all.
        until: The last day wanted; None for all.

    Returns:
        Refusals by reason as shares of the films that ended, so they have days without one.
    """
    made: dict[str, list[DaySums]] = {}
    for name, sums in _days(connection, since=since, until=until):
        made.setdefault(name, []).append(sums)
    return _shares(made)


def first_days(
    connection: Connection, after: Mapping[str, date], *, until: date, n_days: int
) -> dict[str, list[DaySums]]:
    """The first days of charts, each by a look at an index, as :func:`read` gives them.

    Args:
        connection: A transaction.
        after: By chart, the day after which they are counted.
        until: The last day wanted.
        n_days: How many days with films are wanted; days with few films are joined, so that there
            may be more.
    """
    made: dict[str, list[DaySums]] = {}
    for name, day in after.items():
        of = chart_names.ENDED if name.startswith(chart_names.refused("")) else name
        found, limit = _chart_days(connection, of, day, until, n_days), n_days
        while len(found) == limit and len(joined_days(found)) < n_days:
            limit *= 2
            found = _chart_days(connection, of, day, until, limit)
        if of != name:
            last = found[-1].day if found else day
            own = {sums.day: sums.total for sums in _chart_days(connection, name, day, last)}
            found = [_share(sums, own) for sums in found]
        made[name] = found
    return made


def _chart_days(
    connection: Connection, chart: str, after: date, until: date, limit: int | None = None
) -> list[DaySums]:
    since = after + timedelta(days=1)
    found = _days(connection, since=since, until=until, chart=chart, limit=limit)
    return [sums for _, sums in found]


def _days(
    connection: Connection,
    *,
    since: date | None,
    until: date | None,
    chart: str | None = None,
    limit: int | None = None,
) -> Iterator[tuple[str, DaySums]]:
    columns = (chart_sums.c.n, chart_sums.c.total, chart_sums.c.squares)
    key = (chart_sums.c.chart, chart_sums.c.day)
    query = select(*key, *map(func.sum, columns)).group_by(*key).order_by(*key).limit(limit)
    if since is not None:
        query = query.where(chart_sums.c.day >= since.isoformat())
    if until is not None:
        query = query.where(chart_sums.c.day <= until.isoformat())
    if chart is not None:
        query = query.where(chart_sums.c.chart == chart)
    for name, day, n, total, squares in connection.execute(query):
        yield name, DaySums(date.fromisoformat(day), int(n), float(total), float(squares))


def _shares(made: dict[str, list[DaySums]]) -> dict[str, list[DaySums]]:
    ended = made.pop(chart_names.ENDED, [])
    for name in [name for name in made if name.startswith(chart_names.refused(""))]:
        refused = {one.day: one.total for one in made[name]}
        made[name] = [_share(one, refused) for one in ended]
    return made


def _share(ended: DaySums, refused: Mapping[date, float]) -> DaySums:
    n = refused.get(ended.day, 0.0)
    return DaySums(ended.day, ended.n, n, n)


def n_ended(connection: Connection, first: date, last: date) -> int:
    """Films that came to a first end on these days."""
    table = chart_sums.c
    query = select(func.coalesce(func.sum(table.n), 0)).where(table.chart == chart_names.ENDED)
    within = table.day.between(first.isoformat(), last.isoformat())
    return int(connection.execute(query.where(within)).scalar_one())


def compact(connection: Connection, *, now: float) -> None:
    """Add up the lines of yesterday and today; within the lock of the tallies' compaction."""
    days = [(day_of(now) - timedelta(days=back)).isoformat() for back in (0, 1)]
    table = chart_sums.c
    gone = delete(chart_sums).where(table.day.in_(days))
    gone_rows = connection.execute(gone.returning(table.chart, table.day, table.n, table.total,
                                                  table.squares))  # fmt: skip
    sums: dict[tuple[str, str], tuple[int, float, float]] = {}
    for chart, day, n, total, squares in gone_rows:
        known = sums.get((chart, day), (0, 0.0, 0.0))
        sums[chart, day] = (known[0] + n, known[1] + total, known[2] + squares)
    _insert(connection, ((*key, *value) for key, value in sorted(sums.items())))


def add(connection: Connection, values: Mapping[str, float], *, now: float) -> None:
    """Add one film's values by chart, on the day of ``now``; what is not finite is left out."""
    day = day_of(now).isoformat()
    exact = {
        name: round(value * _STEPS) / _STEPS
        for name, value in values.items()
        if math.isfinite(value)
    }
    _insert(connection, ((name, day, 1, value, value * value) for name, value in exact.items()))


def _insert(connection: Connection, lines: Iterable[tuple[str, str, int, float, float]]) -> None:
    names = ("chart", "day", "n", "total", "squares")
    rows = [dict(zip(names, line, strict=True)) for line in lines]
    if rows:
        connection.execute(insert(chart_sums), rows)


def _has_result(connection: Connection, sop_uid: str) -> bool:
    query = select(results.c.id).where(results.c.sop_uid == sop_uid).limit(1)
    return connection.execute(query).first() is not None


def _was_refused(connection: Connection, known: Any) -> bool:
    return connection.execute(select(quarantine.c.id).where(known).limit(1)).first() is not None
