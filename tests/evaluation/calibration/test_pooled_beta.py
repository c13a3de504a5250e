from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_cxr.evaluation.calibration.calibrator import fit_calibrator
from monai_cxr.evaluation.calibration.choice import _advantage
from monai_cxr.evaluation.calibration.methods import POOLED, apply_method, beta_features
from monai_cxr.evaluation.calibration.pooled_beta import (
    LEAST_CASES,
    _non_negative,
    _shrunk,
    fit_pooled_beta,
)
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.statistics.logistic import fit_logistic
from monai_cxr.evaluation.statistics.logits import sigmoid


def many_findings(shares, n=3000, slope=0.5, seed=0):
    """One over-confident network: every finding's right slope is the same."""
    rng = np.random.default_rng(seed)
    truth = np.log(np.array(shares)) + rng.normal(size=(n, len(shares)))
    labels = (rng.random(truth.shape) < sigmoid(truth)).astype(float)
    return truth / slope, labels, np.arange(n), sigmoid(truth)


class TestPooling:
    def test_a_rare_finding_takes_the_slopes_of_the_others(self):
        z, y, patients, truth = many_findings([0.2, 0.2, 0.2, 0.2, 0.002])
        assert 2 <= y[:, 4].sum() < LEAST_CASES
        fitted = fit_pooled_beta(z, y, patients)
        p = apply_method(POOLED, z[:, 4], fitted[4])
        assert p.mean() == pytest.approx(y[:, 4].mean(), abs=1e-9)
        alone = fit_logistic(beta_features(z[:, 4]), y[:, 4])
        own = sigmoid(alone[0] + beta_features(z[:, 4]) @ alone[1:])
        scale = y[:, 4].mean() / truth[:, 4].mean()
        assert np.abs(p - scale * truth[:, 4]).mean() < np.abs(own - scale * truth[:, 4]).mean()

    def test_a_shift_of_the_logits_makes_no_difference(self):
        z, y, patients, _ = many_findings([0.1, 0.2, 0.3, 0.05])
        moved = z + np.array([3.0, -1.0, 0.5, 2.0])
        first, second = (fit_pooled_beta(x, y, patients) for x in (z, moved))
        for i in range(4):
            np.testing.assert_allclose(
                apply_method(POOLED, z[:, i], first[i]),
                apply_method(POOLED, moved[:, i], second[i]),
                atol=1e-9,
            )

    def test_ranks_stay(self):
        z, y, patients, _ = many_findings([0.1, 0.2, 0.3, 0.05])
        for i, parameters in fit_pooled_beta(z, y, patients).items():
            order = np.argsort(z[:, i])
            assert (np.diff(apply_method(POOLED, z[order, i], parameters)) > 0).all()

    def test_equal_evidence_is_drawn_to_the_mean_and_more_evidence_less(self):
        slopes = np.array([[0.6, 0.6], [1.0, 1.0], [1.4, 1.4]])
        spread = np.stack([0.04 * np.eye(2)] * 3)
        mean, shrunk = _shrunk(slopes, spread)
        np.testing.assert_allclose(mean, [1.0, 1.0], atol=1e-6)
        assert 0.6 < shrunk[0, 0] < 1.0 < shrunk[2, 0] < 1.4
        spread[0] /= 100.0
        assert _shrunk(slopes, spread)[1][0, 0] < shrunk[0, 0]

    def test_normal_means_against_the_closed_form(self):
        """With variances known and equal, what is left is a shrinkage by one factor."""
        slopes = np.random.default_rng(0).normal(2.0, 0.5, size=(12, 2))
        _, shrunk = _shrunk(slopes, np.stack([0.01 * np.eye(2)] * 12))
        between = np.cov(slopes.T, bias=True) - 0.01 * np.eye(2)
        keep = between @ np.linalg.inv(between + 0.01 * np.eye(2))
        expected = slopes.mean(axis=0) + (slopes - slopes.mean(axis=0)) @ keep.T
        np.testing.assert_allclose(shrunk, expected, atol=1e-3)

    def test_no_slope_is_negative(self):
        np.testing.assert_allclose(
            _non_negative(np.array([1.0, -0.5]), np.array([[1.0, 0.4], [0.4, 1.0]])), [1.2, 0.0]
        )
        np.testing.assert_array_equal(_non_negative(np.array([-1.0, -1.0]), np.eye(2)), [1.0, 1.0])

    def test_too_few_findings_to_pool(self):
        z, y, patients, _ = many_findings([0.2, 0.2])
        assert fit_pooled_beta(z, y, patients) == {}

    def test_findings_without_a_class_or_contrast_are_left_out(self):
        z, y, patients, _ = many_findings([0.2, 0.2, 0.2, 0.2, 0.2, 0.2])
        y[:, 0], y[:, 1], z[:, 2] = 0.0, np.nan, 1.0
        assert set(fit_pooled_beta(z, y, patients)) == {3, 4, 5}

    def test_evidence_counts_by_patient(self):
        z, y, patients, _ = many_findings([0.2, 0.2, 0.2], n=1500)
        y[:, 0] = (np.random.default_rng(1).random(1500) < sigmoid(1.5 * z[:, 0] - 1)).astype(float)
        one = fit_pooled_beta(z, y, patients)
        many = fit_pooled_beta(np.tile(z, (4, 1)), np.tile(y, (4, 1)), np.tile(patients, 4))
        for key in ("a", "b", "c", "shift"):
            assert many[0][key] == pytest.approx(one[0][key], abs=1e-6)


class TestChoice:
    def test_pooled_is_the_default_with_enough_findings(self, published):
        some = published.where(np.arange(len(published)) < 3000)
        chosen = {part.method for part in fit_calibrator(some).findings}
        assert "pooled_beta" in chosen
        assert fit_calibrator(some).findings[0].log_loss_by_method["pooled_beta"] > 0

    def test_another_method_needs_clear_evidence(self):
        patients = np.arange(100)
        assert _advantage(np.full(100, 0.1), patients) == pytest.approx(10.0)
        assert _advantage(np.full(100, 0.1), np.repeat(np.arange(4), 25)) == pytest.approx(2.0)
        assert _advantage(np.zeros(100), patients) == 0.0

    def test_a_step_beats_smooth_curves_where_the_truth_is_one(self, table):
        rng = np.random.default_rng(0)
        n = 12_000
        z = rng.normal(size=n)
        y = (rng.random(n) < np.where(np.abs(z) < 1.0, 0.3, np.where(z > 0, 0.35, 0.02))) * 1.0
        big = {"sop_uid": [f"i{i}" for i in range(n)], "patient_id": [f"P{i}" for i in range(n)]}
        big |= {"logit_Mass": z, "label_Mass": y}
        assert fit_calibrator(load_predictions(pd.DataFrame(big))).findings[0].method == "isotonic"
