import math

import numpy as np
import pytest

from monai_cxr.dicom.quality import border_fraction, inner_box, measure


def test_a_blank_film():
    quality = measure(np.zeros((100, 100), dtype=np.float32))
    assert quality["clipped_fraction"] == 1.0
    assert quality["entropy_bits"] == 0.0
    assert quality["border_fraction"] == 1.0


def test_entropy_of_two_equal_halves_is_one_bit():
    film = np.zeros((64, 64), dtype=np.float32)
    film[:, :32] = 0.5
    assert measure(film)["entropy_bits"] == pytest.approx(1.0)


def test_entropy_of_all_levels_is_six_bits():
    film = np.tile(np.arange(64) / 63.0, (64, 1)).astype(np.float32)
    assert measure(film)["entropy_bits"] == pytest.approx(math.log2(64))


def test_the_border_is_what_is_uniform_at_the_edges():
    film = np.zeros((100, 100), dtype=np.float32)
    film[20:80, 10:90] = np.random.default_rng(0).random((60, 80))
    assert inner_box(film) == (20, 80, 10, 90)
    assert border_fraction(film) == pytest.approx(1 - 0.6 * 0.8)


def test_bright_corners_are_suspicious():
    film = np.full((100, 100), 0.2, dtype=np.float32)
    film[:20, :20] = film[:20, -20:] = film[-20:, :20] = film[-20:, -20:] = 0.9
    assert measure(film)["corner_brightness"] == pytest.approx(0.7)
