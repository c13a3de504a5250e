"""Tests of exposure, processing and shutters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_cxr.phantom.body import Pose
from monai_cxr.phantom.physics import draw_acquisition, expose, process, shutters

POSE = Pose(rows=64, columns=96, spacing_mm=4.0, centre=(32.0, 48.0), angle=0.0, turn=0.0)
ACQUISITION = replace(
    draw_acquisition(np.random.default_rng(0)), photons=1e9, scatter=0.0, equalisation=0.0,
    sharpening=0.0, collimation=(0.0, 0.0, 0.0, 0.0),
)  # fmt: skip


def _water(cm: float) -> np.ndarray:
    return np.full((32, 48), cm, dtype=np.float32)


class TestExposure:
    def test_follows_beer_and_lambert(self) -> None:
        signal = expose(_water(10.0), POSE, ACQUISITION, np.random.default_rng(1))
        assert signal.shape == (64, 96)
        # 10 cm of water at 0.19 per cm.
        assert float(signal.mean()) == pytest.approx(1.9, abs=1e-3)

    def test_noise_grows_where_less_arrives(self) -> None:
        dim = replace(ACQUISITION, photons=2e4)
        thin = expose(_water(5.0), POSE, dim, np.random.default_rng(2))
        thick = expose(_water(15.0), POSE, dim, np.random.default_rng(2))
        # Poisson: the deviation of the logarithm is one over the root of the counts.
        expected = np.exp(0.5 * 0.19 * 10.0)
        assert thick.std() / thin.std() == pytest.approx(expected, rel=0.01)

    def test_scatter_lowers_contrast(self) -> None:
        water = _water(8.0)
        water[:, 24:] = 16.0

        def contrast(scatter: float) -> float:
            acquisition = replace(ACQUISITION, scatter=scatter)
            signal = expose(water, POSE, acquisition, np.random.default_rng(3))
            return float(signal[:, 80:].mean() - signal[:, :16].mean())

        assert contrast(1.0) < contrast(0.0)
        assert contrast(0.0) == pytest.approx(0.19 * 8.0, rel=0.01)


class TestProcessing:
    def test_denser_stays_brighter(self) -> None:
        water = np.broadcast_to(np.linspace(8.0, 20.0, 48, dtype=np.float32), (32, 48)).copy()
        signal = expose(water, POSE, ACQUISITION, np.random.default_rng(4))
        shown = process(signal, _water(20.0), POSE, ACQUISITION).mean(axis=0)
        assert np.all(np.diff(shown[::8]) > 0)

    def test_does_not_fail_without_a_patient(self) -> None:
        signal = expose(_water(0.0), POSE, ACQUISITION, np.random.default_rng(5))
        assert np.isfinite(process(signal, _water(0.0), POSE, ACQUISITION)).all()


class TestShutters:
    def test_close_the_side_they_are_set_on(self) -> None:
        closed = replace(ACQUISITION, collimation=(40.0, 0.0, 0.0, 0.0))
        field = shutters(POSE, closed, np.random.default_rng(6))
        assert field[:8].max() == 0.0
        assert field[13:].min() == 1.0

    def test_open_ones_change_nothing(self) -> None:
        assert shutters(POSE, ACQUISITION, np.random.default_rng(7)).min() == 1.0
