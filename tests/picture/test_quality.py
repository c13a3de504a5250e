import io
import math

import numpy as np
import pytest
from PIL import Image

from monai_cxr.dicom.pixels.grayscale import POLICIES
from monai_cxr.dicom.reader import read_dicom
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.picture.quality import border_fraction, inner_box, measure, sampled
from monai_cxr.radiograph import QUALITY_MEASURES
from monai_cxr.reading.files import read_radiograph


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
    assert measure(film)["inversion_suspicion"] == pytest.approx(0.7)
    assert measure(1 - film)["inversion_suspicion"] == pytest.approx(-0.7)


def test_every_named_measure_is_there():
    assert tuple(measure(np.zeros((8, 8), dtype=np.float32))) == QUALITY_MEASURES


def test_what_the_reader_knows_goes_before_the_picture():
    """Clipping is judged on pixels before padding and polarity, which draw 0 as well."""
    stored = np.zeros((40, 40), dtype=np.uint8)
    stored[:, 10:] = np.arange(30)
    file = synthetic_dicom(
        stored, PixelPaddingValue=0, WindowCenter="10", WindowWidth="10",
        VOILUTFunction="LINEAR_EXACT",
    )  # fmt: skip
    quality = read_dicom(file, POLICIES["header"]).quality
    assert quality["padding_fraction"] == pytest.approx(11 / 40)  # ten columns, and a real 0
    assert quality["clipped_fraction"] == pytest.approx((5 + 15) / 29)  # 1 to 5, and 15 to 29


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_sample_that_dicom_carries_is_of_its_pixels(photometric):
    cells = np.random.default_rng(1).integers(0, 4096, (800, 1100), dtype=np.uint16)
    film = read_radiograph(synthetic_dicom(cells, PhotometricInterpretation=photometric))
    assert film.sample.shape == (267, 367)
    np.testing.assert_array_equal(film.sample, sampled(film.pixels))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_sample_that_a_picture_carries_is_of_its_pixels(kind):
    gray = np.random.default_rng(2).integers(0, 256, (600, 520), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(gray).save(stream, format=kind)
    film = read_radiograph(stream.getvalue())
    assert film.sample.shape == (300, 260)
    np.testing.assert_array_equal(film.sample, sampled(film.pixels))
