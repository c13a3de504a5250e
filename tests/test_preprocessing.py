import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from monai_cxr.errors import SettingsError
from monai_cxr.preprocessing import normalise, prepare
from monai_cxr.radiograph import InstanceKey, Radiograph


def film(rows, columns):
    return np.random.default_rng(rows).random((rows, columns), dtype=np.float32)


@pytest.mark.parametrize(("rows", "columns"), [(1024, 1024), (700, 500), (300, 801), (100, 90)])
@pytest.mark.parametrize("size", [224, 96])
def test_torchvision_is_a_witness(rows, columns, size):
    pixels = film(rows, columns)
    tensor = torch.from_numpy(pixels)[None]
    witness = functional.resize(tensor, [size, size], antialias=True)[0].numpy()
    np.testing.assert_allclose(prepare(pixels, size), witness, rtol=0, atol=1 / 255)


@pytest.mark.parametrize("shape", [(640, 501), (300, 801), (64, 48), (1, 300), (3, 5)])
@pytest.mark.parametrize("size", [224, 50, 1])
def test_pillow_is_a_witness(shape, size):
    pixels = film(*shape)
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(prepare(pixels, size), np.asarray(image), rtol=0, atol=2e-6)


@pytest.mark.parametrize("resize", ["stretch", "pad", "center_crop"])
def test_every_policy_gives_a_square_in_range(resize):
    for shape in ((50, 80), (80, 50), (224, 224), (1, 300)):
        result = prepare(film(*shape), 64, resize=resize)
        assert result.shape == (64, 64)
        assert result.dtype == np.float32
        assert 0.0 <= result.min() <= result.max() <= 1.0


def test_padding_keeps_the_aspect_ratio():
    result = prepare(np.ones((100, 50), dtype=np.float32), 40, resize="pad")
    assert result[:, 10:30].min() == pytest.approx(1.0)
    assert result[:, :10].max() == result[:, 30:].max() == 0.0


def test_center_crop_cuts_the_longer_side():
    pixels = np.zeros((100, 300), dtype=np.float32)
    pixels[:, 100:200] = 1.0
    assert prepare(pixels, 50, resize="center_crop").min() == pytest.approx(1.0)


def test_radiograph_and_pixels_are_equal_and_untouched():
    pixels = film(64, 64)
    radiograph = Radiograph(pixels, InstanceKey("", "", "", "1.2.3"))
    result = prepare(radiograph, 64)
    np.testing.assert_array_equal(result, pixels)
    result[:] = 0.0
    assert pixels.max() > 0.0


def test_normalise():
    values = normalise(np.array([0.0, 0.5, 1.0], dtype=np.float32))
    assert values.dtype == np.float32
    assert values.tolist() == [-2.0, 0.0, 2.0]


@pytest.mark.parametrize(("size", "resize"), [(0, "stretch"), (8, "squeeze")])
def test_settings(size, resize):
    with pytest.raises(SettingsError, match="Expected"):
        prepare(film(8, 8), size, resize=resize)
