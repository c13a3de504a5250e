"""Alarms: what charts raised, who dealt with it and how; kept for ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, func, select, update

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring.charts import Alarm
from monai_cxr.screening.ledger import audit
from monai_cxr.screening.ledger.database import Ledger, lock
from monai_cxr.screening.ledger.schema import alarms, values_of
from monai_cxr.screening.ledger.watching.chart_sums import day_of

_ALARM_LOCK = 0x63787204
"""Two processes that look at the same time raise one alarm."""


@dataclass(frozen=True, slots=True)
class KeptAlarm:
    """An alarm of the ledger.

    Attributes:
        id: Its number.
        alarm: Days and charts.
        raised_at: Seconds since 1970.
        acknowledged_at: Or None while it is open.
        actor: The person who dealt with it.
        action: What was done.
        note: Further words.
        new_baseline: Whether its charts learn a new baseline from then on.
    """

    id: int
    alarm: Alarm
    raised_at: float
    acknowledged_at: float | None
    actor: str
    action: str
    note: str
    new_baseline: bool

    @property
    def is_open(self) -> bool:
        """Whether nobody has dealt with it yet."""
        return self.acknowledged_at is None


def keep(ledger: Ledger, found: Sequence[Alarm]) -> int:
    """Keep alarms; one of a chart that has an open alarm already belongs to that.

    Args:
        ledger: The ledger.
        found: Alarms of all charts since their last reset.

    Returns:
        How many are new.
    """
    if not found:
        return 0
    now, n_new = ledger.clock(), 0
    with ledger.write() as connection:
        lock(connection, _ALARM_LOCK)
        known = [_alarm_of(row) for row in connection.execute(_open())]
        for one in found:
            same = next((k for k in known if _charts(k.alarm) & _charts(one)), None)
            if same is None:
                connection.execute(alarms.insert().values(**_row(one), raised_at=now))
                n_new += 1
            elif not _charts(one) <= _charts(same.alarm):
                old = same.alarm
                more = tuple(c for c in one.charts if c[0] not in _charts(old))
                days = (min(old.first, one.first), max(old.last, one.last))
                wider = Alarm(*days, old.charts + more)
                this = alarms.c.id == same.id
                connection.execute(update(alarms).where(this).values(**_row(wider)))
        if n_new:
            audit.record(connection, "monitoring", "alarm raised", "", {"n": n_new}, now=now)
    return n_new


def acknowledge(
    ledger: Ledger,
    number: int,
    *,
    actor: str,
    action: str,
    note: str = "",
    new_baseline: bool = False,
) -> KeptAlarm:
    """Close an alarm; its charts begin again on the next day.

    Args:
        ledger: The ledger.
        number: Number of the alarm.
        actor: Name of the person.
        action: What was done.
        note: Further words.
        new_baseline: Whether what is seen from now on is the new normal, and is learnt again.

    Raises:
        SettingsError: If there is no such open alarm, or no name or no action.
    """
    if not actor.strip() or not action.strip():
        raise SettingsError("Expected the name of the person and the action, but one is empty.")
    now = ledger.clock()
    with ledger.write() as connection:
        row = connection.execute(
            update(alarms)
            .where(alarms.c.id == number, alarms.c.acknowledged_at.is_(None))
            .values(
                acknowledged_at=now,
                actor=actor.strip(),
                action=action.strip(),
                note=note,
                new_baseline=int(new_baseline),
            )
            .returning(*alarms.c)
        ).one_or_none()
        if row is None:
            raise SettingsError(f"There is no open alarm {number}: see monai-cxr monitor.")
        detail = {"alarm": number, "action": action.strip(), "new_baseline": new_baseline}
        audit.record(connection, actor.strip(), "alarm acknowledged", "", detail, now=now)
    return _alarm_of(row)


def kept(ledger: Ledger) -> list[KeptAlarm]:
    """All alarms there have been, oldest first."""
    with ledger.read() as connection:
        rows = connection.execute(select(alarms).order_by(alarms.c.id)).all()
    return [_alarm_of(row) for row in rows]


def n_open(connection: Connection) -> int:
    """How many alarms wait for a person."""
    is_open = alarms.c.acknowledged_at.is_(None)
    query = select(func.count()).select_from(alarms).where(is_open)
    return int(connection.execute(query).scalar_one())


def resets(history: Sequence[KeptAlarm], *, until: date) -> tuple[dict[str, date], dict[str, date]]:
    """Days after which charts begin again, and after which they learn a new baseline, by chart."""
    anew: dict[str, date] = {}
    learn: dict[str, date] = {}
    for one in history:
        day = day_of(one.acknowledged_at) if one.acknowledged_at is not None else None
        if day is None or day > until:
            continue
        for name in _charts(one.alarm):
            anew[name] = max(day, anew.get(name, day))
            if one.new_baseline:
                learn[name] = max(day, learn.get(name, day))
    return anew, learn


def _open() -> Any:
    return select(alarms).where(alarms.c.acknowledged_at.is_(None)).order_by(alarms.c.id)


def _charts(alarm: Alarm) -> set[str]:
    return {name for name, _ in alarm.charts}


def _row(alarm: Alarm) -> dict[str, Any]:
    return {
        "first_day": alarm.first.isoformat(),
        "last_day": alarm.last.isoformat(),
        "charts": json.dumps(alarm.charts),
    }


def _alarm_of(row: Any) -> KeptAlarm:
    charts = tuple((str(name), str(way)) for name, way in json.loads(row.charts))
    days = (date.fromisoformat(row.first_day), date.fromisoformat(row.last_day))
    same = ("id", "raised_at", "acknowledged_at", "actor", "action", "note")
    return KeptAlarm(
        alarm=Alarm(*days, charts), new_baseline=bool(row.new_baseline), **values_of(row, same)
    )
