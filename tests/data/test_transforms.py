"""Transforms: MONAI's dictionary form gives what serving gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged

from monai_cxr.data.transforms import PrepareRadiographd
from monai_cxr.errors import SettingsError, UnsupportedImage
from monai_cxr.preprocessing import RESIZE_POLICIES, normalise, prepare
from monai_cxr.reading.files import read_radiograph

# MONAI's LoadImage makes every reader it knows, also those of absent packages.
pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")

FILM = np.linspace(0, 1, 40 * 30, dtype=np.float32).reshape(40, 30)


@pytest.mark.parametrize("resize", RESIZE_POLICIES)
class TestSame:
    def test_as_the_function(self, resize):
        out = PrepareRadiographd("image", 16, resize)({"image": FILM, "label": 1})
        assert out["label"] == 1
        assert out["image"].shape == (1, 16, 16)
        assert out["image"].dtype == torch.float32
        assert type(out["image"]) is torch.Tensor
        np.testing.assert_array_equal(
            out["image"][0].numpy(), normalise(prepare(FILM, 16, resize=resize))
        )

    def test_as_read_radiograph(self, resize, phantom_index):
        path = phantom_index.table["path"][0]
        load = LoadImaged("image", "monai_cxr.data.reader.RadiographReader", image_only=True)
        out = Compose([load, PrepareRadiographd("image", 32, resize)])({"image": path})
        film = read_radiograph(path)
        np.testing.assert_array_equal(
            out["image"][0].numpy(), normalise(prepare(film, 32, resize=resize))
        )


class TestInput:
    @pytest.mark.parametrize("film", [FILM[None], torch.from_numpy(FILM), MetaTensor(FILM[None])])
    def test_forms_of_one_film(self, film):
        expected = PrepareRadiographd("image", 16)({"image": FILM})["image"]
        assert torch.equal(PrepareRadiographd("image", 16)({"image": film})["image"], expected)

    @pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 8), (1, 1, 8, 8), (8,)])
    def test_anything_else_is_refused(self, shape):
        with pytest.raises(UnsupportedImage, match="one film at a time"):
            PrepareRadiographd("image", 4)({"image": np.zeros(shape, np.float32)})

    def test_the_data_are_not_changed(self):
        data = {"image": FILM}
        PrepareRadiographd("image", 4)(data)
        assert data["image"] is FILM

    def test_missing_keys(self):
        assert PrepareRadiographd("image", 4, allow_missing_keys=True)({"a": 1}) == {"a": 1}
        with pytest.raises(KeyError):
            PrepareRadiographd("image", 4)({"a": 1})

    def test_an_unknown_policy(self):
        with pytest.raises(SettingsError, match="squash"):
            PrepareRadiographd("image", 4, "squash")({"image": FILM})
