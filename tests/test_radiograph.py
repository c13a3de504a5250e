"""Radiograph and InstanceKey: the one image form, and identity that stays in the key."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.errors import UnsupportedImage
from monai_cxr.radiograph import InstanceKey, Radiograph, ViewPosition

KEY = InstanceKey("PATIENT-7", "1.2.3", "1.2.4", "1.2.5")


def _film(pixels=None, **facts):
    return Radiograph(np.zeros((4, 6), np.float32) if pixels is None else pixels, KEY, **facts)


class TestForm:
    def test_shape_is_rows_by_columns(self):
        assert _film().shape == (4, 6)

    def test_pixels_are_frozen(self):
        with pytest.raises(ValueError, match="read-only"):
            _film().pixels[0, 0] = 1

    @pytest.mark.parametrize(
        "pixels",
        [
            np.zeros((4, 6)),
            np.zeros((4, 6, 1), np.float32),
            np.zeros((0, 6), np.float32),
            np.zeros((4, 6), np.uint8),
        ],
        ids=["float64", "three axes", "empty", "integer"],
    )
    def test_other_forms_are_refused(self, pixels):
        with pytest.raises(UnsupportedImage, match="Expected pixels as float32") as caught:
            _film(pixels)
        assert caught.value.reason == "bad_shape"

    @pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf])
    def test_values_outside_0_1_are_refused(self, value):
        with pytest.raises(UnsupportedImage, match=r"\[0, 1\]") as caught:
            _film(np.full((2, 2), value, np.float32))
        assert caught.value.reason == "bad_range"

    @pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 1e-45])
    def test_the_ends_of_the_range_are_in_it(self, value):
        assert _film(np.full((2, 3), value, np.float32)[:, ::2]).pixels.max() == np.float32(value)


class TestIdentity:
    def test_reprs_show_no_patient_and_no_study(self):
        text = repr(KEY) + repr(_film(view=ViewPosition.PA, patient_sex="F"))
        assert "1.2.5" in text
        assert "PATIENT" not in text
        assert "1.2.3" not in text
