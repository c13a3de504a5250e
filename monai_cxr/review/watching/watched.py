"""Watched: the charts and alarms of a service as answers to a reader's questions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from monai_cxr.findings import title_of
from monai_cxr.monitoring import chart_names
from monai_cxr.monitoring.chart_content import chart_content
from monai_cxr.monitoring.charts import FEWEST_BASELINE_DAYS, FEWEST_BASELINE_FILMS, Chart
from monai_cxr.monitoring.charts import alarms as alarms_of
from monai_cxr.review.ledger_cases import answering
from monai_cxr.review.words import MEASURES, reason_words
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.watching import alarms, chart_sums
from monai_cxr.screening.ledger.watching.alarms import KeptAlarm
from monai_cxr.screening.watching import service_charts
from monai_cxr.screening.watching.model_spans import ModelSpan, model_spans

WELL, LOOK, UNKNOWN = "well", "look", "unknown"
"""What an answer comes to."""

_WAYS = {"up": "too high", "down": "too low"}
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class InOneSentence:
    """A question's answer in one sentence.

    Attributes:
        state: :data:`WELL`, :data:`LOOK` or :data:`UNKNOWN`.
        words: The sentence.
    """

    state: str
    words: str


@dataclass(frozen=True, slots=True)
class ChartMark:
    """Something that was changed or done, to be marked in a chart.

    Attributes:
        day: When, in UTC.
        words: What.
    """

    day: str
    words: str


@dataclass(frozen=True, slots=True)
class Watched:
    """What the charts of a ledger say now.

    Attributes:
        charts: All of them.
        alarms: Every alarm there has been, oldest first.
        models: Which model read from when to when.
    """

    charts: tuple[Chart, ...]
    alarms: tuple[KeptAlarm, ...]
    models: tuple[ModelSpan, ...]

    @property
    def open_alarms(self) -> tuple[KeptAlarm, ...]:
        """Those that nobody has dealt with."""
        return tuple(one for one in self.alarms if one.is_open)


def watch(ledger: Ledger) -> Watched:
    """Draw the charts of a ledger, and keep the alarms that they raise.

    Raises:
        DeliveryError: If the ledger does not answer.
    """
    with answering():
        drawn = service_charts.draw(ledger)
        alarms.keep(ledger, alarms_of(drawn))
        return Watched(drawn, tuple(alarms.kept(ledger)), model_spans(ledger))


def same_films(seen: Watched) -> InOneSentence:
    """Is it still the same films?"""
    begun = [one for one in seen.charts if one.baseline is not None]
    if seen.open_alarms:
        first = seen.open_alarms[0]
        n = len(seen.open_alarms)
        are = "1 alarm is open" if n == 1 else f"{n} alarms are open"
        return InOneSentence(
            LOOK, f"Look: {are}, since {_day(first.alarm.first)}: {alarm_words(first)}."
        )
    if not begun:
        return InOneSentence(UNKNOWN, _needed(seen.charts))
    since = min(one.points[0].day for one in begun if one.points) if _any(begun) else None
    if since is None:
        return InOneSentence(
            UNKNOWN, "The baseline is learnt. The charts begin with the next whole day."
        )
    days = max(len(one.points) for one in begun)
    of = "the one chart is not" if len(begun) == 1 else f"none of {len(begun)} charts is"
    return InOneSentence(WELL, f"Yes: {of} beyond its limit on {days} days since {_day(since)}.")


def _any(begun: Sequence[Chart]) -> bool:
    return any(one.points for one in begun)


def _needed(drawn: Sequence[Chart]) -> str:
    """What a baseline still needs, in the chart that has most films."""
    if not drawn:
        return (
            "Not known yet: no film was finished on a day that is over. The charts begin after "
            f"{FEWEST_BASELINE_FILMS} films on {FEWEST_BASELINE_DAYS} days."
        )
    told = max(drawn, key=lambda one: int(one.missing.split(" ", 1)[0] or 0)).missing
    return f"Not known yet: so far {told}"


def alarm_words(one: KeptAlarm) -> str:
    """Which charts alarmed, the first before the others."""
    first, *more = alarm_charts(one)
    return first + (f", and {len(more)} more" if more else "")


def alarm_charts(one: KeptAlarm) -> list[str]:
    """Each chart of an alarm, and which way it went."""
    return [f"{chart_words(name)} is {_WAYS[way]}" for name, way in one.alarm.charts]


def alarm_title(one: KeptAlarm) -> str:
    """Number, day and charts of an alarm."""
    return f"Alarm {one.id}, since {_day(one.alarm.first)}: {alarm_words(one)}"


def chart_words(name: str) -> str:
    """A chart's name for people."""
    base, _, group = name.partition(" (")
    kind, _, of = base.partition(" ")
    words = {
        "flag_rate": f"{title_of(of)}, share flagged",
        "score": f"{title_of(of)}, score",
        "picture": MEASURES.get(of, of),
        "refused": f"Refused: {reason_words(of)}",
        chart_names.TURNAROUND: "Turnaround",
        chart_names.FLAGS: "Findings flagged on a film",
    }
    return words.get(kind, base) + (f" ({group}" if group else "")


def nearness(drawn: Sequence[Chart], days: int = 60) -> list[dict[str, Any]]:
    """How near the charts that are nearest to their limit have been to it, day by day.

    Returns:
        ``chart``, ``day`` and ``share`` of the limit, at most 1; the nearest chart first.
    """
    begun = [one for one in drawn if one.points]
    nearest = sorted(begun, key=_worst, reverse=True)[:_SHOWN]
    return [
        {
            "chart": chart_words(one.name),
            "day": point.day.isoformat(),
            "share": round(min(max(point.up, point.down) / one.cusum_limit, 1.0), 3),
        }
        for one in nearest
        for point in one.points[-days:]
    ]


def by_nearness(drawn: Sequence[Chart]) -> list[Chart]:
    """Charts that have begun, the nearest to its limit first."""
    return sorted((one for one in drawn if one.points), key=_worst, reverse=True)


def _worst(one: Chart) -> float:
    last = one.points[-1]
    return max(last.up, last.down) / one.cusum_limit


def chart_lines(one: Chart) -> list[dict[str, Any]]:
    """A chart's days: both sums, the lower one downwards, beside what was seen."""
    return [
        {
            "day": point["day"],
            "up": round(point["up"], 3),
            "down": round(-point["down"], 3),
            "films": point["n"],
            "value": round(point["value"], 4),
            "alarm": bool(point["alarm"]),
        }
        for point in chart_content(one)["points"]
    ]


def chart_caption(one: Chart) -> str:
    """What a chart is held against."""
    base, last = one.baseline, one.points[-1]
    if base is None:
        return one.missing
    level = base.levels[last.day.weekday()]
    return (
        f"Baseline of {base.n_films:,} films on {base.n_days} days, {_day(base.first)} to "
        f"{_day(base.last)}. Last day {last.value:.3g}, expected {level:.3g}; {len(one.points)} "
        f"days without a reset. Limit {one.cusum_limit:.1f}: one false alarm a year over all "
        "charts together. A dot is an alarm, by this sum or by the moving mean (EWMA)."
    )


def changes(seen: Watched) -> list[ChartMark]:
    """What was changed, to be marked in every chart: models and dealt-with alarms."""
    made = [
        ChartMark(chart_sums.day_of(one.first_at).isoformat(), f"{one.name} {one.version}".strip())
        for one in seen.models
    ]
    made += [
        ChartMark(chart_sums.day_of(one.acknowledged_at).isoformat(), f"{one.action} ({one.actor})")
        for one in seen.alarms
        if one.acknowledged_at is not None
    ]
    return sorted(made, key=lambda one: one.day)


def alarm_rows(history: Sequence[KeptAlarm]) -> list[dict[str, str]]:
    """Alarms that were dealt with, the newest first, as rows of a table."""
    return [
        {
            "No.": str(one.id),
            "Since": _day(one.alarm.first),
            "What": alarm_words(one),
            "Done": one.action + (", new baseline" if one.new_baseline else ""),
            "By": one.actor,
            "On": time.strftime("%d %b %Y", time.gmtime(one.acknowledged_at)),
            "Note": one.note,
        }
        for one in reversed(history)
        if one.acknowledged_at is not None
    ]


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def what_was_done(seen: Watched, counts: Mapping[str, int]) -> InOneSentence:
    """What was done?"""
    closed = [one for one in seen.alarms if not one.is_open]
    if not seen.alarms:
        return InOneSentence(WELL, "There has been no alarm.")
    words = f"{len(closed)} of {len(seen.alarms)} alarms were dealt with."
    looks = sum(counts.values())
    if looks:
        words += f" {looks} second look{'s were' if looks > 1 else ' was'} recorded."
    return InOneSentence(LOOK if len(closed) < len(seen.alarms) else WELL, words)
