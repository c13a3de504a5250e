from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.json_values import json_of
from monai_cxr.evaluation.robustness import robustness_curve
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.evaluation.statistics.perturbation import PERTURBATIONS, compress, rotate
from monai_cxr.prediction import Interval, OperatingPoint


@pytest.fixture
def film():
    y, x = np.mgrid[0:48, 0:40] / 48.0
    return np.clip(0.5 + 0.4 * np.sin(5 * x) * np.cos(7 * y), 0, 1).astype(np.float32)


class TestPerturbations:
    @pytest.mark.parametrize("name", PERTURBATIONS)
    def test_a_film_stays_a_film(self, film, name):
        perturbation = PERTURBATIONS[name]
        before = film.copy()
        for amount in perturbation.amounts:
            changed = perturbation.apply(film, amount, 1)
            assert changed.shape == film.shape
            assert changed.dtype == np.float32
            assert 0.0 <= changed.min() <= changed.max() <= 1.0
            np.testing.assert_array_equal(changed, perturbation.apply(film, amount, 1))
        np.testing.assert_array_equal(film, before)

    @pytest.mark.parametrize("name", PERTURBATIONS)
    def test_no_amount_is_no_change_and_more_is_more(self, film, name):
        perturbation = PERTURBATIONS[name]
        tolerance = 0.03 if name == "compression" else 2e-6
        np.testing.assert_allclose(perturbation.apply(film, 0.0, 0), film, atol=tolerance)
        positive = [amount for amount in perturbation.amounts if amount > 0]
        changes = [np.abs(perturbation.apply(film, a, 0) - film).mean() for a in positive]
        assert changes == sorted(changes)
        assert changes[0] > 0

    def test_seeds_turn_both_ways(self, film):
        assert not np.array_equal(rotate(film, 5.0, 0), rotate(film, 5.0, 1))

    def test_impossible_amounts(self, film):
        with pytest.raises(SettingsError):
            compress(film, 100.0)
        with pytest.raises(SettingsError):
            PERTURBATIONS["collimation"].apply(film, 1.0, 0)


class TestCurve:
    def test_change_of_auroc_and_decisions(self, predictions):
        rng = np.random.default_rng(0)
        shape = predictions.probabilities.shape
        noisy = {
            amount: predictions.with_probabilities(
                np.clip(predictions.probabilities + amount * rng.normal(size=shape), 0, 1)
            )
            for amount in (0.5, 0.1)
        }
        point = OperatingPoint("Mass", 0.3, "youden", Interval(0.8), Interval(0.8), 1, 1)
        points = robustness_curve(
            predictions, noisy, perturbation="noise", operating_points=[point], n_bootstrap=100
        )
        assert [p.amount for p in points] == [0.1] * 4 + [0.5] * 4
        last = points[4]
        expected = auroc(noisy[0.5].probabilities[:, 0], predictions.labels[:, 0]) - auroc(
            predictions.probabilities[:, 0], predictions.labels[:, 0]
        )
        assert last.auroc_change.estimate == pytest.approx(expected, abs=1e-12)
        assert last.auroc_change.high < 0
        assert 0 < last.flipped < 1
        assert np.isnan(points[5].flipped)
        assert len(points) == 8
        assert json_of(points)[5]["flipped"] is None

    def test_other_images_are_refused(self, predictions):
        other = dataclasses.replace(predictions, image_ids=predictions.image_ids[::-1])
        with pytest.raises(InvalidTable, match="same films"):
            robustness_curve(predictions, {1.0: other}, perturbation="noise")
