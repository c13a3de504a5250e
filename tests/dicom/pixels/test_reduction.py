"""Reduction: JPEG 2000 at lower resolution is the same film, a little smoother; or it is exact."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_cxr.dicom.pixels.codestream import decomposition_levels
from monai_cxr.dicom.pixels.grayscale import POLICIES
from monai_cxr.errors import UnreadableImage
from monai_cxr.phantom import PhantomSettings, render_film
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.preprocessing import RESIZE_POLICIES, prepare
from monai_cxr.reading.files import read_radiograph

JPEG_2000, JPEG_LS = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"
WINDOW = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 1800, "WindowWidth": 3400}


@pytest.fixture(scope="module")
def picture():
    """A phantom film of 12 bits with noise, as float."""
    film = render_film(PhantomSettings(n_patients=1, size=512), patient=0).pixels
    return Image.fromarray(film)


def stored(picture, rows, columns):
    noise = np.random.default_rng(0).normal(0, 6, (rows, columns))
    values = np.asarray(picture.resize((columns, rows))) * 3500 + noise
    return np.clip(values, 0, 4095).astype(np.uint16)


def dicom(picture, rows=512, columns=448, syntax=JPEG_2000, **attributes):
    cells = stored(picture, rows, columns)
    return synthetic_dicom(cells, transfer_syntax=syntax, **{**WINDOW, **attributes})


class TestReduced:
    # 513, 515 and 447 leave a rest; Pillow rounds some of them down, and fewer levels are left out.
    @pytest.mark.parametrize(
        ("rows", "columns", "step"),
        [(512, 448, 4), (515, 447, 4), (513, 448, 2), (511, 505, 2), (1000, 1024, 8)],
    )
    @pytest.mark.parametrize("resize", RESIZE_POLICIES)
    def test_gives_the_network_the_same_picture(self, picture, rows, columns, step, resize):
        data = dicom(picture, rows, columns)
        exact, reduced = read_radiograph(data), read_radiograph(data, min_side=100)
        assert reduced.step == step
        assert reduced.full_shape == exact.shape == (rows, columns)
        assert reduced.shape == (-(-rows // step), -(-columns // step))
        assert reduced.flags == ("reduced_resolution", *exact.flags)
        assert exact.step == 1
        change = np.abs(prepare(reduced, 50, resize=resize) - prepare(exact, 50, resize=resize))
        # A grid that is taken for one of larger pixels is off by up to half of one: 0.005 and more.
        shown = 0.875 if resize == "center_crop_0.875" else 1.0  # less of the film, larger
        assert change.mean() < 0.0015 / shown
        assert change.max() < 0.12 / shown  # at the sharp edges of a marker

    def test_spacing_is_that_of_its_pixels(self, picture):
        data = dicom(picture, PixelSpacing=[0.2, 0.3])
        assert read_radiograph(data, min_side=200).pixel_spacing_mm == (0.4, 0.6)

    def test_eight_bits(self, picture):
        cells = (np.asarray(picture) * 255).astype(np.uint8)
        data = synthetic_dicom(cells, transfer_syntax=JPEG_2000, BitsStored=8, HighBit=7)
        exact, reduced = read_radiograph(data), read_radiograph(data, min_side=100)
        assert reduced.step == 4
        assert (
            np.abs(prepare(reduced, 50) - prepare(exact, 50)).mean() < 0.005
        )  # the wavelets round at each level

    def test_inverted(self, picture):
        data = dicom(picture, PhotometricInterpretation="MONOCHROME1")
        exact, reduced = read_radiograph(data), read_radiograph(data, min_side=100)
        assert reduced.step == 4
        assert np.abs(prepare(reduced, 50) - prepare(exact, 50)).mean() < 0.0015


class TestExact:
    @pytest.mark.parametrize(
        ("what", "changes"),
        [
            ("another syntax", {"syntax": JPEG_LS}),
            ("a small film", {"rows": 199, "columns": 448}),
            ("no window", {"WindowCenter": None, "WindowWidth": None}),
            ("a window that does not fit", {"WindowCenter": 60000, "WindowWidth": 10}),
            ("padding", {"PixelPaddingValue": 0}),
            ("signed values", {"PixelRepresentation": 1}),
            ("raw detector values", {"PresentationIntentType": "FOR PROCESSING",
                                      "PixelIntensityRelationship": "LIN",
                                      "PixelIntensityRelationshipSign": 1}),
        ],
    )  # fmt: skip
    def test_where_the_picture_asks_for_it(self, picture, what, changes):
        data = dicom(picture, **changes)
        exact, asked = read_radiograph(data), read_radiograph(data, min_side=100)
        assert asked.step == 1, what
        assert asked.flags == exact.flags
        assert np.array_equal(asked.pixels, exact.pixels)

    def test_by_default_and_by_percentiles(self, picture):
        data = dicom(picture)
        assert read_radiograph(data).step == 1
        assert read_radiograph(data, policy=POLICIES["percentile"], min_side=100).step == 1

    def test_damage_is_still_found(self, picture):
        data = dicom(picture)
        with pytest.raises(UnreadableImage) as caught:
            read_radiograph(data[: len(data) // 2], min_side=100)
        assert caught.value.reason == "damaged_pixels"


class TestLevels:
    def test_of_a_codestream(self):
        siz = b"\xff\x4f\xff\x51\x00\x29" + bytes(39)
        cod = b"\xff\x52\x00\x0c\x00\x00\x00\x01\x00\x05\x04\x04\x00\x01"
        assert decomposition_levels(siz + cod) == 5
        assert decomposition_levels(b"\x00" * 20 + siz + b"\xff\x64\x00\x06text" + cod) == 5

    @pytest.mark.parametrize(
        "data",
        [b"", b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x51" + bytes(90), b"\xff\xd8\xff\xd9",
         b"\xff\x4f\xff\x51\x00\x29" + bytes(39) + b"\xff\x90\x00\x0a" + bytes(20)],
    )  # fmt: skip
    def test_none(self, data):
        assert decomposition_levels(data) == 0
