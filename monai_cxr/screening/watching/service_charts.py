"""Service charts: the charts of a ledger, and the alarms that they raise."""

from __future__ import annotations

from datetime import date, timedelta

from monai_cxr.monitoring.charts import (
    DAYS_BETWEEN_ALARMS,
    Chart,
    DaySums,
    charts,
)
from monai_cxr.monitoring.charts import alarms as alarms_of
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.watching import alarms, chart_sums

BASELINE_DAYS = 60
"""Days with films that a baseline is learnt from."""

MEMORY = timedelta(days=365)
"""Charts begin at 0 so long before the first day that is wanted: a sum that has risen for a year
without an alarm would be forgotten, and in fact each returns to 0 every few days."""


def draw(
    ledger: Ledger,
    *,
    since: date | None = None,
    until: date | None = None,
    baseline_days: int = BASELINE_DAYS,
    days_between_alarms: float = DAYS_BETWEEN_ALARMS,
) -> tuple[Chart, ...]:
    """Draw the charts of a ledger from days that are over.

    However many years there are, the days of a baseline and those from a year before ``since`` on
    are read. A chart of which no film came since then is not drawn.

    Args:
        ledger: The ledger.
        since: First day that is wanted, in UTC; None for the last day.
        until: Last day, in UTC; None for yesterday. Days after it, which a clock that was ahead may
            have left, are not looked at.
        baseline_days: Days that a baseline is learnt from.
        days_between_alarms: Wanted mean time between false alarms of all charts together.
    """
    today = chart_sums.day_of(ledger.clock())
    last = today - timedelta(days=1)
    last = last if until is None else min(until, last)
    # An alarm that was dealt with today is not raised again by the days that raised it.
    anew, learn = alarms.resets(alarms.kept(ledger), until=today if until is None else last)
    begin = (min(since or last, last) - MEMORY).replace(day=1)
    with ledger.read() as connection:
        days = chart_sums.read(connection, since=begin, until=last)
        used: dict[str, list[DaySums]] = {
            name: [one for one in sums if name not in learn or one.day > learn[name]]
            for name, sums in days.items()
        }
        learnt_after = {name: learn.get(name, date.min) for name in used}
        begins = chart_sums.first_days(connection, learnt_after, until=last, n_days=baseline_days)
    return charts(
        used,
        baseline_days=baseline_days,
        days_between_alarms=days_between_alarms,
        after=anew,
        begins=begins,
    )


def look(ledger: Ledger) -> int:
    """Draw the charts and keep the alarms that they raise; gives the number of new ones."""
    return alarms.keep(ledger, alarms_of(draw(ledger)))
