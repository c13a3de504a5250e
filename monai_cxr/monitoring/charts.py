"""Charts with memory: CUSUM and EWMA of what a service sees from day to day.

A chart has daily sums of films (counts, totals, squares), which can be added up in any order and by
any number of workers. Its baseline knows weekdays. Everything else (standardised days, sums,
alarms) follows from the daily sums alone, so a restart or a replay changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring.run_length import ALLOWANCE, SMOOTHING, limits_for

Floats = NDArray[np.float64]

FEWEST_BASELINE_DAYS = 21
"""Days with films that a baseline needs: three of each weekday."""

FEWEST_BASELINE_FILMS = 400
"""Films that a baseline needs: a flag rate of 5 % is then known to about 1 %."""

FEWEST_FILMS_A_DAY = 5
"""Days with fewer films are added to the next one."""

DAYS_BETWEEN_ALARMS = 365.0
"""Wanted mean time between false alarms, over all charts together."""

_SHRINKAGE_DAYS = 4.0
"""A weekday's own level counts in full where it was seen much more often than this."""

_LARGEST_STEP = 4.0
"""Standardised days are held within these bounds: one odd day alone must not alarm."""


@dataclass(frozen=True, slots=True, order=True)
class DaySums:
    """What one day adds to a chart.

    Attributes:
        day: The day on which films were finished.
        n: Films.
        total: Sum of their values (flags, measures, seconds).
        squares: Sum of the values' squares.
    """

    day: date
    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Mean value; NaN without films."""
        return self.total / self.n if self.n else math.nan

    def __add__(self, other: DaySums) -> DaySums:
        """Both together, on the later day."""
        return DaySums(
            max(self.day, other.day),
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a chart is like while nothing is wrong.

    Attributes:
        levels: Mean value by weekday, Monday first.
        film_deviation: Standard deviation of single films.
        day_deviation: Standard deviation of a day's level beyond what its films explain.
        n_days: Days it was learnt from.
        n_films: Films of those days.
        first: First of these days.
        last: Last of these days.
    """

    levels: tuple[float, ...]
    film_deviation: float
    day_deviation: float
    n_days: int
    n_films: int
    first: date
    last: date

    def standardised(self, sums: DaySums) -> float:
        """How far a day lies from its weekday's level, in standard deviations of such a day."""
        spread = math.hypot(self.film_deviation / math.sqrt(sums.n), self.day_deviation)
        step = (sums.mean - self.levels[sums.day.weekday()]) / spread if spread else 0.0
        return min(max(step, -_LARGEST_STEP), _LARGEST_STEP)


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """One day of a chart.

    Attributes:
        day: The day.
        n: Films.
        value: Mean value.
        step: Standardised.
        up: CUSUM of what is too high, at least 0.
        down: CUSUM of what is too low, at least 0.
        ewma: Exponentially weighted mean of the steps.
        alarm: ``"up"``, ``"down"`` or ``""``.
    """

    day: date
    n: int
    value: float
    step: float
    up: float
    down: float
    ewma: float
    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart since its baseline.

    Attributes:
        name: What it watches, for example ``"flag_rate Effusion"``.
        baseline: What it is held against; None while it is being learnt.
        missing: Why there is no baseline yet, with what is needed; ``""`` with one.
        points: Days since the baseline, after the start or the last reset.
        cusum_limit: h.
        ewma_limit: L, in standard deviations of the EWMA.
    """

    name: str
    baseline: Baseline | None
    missing: str
    points: tuple[ChartPoint, ...]
    cusum_limit: float
    ewma_limit: float

    @property
    def alarm(self) -> ChartPoint | None:
        """The first day that alarmed since the last reset."""
        return next((point for point in self.points if point.alarm), None)


def learn_baseline(days: Sequence[DaySums]) -> Baseline | str:
    """Learn what a chart is like from days on which nothing was wrong.

    Args:
        days: Daily sums in any order.

    Returns:
        The baseline, or a sentence that says what is missing.
    """
    used = joined_days(days)
    n_films = sum(one.n for one in used)
    if len(used) < FEWEST_BASELINE_DAYS or n_films < FEWEST_BASELINE_FILMS:
        return (
            f"{n_films} films on {len(used)} days; a baseline needs {FEWEST_BASELINE_FILMS} films "
            f"on {FEWEST_BASELINE_DAYS} days."
        )
    total = sum(one.total for one in used)
    overall = total / n_films
    variance = max(sum(one.squares for one in used) / n_films - overall**2, 0.0)
    levels = []
    for weekday in range(7):
        own = [one for one in used if one.day.weekday() == weekday]
        n = sum(one.n for one in own)
        level = sum(one.total for one in own) / n if n else overall
        share = len(own) / (len(own) + _SHRINKAGE_DAYS)
        levels.append(share * level + (1 - share) * overall)
    residuals = np.array([one.mean - levels[one.day.weekday()] for one in used])
    by_films = np.array([variance / one.n for one in used])
    between = max(float(np.mean(residuals**2 - by_films)), 0.0)
    return Baseline(
        tuple(levels),
        math.sqrt(variance),
        math.sqrt(between),
        len(used),
        n_films,
        used[0].day,
        used[-1].day,
    )


def joined_days(days: Sequence[DaySums]) -> tuple[DaySums, ...]:
    """Days in order, equal ones added up, and days with few films joined to the next."""
    by_day: dict[date, DaySums] = {}
    for one in days:
        by_day[one.day] = by_day[one.day] + one if one.day in by_day else one
    made: list[DaySums] = []
    waiting: DaySums | None = None
    for day in sorted(by_day):
        sums = by_day[day] if waiting is None else waiting + by_day[day]
        waiting = sums if sums.n < FEWEST_FILMS_A_DAY else None
        if waiting is None:
            made.append(sums)
    return tuple(made)


def chart(
    name: str,
    days: Sequence[DaySums],
    baseline: Baseline | str,
    limits: tuple[float, float],
    *,
    after: date | None = None,
) -> Chart:
    """Draw a chart from its daily sums.

    Args:
        name: What it watches.
        days: Daily sums; those up to the baseline's last day are left out.
        baseline: See :func:`learn_baseline`.
        limits: CUSUM and EWMA limits of :func:`monai_cxr.monitoring.run_length.limits_for`.
        after: Begin again after this day: an alarm was dealt with then.

    Returns:
        The chart; memory begins at 0.
    """
    if isinstance(baseline, str):
        return Chart(name, None, baseline, (), *limits)
    begin = max(baseline.last, after) if after is not None else baseline.last
    up = down = ewma = 0.0
    bound = limits[1] * math.sqrt(SMOOTHING / (2 - SMOOTHING))
    points = []
    for sums in joined_days([one for one in days if one.day > begin]):
        step = baseline.standardised(sums)
        up = max(0.0, up + step - ALLOWANCE)
        down = max(0.0, down - step - ALLOWANCE)
        ewma = (1 - SMOOTHING) * ewma + SMOOTHING * step
        alarm = ""
        if up > limits[0] or ewma > bound:
            alarm = "up"
        elif down > limits[0] or ewma < -bound:
            alarm = "down"
        points.append(ChartPoint(sums.day, sums.n, sums.mean, step, up, down, ewma, alarm))
    return Chart(name, baseline, "", tuple(points), *limits)


def charts(
    days: Mapping[str, Sequence[DaySums]],
    *,
    baseline_days: int = 60,
    days_between_alarms: float = DAYS_BETWEEN_ALARMS,
    after: Mapping[str, date] | None = None,
    begins: Mapping[str, Sequence[DaySums]] | None = None,
) -> tuple[Chart, ...]:
    """Draw all charts of a service.

    Args:
        days: Daily sums by chart.
        baseline_days: The first so many days with films are the baseline.
        days_between_alarms: Wanted mean time between false alarms of any chart.
        after: Days of the last reset, by chart.
        begins: The first days of charts, by chart, where ``days`` begin later.

    Raises:
        SettingsError: If an option is out of its range.
    """
    if baseline_days < FEWEST_BASELINE_DAYS or days_between_alarms <= 1:
        raise SettingsError(
            f"Expected at least {FEWEST_BASELINE_DAYS} baseline days and more than one day between "
            f"alarms, but got {baseline_days} and {days_between_alarms:g}."
        )
    limits = limits_for(2 * max(len(days), 1), days_between_alarms, baseline_days)
    made = []
    for name, sums in days.items():
        ordered = joined_days((begins or {}).get(name, sums))
        baseline = learn_baseline(ordered[:baseline_days])
        made.append(chart(name, sums, baseline, limits, after=(after or {}).get(name)))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Charts that alarmed for one cause: on days near each other.

    Attributes:
        first: Day of the first alarm.
        last: Day of the last that belongs to it.
        charts: Names, the first to alarm first, each with ``"up"`` or ``"down"``.
    """

    first: date
    last: date
    charts: tuple[tuple[str, str], ...]


def alarms(drawn: Sequence[Chart], *, within: int = 7) -> tuple[Alarm, ...]:
    """One alarm a cause: charts whose first alarms lie within some days of each other."""
    found = sorted(
        (one.alarm.day, one.name, one.alarm.alarm) for one in drawn if one.alarm is not None
    )
    groups: list[list[tuple[date, str, str]]] = []
    for item in found:
        if groups and item[0] - groups[-1][-1][0] <= timedelta(days=within):
            groups[-1].append(item)
        else:
            groups.append([item])
    return tuple(
        Alarm(group[0][0], group[-1][0], tuple((name, way) for _, name, way in group))
        for group in groups
    )
