"""Tests of profiles, noise and resampling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from monai_cxr.phantom.grid import blur, profile, resize, round_edge, smooth_step, soft_noise


class TestCurves:
    def test_a_smooth_step_may_rise_or_fall(self) -> None:
        at = np.array([-1.0, 0.0, 1.0, 2.0, 3.0], dtype=np.float32)
        np.testing.assert_allclose(smooth_step(at, 0.0, 2.0), [0, 0, 0.5, 1, 1])
        np.testing.assert_allclose(smooth_step(at, 2.0, 0.0), [1, 1, 0.5, 0, 0])

    def test_a_round_edge_is_a_quarter_circle(self) -> None:
        distance = np.array([-5.0, 0.0, 4.0, 10.0, 20.0], dtype=np.float32)
        # At 4 of 10 the circle stands sqrt(1 - 0.6**2) = 0.8 high.
        np.testing.assert_allclose(round_edge(distance, 10.0), [0, 0, 0.8, 1, 1], atol=1e-6)

    def test_a_profile_goes_through_its_knots(self) -> None:
        at = np.array([0.0, 5.0, 10.0], dtype=np.float32)
        np.testing.assert_allclose(profile(at, [0, 5, 10], [1, 2, 3]), [1, 2, 3], atol=0.1)
        assert profile(at, [0, 10], [1, 1]).dtype == np.float32


class TestNoise:
    @pytest.mark.parametrize("cell", [1.5, 4.0, 12.0])
    def test_mean_deviation_and_type(self, cell: float) -> None:
        noise = soft_noise(np.random.default_rng(0), (256, 192), cell)
        assert noise.shape == (256, 192)
        assert noise.dtype == np.float32
        assert abs(float(noise.mean())) < 0.15
        assert float(noise.std()) == pytest.approx(1.0, abs=0.25)


class TestResampling:
    def test_a_constant_stays(self) -> None:
        field = np.full((30, 40), 0.7, dtype=np.float32)
        np.testing.assert_allclose(resize(field, (60, 80)), 0.7, rtol=1e-5)
        np.testing.assert_allclose(blur(field, 1.0), 0.7, rtol=1e-5)
        np.testing.assert_allclose(blur(field, 12.0), 0.7, rtol=1e-5)

    def test_a_wide_blur_on_a_coarse_grid_is_the_same_blur(self) -> None:
        field = np.random.default_rng(1).random((128, 128), dtype=np.float32)
        field[40:80, 30:60] += 2.0
        exact = gaussian_filter(field, 12.0, mode="nearest")
        # At the border a coarse cell stands for several pixels, so look inside.
        inside = np.abs(blur(field, 12.0) - exact)[24:-24, 24:-24]
        assert float(inside.max()) < 0.05
