from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from monai_cxr.evaluation.statistics.clusters import Clusters, clusters_of
from monai_cxr.evaluation.statistics.intervals import (
    Resampled,
    difference_interval,
    error_interval,
    mean_error_interval,
    mean_interval,
    mean_of,
    patient_interval,
)
from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.evaluation.statistics.significance import bootstrap_p
from monai_cxr.prediction import Interval


def clusters(n: int, start: int = 0) -> Clusters:
    return clusters_of(np.arange(start, start + n))


def resampled(estimate: float, spread: float, n: int, seed: int = 0, start: int = 0) -> Resampled:
    draws = np.random.default_rng(seed).normal(estimate, spread, 999)
    return Resampled(estimate, draws, clusters(n, start))


class TestPatientInterval:
    def test_many_patients_have_numpy_s_percentiles(self):
        statistic = resampled(0.0, 1.0, 10**6)
        interval = patient_interval(statistic)
        expected = np.percentile(statistic.replicates, [2.5, 97.5])
        assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-4)

    @pytest.mark.parametrize("n", [2, 5, 10, 60])
    def test_few_patients_widen_it_as_hesterberg_says(self, n):
        statistic = resampled(0.0, 1.0, n)
        tail = stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf(0.025, n - 1))
        expected = np.quantile(statistic.replicates, [tail, 1 - tail])
        interval = patient_interval(statistic)
        assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-12)

    def test_one_patient_has_none(self):
        assert math.isnan(patient_interval(resampled(0.5, 0.1, 1)).low)

    def test_many_empty_replicates_give_none(self):
        for empty, given in ((5, True), (6, False)):
            values = np.where(np.arange(100) < empty, np.nan, np.linspace(0.4, 0.6, 100))
            interval = patient_interval(Resampled(0.5, values, clusters(10)))
            assert math.isnan(interval.low) is not given

    def test_an_area_of_one_is_not_certain(self):
        perfect = Resampled(1.0, np.ones(500), clusters(8))
        assert patient_interval(perfect, of_area=True) == wilson(8, 8)


class TestMeans:
    def test_the_mean_of_one_is_that_one(self):
        """Case two-intervals-for-one-number: a macro over one finding is that finding."""
        part = resampled(0.9, 0.05, 7)
        assert mean_interval([part]) == patient_interval(part, of_area=True)
        whole = mean_of([part])
        assert patient_interval(whole) == patient_interval(part)

    def test_replicates_that_lost_a_class_still_average_all_parts(self):
        first, second = resampled(0.9, 0.01, 9), resampled(0.5, 0.01, 9, seed=1)
        second.replicates[::25] = np.nan  # 4 %
        mean = mean_of([first, second])
        assert not np.isnan(mean.replicates).any()
        assert abs(mean.replicates - 0.7).max() < 0.1  # a mean over the first alone would be 0.9
        np.testing.assert_allclose(
            mean.replicates[0], (first.replicates[0] + second.replicates[1]) / 2
        )

    def test_a_part_without_a_distribution_brings_its_widest(self):
        """Two patients decide a finding, so a mean over it is not known as if they did not."""
        sure, unknown = resampled(0.9, 0.01, 200), resampled(0.7, 0.001, 2, start=500)
        unknown.replicates[::5] = np.nan
        assert np.isnan(mean_of([sure, unknown]).replicates).all()
        interval, alone = mean_interval([sure, unknown]), wilson(1.4, 2)
        assert interval.estimate == pytest.approx(0.8)
        assert interval.low <= 0.8 - (0.7 - alone.low) / 2
        assert interval.high >= 0.8 + (alone.high - 0.7) / 2

    def test_shares_weigh(self):
        parts = [resampled(0.9, 0.01, 50), resampled(0.5, 0.01, 50, seed=1)]
        assert mean_interval(parts, [3, 1]).estimate == pytest.approx(0.8)
        weighed = mean_of(parts, [3, 1]).replicates
        expected = 0.75 * parts[0].replicates + 0.25 * parts[1].replicates
        np.testing.assert_allclose(weighed, expected)

    def test_it_is_worth_the_patients_of_the_part_that_varies(self):
        few, many = resampled(0.9, 0.1, 6), resampled(0.8, 0.001, 500, seed=1, start=100)
        assert mean_of([few, many]).clusters.n_effective == 6
        assert mean_of([few, few]).clusters.n_effective == 6

    def test_no_replicates(self):
        bare = [Resampled(0.9, np.empty(0), clusters(9)), Resampled(0.7, np.empty(0), clusters(9))]
        interval = mean_interval(bare)
        assert interval.estimate == pytest.approx(0.8)
        assert math.isnan(interval.low)


class TestDifferences:
    def test_of_one_finding_they_rest_on_its_patients(self):
        first, second = resampled(0.9, 0.05, 7), resampled(0.8, 0.05, 7, seed=1)
        difference = first.minus(second)
        assert difference.clusters.n_effective == 7
        np.testing.assert_array_equal(difference.replicates, first.replicates - second.replicates)

    def test_two_perfect_models_are_not_known_to_be_equal(self):
        perfect = Resampled(1.0, np.ones(500), clusters(5))
        of = patient_interval(perfect, of_area=True)
        interval = difference_interval(perfect.minus(perfect), (of, of))
        assert interval.estimate == 0.0
        assert interval.low < -0.3
        assert interval.high > 0.3

    def test_otherwise_they_are_paired(self):
        first, second = resampled(0.9, 0.01, 50), resampled(0.8, 0.01, 50, seed=1)
        difference = first.minus(second)
        of = (Interval(0.9, 0.8, 0.95), Interval(0.8, 0.7, 0.9))
        assert difference_interval(difference, of) == patient_interval(difference)


class TestErrors:
    def test_they_hold_the_estimate(self):
        values = np.abs(np.random.default_rng(0).normal(0.02, 0.004, 1000))
        interval = error_interval(Resampled(0.01, values, clusters(100)))
        assert interval.low < 0.01 < interval.high
        assert error_interval(Resampled(0.0, values, clusters(100))).low == 0.0
        assert math.isnan(error_interval(Resampled(0.1, np.empty(0), clusters(100))).low)

    def test_few_patients_have_none(self):
        """The share of positives is then too uncertain: benchmarks/interval_coverage.py."""
        values = np.abs(np.random.default_rng(0).normal(0.02, 0.004, 1000))
        few, many = (Resampled(0.01, values, clusters(n)) for n in (5, 6))
        assert math.isnan(error_interval(few).low)
        assert error_interval(many).low < 0.01 < error_interval(many).high
        assert math.isnan(mean_error_interval([few, few, few]).low)
        mixed = mean_error_interval([few, Resampled(0.02, values[::-1], clusters(40))])
        assert mixed.low < mixed.estimate == 0.015 < mixed.high

    def test_an_error_that_may_be_noise_may_be_zero(self):
        """Perfect calibration: resampling the floor F gives sqrt(2) F, and the truth is 0."""
        values = np.random.default_rng(0).normal(0.02 * math.sqrt(2), 0.002, 1000)
        assert error_interval(Resampled(0.02, values, clusters(100))).low == 0.0


class TestP:
    def test_it_is_student_s(self):
        difference = resampled(0.02, 0.01, 8)
        error = difference.replicates.std(ddof=1) * math.sqrt(8 / 7)
        assert bootstrap_p(difference) == pytest.approx(2 * stats.t.sf(0.02 / error, 7))

    def test_it_is_never_zero(self):
        """Case two-intervals-for-one-number: 999 replicates resolve 0.001."""
        assert bootstrap_p(resampled(1.0, 0.001, 500)) == 1.0 / 1000.0
        assert bootstrap_p(Resampled(1.0, np.ones(199), clusters(9))) == 1.0 / 200.0

    def test_no_difference_and_no_interval(self):
        assert bootstrap_p(Resampled(0.0, np.zeros(50), clusters(9))) == 1.0
        gaps = np.array([np.nan] * 10 + [0.1] * 10)
        assert math.isnan(bootstrap_p(Resampled(0.1, gaps, clusters(9))))
        assert math.isnan(bootstrap_p(resampled(0.1, 0.1, 1)))
