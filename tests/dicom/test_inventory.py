"""Inventory: every real DICOM file is handled as it should be."""

import csv

import numpy as np
import pydicom
import pytest

from monai_cxr.errors import InputError, UnreadableImage, UnsupportedImage
from monai_cxr.reading.files import read_for_model, read_radiograph

ACCEPTED = {
    "udacity_test1.dcm": (),
    "udacity_test2.dcm": (),
    "udacity_test3.dcm": (),
    "udacity_test4.dcm": ("body_part_near_chest",),
    "txrv_1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": (),
    "txrv_Fake_MONOHR1.dcm": ("probably_inverted",),
    "uao_rsna_normal_2.dcm": (),
    "dwv_gdcm-CR-MONO1-10-chest.dcm": (),
    "pylibjpeg_RG1_J2KI.dcm": (),
    "pylibjpeg_966_fixed.dcm": ("field_of_view_transformed",),
}
REASONS = {
    "udacity_test5.dcm": "modality",
    "uao_rsna_viral_3.dcm": "pediatric",
    "fodicom_charset_chrJapMulti.dcm": "no_pixels",
    "fodicom_charset_chrKoreanMulti.dcm": "no_pixels",
    "orthanc_CR000000.dcm": "body_part",
    "pydicom_6154.dcm": "body_part",
    "pydicom_meta_missing_tsyntax.dcm": "no_transfer_syntax",
    "pydicom_no_meta.dcm": "not_an_image",
    "pylibjpeg_NM_Kakadu44_SOTmarkerincons.dcm": "body_part",
}
ALARMING = {"probably_inverted", "probably_rotated", "probably_upside_down", "doubtful_content"}


@pytest.fixture(scope="module")
def inventory(data):
    with (data / "dicom/inventory.csv").open(newline="") as stream:
        return {row["file"]: row for row in csv.DictReader(stream)}


def test_every_file_is_accepted_or_refused_as_written(data, inventory):
    outcomes = {}
    for name in inventory:
        try:
            outcomes[name] = read_for_model(data / "dicom" / name).flags
        except InputError as error:
            outcomes[name] = error.reason
    accepted = {name: flags for name, flags in outcomes.items() if isinstance(flags, tuple)}
    assert accepted.keys() == ACCEPTED.keys()
    for name, expected in ACCEPTED.items():
        assert set(expected) <= set(accepted[name])
        assert (ALARMING & set(accepted[name])) == (ALARMING & set(expected))
    for name, reason in REASONS.items():
        assert outcomes[name] == reason
    others = {r for n, r in outcomes.items() if n not in ACCEPTED and n not in REASONS}
    assert others == {"modality", "body_part"}


def test_no_patient_stands_in_a_message(data, inventory):
    for name, row in inventory.items():
        if int(row["bytes"]) > 700_000:
            continue
        try:
            header = pydicom.dcmread(data / "dicom" / name, stop_before_pixels=True, force=True)
            identity = {str(header.get(k, "")) for k in ("PatientID", "PatientName")} - {""}
        except (ValueError, LookupError):
            continue
        try:
            shown = repr(read_radiograph(data / "dicom" / name, frame=0))
        except InputError as error:
            shown = str(error)
        assert not any(len(word) > 3 and word in shown for word in identity)


def test_the_udacity_file_and_the_nih_png_are_the_same_picture(data):
    dicom = read_for_model(data / "dicom/udacity_test1.dcm")
    png = read_for_model(data / "chestxray14_original/images/00000002_000.png")
    np.testing.assert_array_equal(dicom.pixels, png.pixels)
    assert png.key.sop_uid == "00000002_000.png"


def test_twins_of_opposite_photometric_interpretation_differ_by_polarity_alone(data):
    normal = "txrv_1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm"
    first = read_radiograph(data / "dicom" / normal).pixels
    second = read_radiograph(data / "dicom/txrv_Fake_MONOHR1.dcm").pixels
    np.testing.assert_allclose(first, 1.0 - second, rtol=0, atol=1e-7)


@pytest.mark.parametrize("film", ["RG2", "RG3"])
def test_lossless_twins_of_real_films_are_equal_bit_for_bit(data, film):
    plain = read_radiograph(data / f"dicom/wg04_{film}_UNC.dcm").pixels
    for syntax in ("JPLL", "J2KR"):
        twin = read_radiograph(data / f"dicom/wg04_{film}_{syntax}.dcm").pixels
        np.testing.assert_array_equal(twin, plain)


def test_real_films_equal_pydicoms_where_pydicom_is_right(data):
    """Window of a MONOCHROME1 film in the standard's order: VOI first, polarity after."""
    from pydicom.pixels.processing import apply_voi_lut

    path = data / "dicom/dwv_gdcm-CR-MONO1-10-chest.dcm"
    dataset = pydicom.dcmread(path)
    shown = apply_voi_lut(dataset.pixel_array, dataset) / (2.0**dataset.BitsStored - 1)
    np.testing.assert_allclose(read_radiograph(path).pixels, 1.0 - shown, rtol=0, atol=1e-6)


def test_a_palette_and_a_colour_photograph_are_refused_by_their_pixels(data):
    for name in ("pydicom_examples_palette.dcm", "pydicom_SC_rgb_jpeg_dcmtk.dcm"):
        with pytest.raises(UnsupportedImage) as caught:
            read_radiograph(data / "dicom" / name)
        assert caught.value.reason == "color"


def test_a_truncated_file_is_unreadable(data):
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(data / "dicom/pydicom_MR_truncated.dcm")
    assert caught.value.reason == "damaged_pixels"
