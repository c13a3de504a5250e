"""Charts: limits by an independent simulation, memory that no replay changes, one alarm a cause."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring.charts import (
    FEWEST_BASELINE_FILMS,
    DaySums,
    alarms,
    chart,
    charts,
    joined_days,
    learn_baseline,
)
from monai_cxr.monitoring.run_length import (
    cusum_limit,
    cusum_run_length,
    ewma_run_length,
    limits_for,
)

MONDAY = date(2026, 1, 5)


def stream(n_days, rate, *, seed=0, films=150, start=MONDAY):
    """Daily sums of a flag; ``rate`` is a number or a function of the day's place."""
    generator = np.random.default_rng(seed)
    made = []
    for place in range(n_days):
        day = start + timedelta(days=place)
        n = int(generator.poisson(films))
        k = float(generator.binomial(n, rate(place) if callable(rate) else rate))
        made.append(DaySums(day, n, k, k))
    return made


class TestRunLength:
    @pytest.mark.parametrize(
        ("limit", "shift", "expected"),
        [(5, 0, 931), (7, 0, 6960), (5, 1, 10.4), (5, 2, 4.0), (7, 1, 14.4), (8, 1, 16.4)],
    )
    def test_known_values(self, limit, shift, expected):
        """Tables of the literature for k = 0.5."""
        assert cusum_run_length(limit, shift) == pytest.approx(expected, rel=0.02)

    @pytest.mark.parametrize(("limit", "shift"), [(2.0, 0.0), (3.0, 0.5)])
    def test_cusum_by_simulation(self, limit, shift):
        generator = np.random.default_rng(1)
        lengths = []
        for _ in range(3000):
            total, n = 0.0, 0
            while total <= limit:
                total, n = max(0.0, total + generator.normal(shift) - 0.5), n + 1
            lengths.append(n)
        error = 3 * np.std(lengths) / np.sqrt(len(lengths))
        assert cusum_run_length(limit, shift) == pytest.approx(np.mean(lengths), abs=error)

    def test_ewma_by_simulation(self):
        generator = np.random.default_rng(2)
        bound = 2.0 * np.sqrt(0.2 / 1.8)
        lengths = []
        for _ in range(3000):
            level, n = 0.0, 0
            while True:
                level, n = max(0.0, 0.8 * level + 0.2 * generator.normal(0.3)), n + 1
                if level > bound:
                    break
            lengths.append(n)
        error = 3 * np.std(lengths) / np.sqrt(len(lengths))
        assert ewma_run_length(2.0, 0.3) == pytest.approx(np.mean(lengths), abs=error + 0.2)

    def test_limits_grow_with_charts_and_with_a_short_baseline(self):
        assert cusum_limit(931.0) == pytest.approx(5.0, abs=0.05)
        assert limits_for(10, 365) > limits_for(2, 365)
        assert limits_for(2, 365, 60) > limits_for(2, 365)


class TestBaseline:
    def test_too_little_says_how_much_is_needed(self):
        said = learn_baseline(stream(20, 0.1, films=1))
        assert isinstance(said, str)
        assert f"{FEWEST_BASELINE_FILMS} films" in said

    def test_a_weekday_has_its_own_level(self):
        weekend = stream(140, lambda place: 0.3 if place % 7 >= 5 else 0.1)
        levels = learn_baseline(weekend).levels
        assert min(levels[5:]) > 0.25
        assert max(levels[:5]) < 0.13

    def test_days_with_few_films_wait_for_the_next(self):
        days = [DaySums(MONDAY + timedelta(days=i), 2, 1.0, 1.0) for i in range(6)]
        made = joined_days(days)
        assert [one.n for one in made] == [6, 6]


class TestMemory:
    @given(st.permutations(range(12)), st.integers(0, 11))
    def test_order_and_parts_change_nothing(self, order, cut):
        """Workers add parts of a day in any order; the chart is the same."""
        parts = stream(12, 0.2, films=30)
        halves = [
            half
            for one in parts
            for half in (
                DaySums(one.day, one.n // 2, one.total // 2, one.squares // 2),
                DaySums(
                    one.day, one.n - one.n // 2, one.total - one.total // 2,
                    one.squares - one.squares // 2,
                ),
            )
        ]  # fmt: skip
        mixed = [halves[2 * i] for i in order] + [halves[2 * i + 1] for i in order[cut:]]
        mixed += [halves[2 * i + 1] for i in order[:cut]]
        assert joined_days(mixed) == joined_days(parts)

    def test_a_shift_is_found_and_a_reset_begins_anew(self):
        days = stream(150, lambda place: 0.10 if place < 100 else 0.16)
        baseline = learn_baseline(days[:60])
        limits = limits_for(10, 365, 60)
        drawn = chart("flag_rate Effusion", days, baseline, limits)
        assert drawn.alarm is not None
        assert drawn.alarm.alarm == "up"
        assert 100 <= (drawn.alarm.day - MONDAY).days <= 112
        again = chart("x", days, baseline, limits, after=MONDAY + timedelta(days=148))
        assert again.alarm is None
        assert len(again.points) == 1

    def test_one_odd_day_does_not_alarm(self):
        days = stream(120, lambda place: 0.9 if place == 80 else 0.1)
        drawn = chart("x", days, learn_baseline(days[:60]), limits_for(10, 365, 60))
        assert drawn.alarm is None


class TestCharts:
    def test_charts_of_one_cause_are_one_alarm(self):
        def moved(place):
            return 0.1 if place < 90 else 0.2

        drawn = charts(
            {
                "flag_rate Effusion": stream(120, moved, seed=1),
                "flag_rate Edema": stream(120, moved, seed=2),
                "flag_rate Hernia": stream(120, 0.1, seed=3),
            }
        )
        (alarm,) = alarms(drawn)
        assert {name for name, _ in alarm.charts} == {"flag_rate Effusion", "flag_rate Edema"}

    def test_a_baseline_of_twenty_films(self):
        (drawn,) = charts({"x": stream(20, 0.1, films=1)})
        assert drawn.baseline is None
        assert "needs" in drawn.missing

    def test_a_month_without_films(self):
        days = stream(70, 0.1) + stream(40, 0.1, start=MONDAY + timedelta(days=100), seed=5)
        (drawn,) = charts({"x": days})
        assert drawn.alarm is None
        assert len(drawn.points) == 50

    def test_options_out_of_range(self):
        with pytest.raises(SettingsError):
            charts({}, baseline_days=5)
