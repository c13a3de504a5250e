from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.statistics.localization import (
    box_mask,
    hot_region,
    intersection_over_union,
    localization_by_finding,
    localize_film,
    pointing_hit,
)


@pytest.fixture
def mask():
    reference = np.zeros((10, 12), dtype=bool)
    reference[2:5, 3:9] = True
    return reference


class TestBoxes:
    def test_x_runs_right_and_y_runs_down(self, mask):
        np.testing.assert_array_equal(box_mask([3, 2, 6, 3], (10, 12)), mask)

    def test_boxes_are_joined_and_cut_off(self):
        mask = box_mask([[-2, -2, 3, 3], [9, 9, 50, 50]], (10, 10))
        assert np.argwhere(mask).tolist() == [[0, 0], [9, 9]]

    @pytest.mark.parametrize("box", [[1, 1, 0, 4], [50, 2, 3, 3]])
    def test_empty_boxes_are_refused(self, box):
        with pytest.raises(InvalidTable):
            box_mask(box, (10, 10))


class TestPointing:
    def test_hit_and_miss(self, mask):
        heat = np.zeros(mask.shape)
        heat[3, 3] = 1.0
        assert pointing_hit(heat, mask)
        assert not pointing_hit(np.roll(heat, -2, axis=1), mask)
        assert pointing_hit(np.roll(heat, -2, axis=1), mask, tolerance=2)

    def test_no_contrast_points_nowhere(self, mask):
        assert not pointing_hit(np.ones(mask.shape), mask)

    @given(st.floats(0.1, 50), st.floats(-5, 5))
    def test_scale_and_offset_change_nothing(self, scale, offset):
        rng = np.random.default_rng(0)
        heat, mask = rng.random((6, 6)), rng.random((6, 6)) < 0.4
        assert pointing_hit(heat * scale + offset, mask) == pointing_hit(heat, mask)


class TestOverlap:
    def test_against_scikit_learn(self):
        rng = np.random.default_rng(0)
        a, b = rng.random((2, 20, 20)) < 0.3
        expected = jaccard_score(a.ravel(), b.ravel())
        assert intersection_over_union(a, b) == pytest.approx(expected, abs=1e-12)
        assert np.isnan(intersection_over_union(a & False, b & False))

    def test_hot_regions(self, mask):
        heat = np.random.default_rng(0).random(mask.shape)
        assert hot_region(heat, "area", mask).sum() == mask.sum()
        span = heat.max() - heat.min()
        np.testing.assert_array_equal(hot_region(heat, 0.5, mask), heat >= heat.min() + 0.5 * span)
        assert not hot_region(np.zeros(mask.shape), 0.5, mask).any()
        with pytest.raises(InvalidTable, match="threshold"):
            hot_region(heat, 1.5, mask)


class TestFilms:
    def test_a_perfect_heatmap(self, mask):
        film = localize_film(mask.astype(float), mask, finding="Mass", patient_id="1")
        assert (film.hit, film.iou, film.inside) == (True, 1.0, 1.0)
        assert film.reference_share == mask.mean()

    def test_bad_heatmaps(self, mask):
        for heat in (np.zeros((3, 3)), np.full(mask.shape, np.nan)):
            with pytest.raises(InvalidTable):
                localize_film(heat, mask, finding="Mass", patient_id="1")
        with pytest.raises(InvalidTable, match="empty"):
            localize_film(np.zeros(mask.shape), mask & False, finding="Mass", patient_id="1")

    def test_random_heatmaps_hit_by_chance(self, mask):
        rng = np.random.default_rng(0)
        films = [
            localize_film(rng.random(mask.shape), mask, finding="Mass", patient_id=str(i // 2))
            for i in range(600)
        ]
        (mass,) = localization_by_finding(films, n_bootstrap=200)
        assert (mass.n, mass.n_patients) == (600, 300)
        assert mass.pointing.low < mass.by_chance < mass.pointing.high
        assert mass.pointing.estimate == np.mean([film.hit for film in films])
