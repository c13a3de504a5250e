"""Display: what a viewer draws first is what the grayscale chain renders, at full bit depth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from monai_cxr.dicom.display import Preset, levels
from monai_cxr.dicom.pixels.window import Window, apply_window
from monai_cxr.errors import UnreadableImage
from monai_cxr.phantom.synthetic import lut_item, sequence, synthetic_dicom
from monai_cxr.reading.files import read_display, read_radiograph

PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2")
DEPTHS = ((8, False), (12, False), (12, True), (16, False), (16, True))
MODALITY = ("none", "rescale", "negative", "lut")
VOI = ("none", "linear", "exact", "sigmoid", "lut")
PADDING = ("none", "range")
# Every seventh of the 400 combinations meets every pair of neighbours.
CASES = list(itertools.product(PHOTOMETRIC, DEPTHS, MODALITY, VOI, PADDING))[::7]


def film_of(case: tuple[str, tuple[int, bool], str, str, str]) -> bytes:
    photometric, (bits, signed), modality, voi, padding = case
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.linspace(low, low + 2**bits - 1, 40 * 30).round().reshape(40, 30)
    cell = np.dtype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    attributes: dict[str, object] = {
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PhotometricInterpretation": photometric,
    }
    if modality == "rescale":
        attributes |= {"RescaleSlope": "0.5", "RescaleIntercept": "-100"}
    if modality == "negative":
        attributes |= {"RescaleSlope": "-2", "RescaleIntercept": "50"}
    if modality == "lut":
        table = np.array([(k * k) % 3001 for k in range(2**bits)], dtype=np.uint16)
        attributes["ModalityLUTSequence"] = sequence(lut_item(low, table, 16, signed=signed))
    if voi in ("linear", "exact", "sigmoid"):
        name = {"linear": "LINEAR", "exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}[voi]
        attributes |= {"WindowCenter": "900", "WindowWidth": "1400", "VOILUTFunction": name}
    if voi == "lut":
        table = np.array([round(4095 * (k / 2999) ** 0.5) for k in range(3000)], dtype=np.uint16)
        attributes["VOILUTSequence"] = sequence(lut_item(0, table, 12, explanation="BONE"))
    if padding == "range":
        attributes |= {"PixelPaddingValue": low + 3, "PixelPaddingRangeLimit": low + 40}
    return synthetic_dicom(values.astype(cell), **attributes)


class TestFirstPreset:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
    def test_draws_what_the_chain_renders(self, case):
        data = film_of(case)
        film, rendered = read_display(data), read_radiograph(data)
        drawn = levels(film, film.presets[0])
        # A modality LUT that is not whole numbers is kept in 65,534 steps.
        assert np.abs(drawn - rendered.pixels).max() <= 1e-4

    def test_of_a_plain_picture_is_its_nominal_range(self, tmp_path):
        from PIL import Image

        pixels = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(tmp_path / "film.png")
        film = read_display(tmp_path / "film.png")
        assert film.unit == "%"
        np.testing.assert_array_equal(np.rint(levels(film, film.presets[0]) * 255), pixels)

    def test_is_the_header_s_window_and_not_a_statistic(self):
        data = film_of(("MONOCHROME2", (12, False), "none", "linear", "none"))
        first = read_display(data).presets[0]
        assert (first.name, first.center, first.width) == ("As sent", 900.0, 1400.0)

    def test_carries_the_explanation_of_a_table(self):
        data = film_of(("MONOCHROME2", (12, False), "none", "lut", "none"))
        first = read_display(data).presets[0]
        assert (first.name, first.function) == ("Bone", "TABLE")
        assert first.table.shape == (65536,)


class TestValues:
    @pytest.mark.parametrize(("bits", "signed"), DEPTHS)
    def test_keep_every_stored_value_apart(self, bits, signed):
        film = read_display(film_of(("MONOCHROME2", (bits, signed), "none", "none", "none")))
        low = -(2 ** (bits - 1)) if signed else 0
        stored = np.linspace(low, low + 2**bits - 1, 40 * 30).round().reshape(40, 30)
        np.testing.assert_array_equal(film.values * film.slope + film.intercept, stored)

    def test_any_window_is_the_standard_s(self):
        film = read_display(film_of(("MONOCHROME2", (16, True), "rescale", "linear", "none")))
        modality = film.values.astype(float) * film.slope + film.intercept
        drawn = levels(film, Preset("by hand", 120.0, 333.0, "SIGMOID"))
        expected = apply_window(modality, Window(120.0, 333.0), "SIGMOID")
        np.testing.assert_allclose(drawn, expected, atol=1e-6)

    def test_of_an_inverse_film_mirror_lungs_and_mediastinum(self):
        values = np.tile(np.arange(1000, dtype=np.uint16), (100, 1))
        plain = read_display(synthetic_dicom(values))
        inverse = read_display(synthetic_dicom(values, PhotometricInterpretation="MONOCHROME1"))
        named = [{p.name: p.center for p in film.presets} for film in (plain, inverse)]
        assert named[0]["Lungs"] < named[0]["Mediastinum"]
        assert named[1]["Lungs"] > named[1]["Mediastinum"]


class TestFacts:
    def test_orientation_and_spacing_come_along(self):
        film = read_display(
            synthetic_dicom(
                np.arange(4096, dtype=np.uint16).reshape(64, 64),
                PatientOrientation=["L", "F"],
                ImagerPixelSpacing=["0.2", "0.14"],
            )
        )
        assert film.orientation == ("L", "F")
        assert film.pixel_spacing_mm == (0.2, 0.14)
        assert film.spacing_source == "detector"

    def test_repr_holds_no_patient(self):
        film = read_display(synthetic_dicom(np.arange(4096, dtype=np.uint16).reshape(64, 64)))
        assert "SYNTHETIC" not in repr(film)

    def test_a_flat_film_can_still_be_drawn(self):
        film = read_display(synthetic_dicom(np.full((80, 80), 7, dtype=np.uint16)))
        assert np.isfinite(levels(film, film.presets[0])).all()

    @pytest.mark.parametrize("data", [b"", b"nothing", b"\0" * 128 + b"DICM" + b"\1" * 40])
    def test_other_bytes_are_refused(self, data):
        with pytest.raises(UnreadableImage):
            read_display(data)


def test_real_films_open_as_they_render(data_directory):
    names = ("wg04_RG3_UNC", "dwv_gdcm-CR-MONO1-10-chest", "fodicom_OutOfBoundsOverlay")
    found = [path for name in names for path in (data_directory / "dicom").rglob(f"{name}.dcm")]
    assert len(found) == len(names)
    for path in found:
        film = read_display(path)
        drawn = levels(film, film.presets[0])
        assert np.abs(drawn - read_radiograph(path).pixels).max() <= 1e-4
