from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.evaluation.statistics.predictive_values import at_prevalence
from monai_cxr.evaluation.statistics.rates import rates_at


def test_a_table_of_a_thousand_films():
    # 1,000 films, 50 ill: 45 found, 5 missed, 190 false alarms, 760 left alone
    made = at_prevalence(0.9, 0.8, 0.05, n_positive=50, n_negative=950)
    assert made.found * 1000 == pytest.approx(45)
    assert made.missed * 1000 == pytest.approx(5)
    assert made.false_alarms * 1000 == pytest.approx(190)
    assert made.flagged.estimate * 1000 == pytest.approx(235)
    assert made.ppv.estimate == pytest.approx(45 / 235)
    assert made.npv.estimate == pytest.approx(760 / 765)


@pytest.mark.parametrize(("ill", "well", "hits", "alarms"), [(50, 950, 45, 190), (10, 90, 9, 9)])
def test_shares_are_those_of_a_counted_population(ill, well, hits, alarms):
    labels = [1.0] * ill + [0.0] * well
    scores = [1.0] * hits + [0.0] * (ill - hits) + [1.0] * alarms + [0.0] * (well - alarms)
    counted = rates_at(scores, labels, 0.5)
    made = at_prevalence(
        counted.sensitivity, counted.specificity, ill / (ill + well),
        n_positive=ill, n_negative=well,
    )  # fmt: skip
    assert made.ppv.estimate == pytest.approx(counted.ppv)
    assert made.npv.estimate == pytest.approx(counted.npv)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.001, 0.999), st.floats(0, 5e-4))
def test_ppv_grows_with_prevalence(se, sp, prevalence, more):
    low, high = (
        at_prevalence(se, sp, share, n_positive=50, n_negative=50).ppv.estimate
        for share in (prevalence, min(prevalence + more, 0.9995))
    )
    assert high >= low - 1e-12


@pytest.mark.parametrize(("se", "sp", "prevalence"), [(0.9, 0.7, 0.05), (0.95, 0.9, 0.01)])
def test_intervals_hold_the_truth_as_often_as_they_say(se, sp, prevalence):
    generator = np.random.default_rng(1)
    n1, n0 = 60, 400
    true = at_prevalence(se, sp, prevalence, n_positive=n1, n_negative=n0)
    held = dict.fromkeys(("ppv", "npv", "flagged"), 0)
    draws = zip(generator.binomial(n1, se, 300), generator.binomial(n0, sp, 300), strict=True)
    for positive, negative in draws:
        seen = at_prevalence(positive / n1, negative / n0, prevalence, n_positive=n1, n_negative=n0)
        for name in held:
            interval, truth = getattr(seen, name), getattr(true, name).estimate
            held[name] += interval.low <= truth <= interval.high
    assert all(273 <= count <= 297 for count in held.values()), held


def test_nothing_flagged_has_no_ppv():
    made = at_prevalence(0.0, 1.0, 0.1, n_positive=20, n_negative=20)
    assert math.isnan(made.ppv.estimate)
    assert made.npv.estimate == pytest.approx(0.9)


@given(
    st.floats(0, 1), st.floats(0, 1), st.floats(1e-4, 1 - 1e-4),
    st.integers(1, 500), st.integers(1, 500),
)  # fmt: skip
def test_intervals_hold_their_estimates(se, sp, prevalence, n1, n0):
    made = at_prevalence(se, sp, prevalence, n_positive=n1, n_negative=n0)
    for interval in (made.sensitivity, made.specificity, made.ppv, made.npv, made.flagged):
        if not math.isnan(interval.estimate):
            assert -1e-9 <= interval.low <= interval.estimate + 1e-9
            assert interval.estimate - 1e-9 <= interval.high <= 1 + 1e-9
