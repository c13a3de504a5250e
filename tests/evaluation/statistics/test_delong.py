from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from monai_cxr.evaluation.statistics.delong import delong, delong_covariance


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
