from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.intervals import (
    BootstrapPlan,
    centred_interval,
    delong,
    delong_covariance,
    effective_patients,
    patient_codes,
    percentile_interval,
    wilson,
)


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


class TestDeLong:
    def test_against_the_definition(self):
        rng = np.random.default_rng(0)
        labels = (rng.random(80) < 0.4).astype(float)
        scores = np.stack([(labels + rng.normal(size=80)).round(1), rng.normal(size=80).round(1)])
        areas, covariance = delong_covariance(scores, labels)
        x, y = scores[:, labels == 1], scores[:, labels == 0]
        psi = (x[:, :, None] > y[:, None, :]) + 0.5 * (x[:, :, None] == y[:, None, :])
        v10, v01 = psi.mean(axis=2), psi.mean(axis=1)
        expected = np.cov(v10) / x.shape[1] + np.cov(v01) / y.shape[1]
        np.testing.assert_allclose(covariance, expected, atol=1e-12)
        np.testing.assert_allclose(areas, [roc_auc_score(labels, s) for s in scores], atol=1e-12)

    def test_interval_is_the_logit_interval(self):
        rng = np.random.default_rng(1)
        labels = (rng.random(200) < 0.3).astype(float)
        scores = labels + rng.normal(size=200)
        areas, covariance = delong_covariance(scores, labels)
        a, se = areas[0], math.sqrt(covariance[0, 0])
        half = stats.norm.ppf(0.975) * se / (a * (1 - a))
        expected = 1 / (1 + np.exp(-(np.log(a / (1 - a)) + np.array([-half, half]))))
        interval = delong(scores, labels)
        assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-12)

    def test_gaps(self):
        assert math.isnan(delong([0.1, 0.2], [0, 0]).estimate)
        assert math.isnan(delong([0.1, 0.2, 0.3], [0, 0, 1]).low)
        assert delong([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]).estimate == 1.0


class TestBootstrapPlan:
    def test_weights_are_multiplicities_of_patients(self):
        plan = BootstrapPlan(50, 70, 1)
        blocks = np.concatenate(list(plan.blocks()), axis=1)
        assert blocks.shape == (50, 70)
        np.testing.assert_array_equal(blocks.sum(axis=0), 50)
        assert len(np.unique(blocks, axis=1).T) == 70

    def test_the_seed_decides(self):
        first, second = BootstrapPlan(9, 5, 1), BootstrapPlan(9, 5, 2)
        np.testing.assert_array_equal(first.block(0), BootstrapPlan(9, 5, 1).block(0))
        assert not np.array_equal(first.block(0), second.block(0))

    def test_multiplicities_are_binomial(self):
        weights = BootstrapPlan(200, 320, 0).block(0).ravel()
        expected = stats.binom.pmf(np.arange(6), 200, 1 / 200)
        observed = np.bincount(weights.astype(int), minlength=6)[:6] / len(weights)
        np.testing.assert_allclose(observed, expected, atol=0.02)

    @pytest.mark.parametrize(("patients", "replicates"), [(0, 10), (10, -1)])
    def test_nothing_to_draw(self, patients, replicates):
        with pytest.raises(SettingsError):
            BootstrapPlan(patients, replicates)

    def test_codes(self):
        codes, n = patient_codes(["b", "a", "b"])
        assert (codes.tolist(), n) == ([1, 0, 1], 2)


class TestPercentiles:
    def test_against_numpy(self):
        values = np.random.default_rng(0).normal(size=999)
        interval = percentile_interval(0.0, values)
        assert (interval.low, interval.high) == pytest.approx(
            tuple(np.percentile(values, [2.5, 97.5])), abs=1e-12
        )

    def test_few_clusters_widen_as_hesterberg_says(self):
        values = np.random.default_rng(0).normal(size=9999)
        interval = percentile_interval(0.0, values, n_clusters=10)
        tail = stats.norm.cdf(math.sqrt(10 / 9) * stats.t.ppf(0.025, 9))
        assert interval.low == pytest.approx(np.quantile(values, tail), abs=1e-12)

    def test_effective_patients(self):
        """Kish: 1 for one patient with everything, P for P patients with one image each."""
        patients = np.array([0, 0, 0, 1, 2, 3])
        assert effective_patients(patients, np.array([1, 1, 1, 0, 0, 0.0])) == 1
        assert effective_patients(patients, np.array([1, 0, np.nan, 1, 1, 0.0])) == 2
        assert effective_patients(patients, np.zeros(6)) == 0
        images = np.array([5, 1, 2])
        labels = np.append(np.ones(8), np.zeros(50))
        codes = np.append(np.repeat([0, 1, 2], images), np.arange(3, 53))
        assert effective_patients(codes, labels) == int(images.sum() ** 2 / (images**2).sum())

    def test_many_empty_replicates_give_no_interval(self):
        values = np.where(np.arange(100) < 6, np.nan, 0.5)
        assert math.isnan(percentile_interval(0.5, values).low)

    def test_centred_intervals_hold_the_estimate(self):
        values = np.abs(np.random.default_rng(0).normal(0.02, 0.004, 1000))
        interval = centred_interval(0.01, values)
        assert interval.low < 0.01 < interval.high
        assert centred_interval(0.0, values).low == 0.0
        assert math.isnan(centred_interval(0.1, []).low)


def test_scipy_bootstrap_agrees_where_each_patient_has_one_image():
    rng = np.random.default_rng(0)
    labels = (rng.random(150) < 0.4).astype(float)
    scores = labels + rng.normal(size=150)
    from monai_cxr.evaluation.statistics.replicates import compile_ranking, replicate

    ranking = compile_ranking(scores, labels, np.arange(150), 150)
    (ours,) = replicate([ranking], BootstrapPlan(150, 2000, 0))
    theirs = stats.bootstrap(
        (scores, labels),
        lambda s, y: roc_auc_score(y, s),
        paired=True,
        vectorized=False,
        n_resamples=600,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert ours.std() == pytest.approx(theirs.standard_error, rel=0.1)
