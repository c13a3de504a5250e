from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from monai_cxr.evaluation.statistics.shares import (
    effective_trials,
    mean_of_shares,
    share_interval,
    trials_of,
    wilson,
)
from monai_cxr.prediction import Interval


class TestWilson:
    @pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (3, 10), (470, 1000), (1, 22_433)])
    @pytest.mark.parametrize("level", [0.9, 0.95])
    def test_against_statsmodels(self, k, n, level):
        low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
        interval = wilson(k, n, level=level)
        assert interval.estimate == k / n
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)

    def test_no_trials(self):
        assert math.isnan(wilson(0, 0).estimate)

    @given(st.integers(1, 500), st.data())
    def test_the_trials_come_back(self, n, data):
        interval = wilson(data.draw(st.integers(0, n)), n)
        assert trials_of(interval) == pytest.approx(n, rel=1e-6)


class TestEffectiveTrials:
    def test_one_image_a_patient_is_a_trial_each(self):
        """But for the patients of the rarer outcome, m of them: m / (m + 1) of the trials."""
        hits = np.arange(200) % 4 == 0
        expected = 200 * 50 / 51
        assert effective_trials(hits, np.arange(200)) == pytest.approx(expected, rel=1e-9)

    def test_copies_of_an_image_are_no_evidence(self):
        rng = np.random.default_rng(0)
        hits = rng.random(300) < 0.3
        once = effective_trials(hits, np.arange(300))
        thrice = effective_trials(np.repeat(hits, 3), np.repeat(np.arange(300), 3))
        assert thrice == pytest.approx(once, rel=1e-9)

    def test_against_a_cluster_robust_regression(self):
        """The variance between patients is that of statsmodels' cluster-robust mean."""
        import statsmodels.api as sm

        rng = np.random.default_rng(1)
        patients = np.sort(rng.integers(0, 120, 500))
        hits = rng.random(500) < rng.beta(1, 3, 120)[patients]
        fit = sm.OLS(hits.astype(float), np.ones(500)).fit(
            cov_type="cluster", cov_kwds={"groups": patients, "use_correction": False}
        )
        worth = [
            np.bincount(patients[side]).sum() ** 2 / (np.bincount(patients[side]) ** 2).sum()
            for side in (hits, ~hits)
        ]
        variance = float(fit.cov_params()[0, 0]) * (min(worth) + 1) / min(worth)
        p = hits.mean()
        assert effective_trials(hits, patients) == pytest.approx(p * (1 - p) / variance, rel=1e-9)

    def test_never_more_than_the_images(self):
        patients = np.repeat(np.arange(10), 2)
        hits = np.tile([True, False], 10)  # each patient half and half: no variance between them
        assert effective_trials(hits, patients) == 20.0

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
    def test_bounds(self, drawn):
        hits, patients = np.array([h for h, _ in drawn]), np.array([p for _, p in drawn])
        assert 1.0 - 1e-9 <= effective_trials(hits, patients) <= len(hits) + 1e-9
        interval = share_interval(hits, patients)
        assert 0.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
        assert interval.high - interval.low > 0.0

    def test_nothing(self):
        empty = np.empty(0)
        assert math.isnan(share_interval(empty.astype(bool), empty.astype(np.intp)).estimate)


def test_a_share_of_one_counts_its_patients():
    patients = np.repeat(np.arange(8), 5)
    interval = share_interval(np.ones(40, dtype=bool), patients)
    assert interval.low == pytest.approx(proportion_confint(8, 8, method="wilson")[0])


def test_the_mean_of_shares_is_zou_and_donner_s():
    shares = [Interval(1.0, 0.6, 1.0), Interval(0.0, 0.0, 0.3), Interval(0.5, 0.2, 0.7)]
    mean = mean_of_shares(shares)
    assert mean.estimate == pytest.approx(0.5)
    assert mean.low == pytest.approx(0.5 - math.sqrt(0.4**2 + 0.3**2) / 3)
    assert mean.high == pytest.approx(0.5 + math.sqrt(0.3**2 + 0.2**2) / 3)
