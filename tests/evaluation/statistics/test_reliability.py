from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from evaluation_data import scored_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.logits import sigmoid, to_logits
from monai_cxr.evaluation.statistics.reliability import (
    bin_edges,
    brier_decomposition,
    brier_score,
    calibration_error_floor,
    calibration_slope_and_intercept,
    expected_calibration_error,
    log_loss,
    reliability_curve,
)

EXACT = {"rel": 0, "abs": 1e-9}


def literal_ece(p, y, edges):
    """The definition, bin by bin."""
    bins = [sum(value >= edge for edge in edges) for value in p]
    total = 0.0
    for b in set(bins):
        inside = np.array(bins) == b
        total += inside.mean() * abs(p[inside].mean() - y[inside].mean())
    return total


class TestExpectedCalibrationError:
    @given(scored_labels(both_classes=False), st.sampled_from(["adaptive", "equal_width"]))
    def test_against_the_definition(self, data, binning):
        p, y = data
        expected = literal_ece(p, y, bin_edges(p, binning))
        assert expected_calibration_error(p, y, binning=binning) == pytest.approx(expected, **EXACT)

    def test_curve_against_scikit_learn(self, published):
        for i in range(14):
            p, y = published.probabilities[:, i], published.labels[:, i]
            observed, predicted = calibration_curve(y, p, n_bins=15)
            curve = reliability_curve(p, y, binning="equal_width")
            np.testing.assert_allclose(curve.observed, observed, atol=1e-9)
            np.testing.assert_allclose(curve.predicted, predicted, atol=1e-9)

    @given(scored_labels(), st.data())
    def test_a_weight_is_a_repetition_within_fixed_bins(self, data, more):
        p, y = data
        weights = np.array(more.draw(st.lists(st.integers(0, 3), min_size=len(p), max_size=len(p))))
        actual = expected_calibration_error(p, y, weights, binning="equal_width")
        expected = expected_calibration_error(
            np.repeat(p, weights), np.repeat(y, weights), binning="equal_width"
        )
        assert actual == pytest.approx(expected, nan_ok=True, **EXACT)

    def test_adaptive_bins_hold_as_many_images(self):
        p = np.random.default_rng(0).random(1500)
        np.testing.assert_array_equal(reliability_curve(p, p > 2).counts, 100)

    def test_equal_scores_are_one_bin(self):
        assert len(reliability_curve(np.full(50, 0.3), np.zeros(50)).counts) == 1
        assert expected_calibration_error(np.full(50, 0.3), np.zeros(50)) == pytest.approx(0.3)

    def test_the_floor_is_what_perfect_calibration_shows(self):
        rng = np.random.default_rng(0)
        p = rng.beta(1, 6, 4000)
        shown = [expected_calibration_error(p, (rng.random(4000) < p) * 1.0) for _ in range(200)]
        assert calibration_error_floor(p, np.zeros(4000)) == pytest.approx(np.mean(shown), rel=0.05)

    def test_gaps(self):
        assert np.isnan(expected_calibration_error([0.1], [np.nan]))
        assert np.isnan(calibration_error_floor([0.1], [np.nan]))
        assert len(bin_edges(np.empty(0))) == 0

    def test_unknown_binning_is_refused(self):
        with pytest.raises(SettingsError, match="binning"):
            bin_edges(np.array([0.5]), "quantile")
        with pytest.raises(SettingsError, match="bin"):
            bin_edges(np.array([0.5]), n_bins=0)


class TestScores:
    @given(scored_labels())
    def test_brier_and_log_loss_against_scikit_learn(self, data):
        p, y = data
        assert brier_score(p, y) == pytest.approx(metrics.brier_score_loss(y, p), **EXACT)
        assert log_loss(p, y) == pytest.approx(metrics.log_loss(y, p), **EXACT)

    @given(scored_labels(unknown=True))
    def test_the_parts_add_up(self, data):
        p, y = data
        parts = brier_decomposition(p, y)
        total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bin
        assert parts.brier == pytest.approx(total, abs=1e-12)

    def test_murphys_identity_is_exact_for_discrete_probabilities(self):
        rng = np.random.default_rng(0)
        p = rng.choice([0.05, 0.2, 0.5, 0.9], 3000)
        y = (rng.random(3000) < 0.8 * p).astype(float)
        parts = brier_decomposition(p, y, binning="equal_width", n_bins=20)
        assert parts.within_bin == pytest.approx(0.0, abs=1e-12)
        assert parts.uncertainty == pytest.approx(y.mean() * (1 - y.mean()))

    def test_no_labels_have_no_score(self):
        assert np.isnan(brier_score([0.2], [np.nan]))
        assert np.isnan(log_loss([0.2], [np.nan]))
        assert np.isnan(brier_decomposition([0.2], [np.nan]).brier)


class TestSlopeAndIntercept:
    def test_against_statsmodels_on_the_published_predictions(self, published):
        for i in (0, 4, 13):
            p, y = published.probabilities[:, i], published.labels[:, i]
            z = to_logits(p)
            slope, intercept = calibration_slope_and_intercept(p, y)
            fit = sm.Logit(y, sm.add_constant(z)).fit(disp=0, tol=1e-12, maxiter=100)
            assert slope == pytest.approx(fit.params[1], abs=1e-9)
            large = sm.GLM(y, np.ones((len(y), 1)), family=sm.families.Binomial(), offset=z)
            assert intercept == pytest.approx(large.fit(tol=1e-14).params[0], abs=1e-8)

    def test_perfect_calibration(self):
        rng = np.random.default_rng(0)
        p = sigmoid(rng.normal(-1, 1.5, 40_000))
        slope, intercept = calibration_slope_and_intercept(p, (rng.random(40_000) < p) * 1.0)
        assert (slope, intercept) == pytest.approx((1.0, 0.0), abs=0.05)

    def test_gaps(self):
        assert all(np.isnan(calibration_slope_and_intercept([0.1, 0.2], [0, 0])))
        slope, intercept = calibration_slope_and_intercept([0.5] * 4, [0, 1, 1, 1])
        assert np.isnan(slope)
        assert intercept == pytest.approx(np.log(3))


@given(st.lists(st.floats(-500, 500), min_size=1))
@settings(max_examples=50)
def test_sigmoid_is_exact_far_out(values):
    z = np.array(values)
    with np.errstate(over="ignore"):
        expected = 1.0 / (1.0 + np.exp(-z.astype(np.longdouble)))
    np.testing.assert_allclose(sigmoid(z), expected.astype(float), rtol=1e-3, atol=1e-15)
    near = np.abs(z) < 13
    np.testing.assert_allclose(to_logits(sigmoid(z))[near], z[near], atol=1e-6)
