"""Service charts: alarms are raised once, dealt with by a person, and kept."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring import chart_names
from monai_cxr.monitoring.charts import charts
from monai_cxr.screening.ledger import audit, open_ledger
from monai_cxr.screening.ledger.watching import alarms, chart_sums
from monai_cxr.screening.watching import service_charts

DAY = 86_400.0
N = 20


def run_days(ledger, clock, n_days, *, level=0.5, start=0):
    """Each day some films, whose mean grey value is the level."""
    generator = np.random.default_rng(start)
    for _ in range(n_days):
        with ledger.write() as connection:
            for grey in generator.normal(level, 0.1, N):
                chart_sums.add(connection, {"picture mean": grey}, now=clock.now)
        clock.advance(DAY)


@pytest.fixture
def watched(tmp_path, clock):
    with open_ledger(tmp_path / "l.sqlite", clock=clock) as ledger:
        yield ledger


def test_an_alarm_from_films_to_a_person(watched, clock):
    run_days(watched, clock, 66)
    assert service_charts.look(watched) == 0
    run_days(watched, clock, 6, level=0.7, start=66)
    assert service_charts.look(watched) == 1
    assert service_charts.look(watched) == 0  # the same again is no second alarm
    (found,) = alarms.kept(watched)
    assert found.alarm.charts == (("picture mean", "up"),)
    assert found.is_open
    with pytest.raises(SettingsError, match="name of the person"):
        alarms.acknowledge(watched, found.id, actor=" ", action="none")
    alarms.acknowledge(
        watched, found.id, actor="Dr. Weber", action="new scanner", new_baseline=True
    )
    with pytest.raises(SettingsError, match="no open alarm"):
        alarms.acknowledge(watched, found.id, actor="Dr. Weber", action="again")
    clock.advance(DAY)
    run_days(watched, clock, 30, level=0.7, start=80)
    assert service_charts.look(watched) == 0  # the new level is being learnt
    (kept,) = alarms.kept(watched)
    assert (kept.actor, kept.action, kept.is_open) == ("Dr. Weber", "new scanner", False)
    assert [e.action for e in audit.entries(watched, limit=10**6) if "alarm" in e.action] == [
        "alarm acknowledged",
        "alarm raised",
    ]


def test_without_a_new_baseline_what_stays_alarms_again(watched, clock):
    run_days(watched, clock, 66)
    run_days(watched, clock, 6, level=0.7, start=66)
    assert service_charts.look(watched) == 1
    alarms.acknowledge(watched, 1, actor="Dr. Weber", action="looked: nothing")
    clock.advance(DAY)
    run_days(watched, clock, 6, level=0.7, start=80)
    assert service_charts.look(watched) == 1
    assert [one.is_open for one in alarms.kept(watched)] == [False, True]


def test_a_month_without_films_and_a_clock_that_jumps(watched, clock):
    run_days(watched, clock, 66)
    clock.advance(30 * DAY)
    run_days(watched, clock, 3, start=66)
    now = clock.now
    clock.now += 400 * DAY  # a clock that is ahead for a day
    run_days(watched, clock, 1, level=0.9, start=70)
    clock.now = now
    assert service_charts.look(watched) == 0
    (chart,) = [one for one in service_charts.draw(watched) if one.name == "picture mean"]
    assert len(chart.points) == 9


def test_few_films_say_what_is_missing(watched, clock):
    run_days(watched, clock, 1)
    (chart,) = [one for one in service_charts.draw(watched) if one.name == "picture mean"]
    assert chart.missing == "20 films on 1 days; a baseline needs 400 films on 21 days."


def test_charts_of_ten_years_remember_one(watched, clock):
    """What is drawn, and what is read, does not grow; the year that is drawn is the same."""
    generator = np.random.default_rng(1)
    begin = chart_sums.day_of(clock.now)
    lines = []
    for back in range(3_650):
        day = (begin + timedelta(days=back)).isoformat()
        n_refused = int(generator.random() < 0.1)
        lines.append(("picture mean", day, N, N * generator.normal(0.5, 0.02), N * 0.26))
        lines.append((chart_names.ENDED, day, N, 0.0, 0.0))
        lines.append((chart_names.refused("lateral"), day, n_refused, n_refused, n_refused))
    with watched.write() as connection:
        chart_sums._insert(connection, lines)
    clock.advance(3_650 * DAY)
    drawn = {one.name: one for one in service_charts.draw(watched)}
    since_then = service_charts.draw(watched, since=begin + timedelta(days=3 * 365))
    with watched.read() as connection:
        whole = {one.name: one for one in charts(chart_sums.read(connection))}
    assert set(drawn) == set(whole) == {"picture mean", chart_names.refused("lateral")}
    for name, one in drawn.items():
        assert one.baseline == whole[name].baseline
        assert 365 <= len(one.points) <= 396
        last = [(p.up, p.down, round(p.ewma, 6)) for p in one.points[-250:]]
        assert last == [(p.up, p.down, round(p.ewma, 6)) for p in whole[name].points[-250:]]
    assert len(since_then[0].points) > 6 * 365
