"""Tests of one film as DICOM: the picture read back is the picture rendered."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_voi_lut
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from monai_cxr.phantom import PhantomFilm, PhantomSettings, render_film
from monai_cxr.phantom.dicom_film import Encoding, draw_encoding, film_dataset

SETTINGS = PhantomSettings(seed=29, size=96)
PLAIN = Encoding(str(ExplicitVRLittleEndian), False, 12, False, 400, 3500)
SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg_ls": JPEGLSLossless,
    "jpeg_2000": JPEG2000Lossless,
}


@pytest.fixture(scope="module")
def film() -> PhantomFilm:
    return render_film(SETTINGS, patient=0)


def _read_back(film: PhantomFilm, encoding: Encoding) -> pydicom.Dataset:
    buffer = io.BytesIO()
    film_dataset(film, SETTINGS, encoding).save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def _shown(dataset: pydicom.Dataset) -> np.ndarray:
    # pydicom's own windowing is the independent implementation.
    shown = apply_voi_lut(dataset.pixel_array, dataset) / (2.0**dataset.BitsStored - 1.0)
    return 1.0 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


class TestPicture:
    @pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
    @pytest.mark.parametrize("inverted", [False, True], ids=["monochrome2", "monochrome1"])
    @pytest.mark.parametrize("bits", [12, 14, 16])
    def test_linear_window(self, film: PhantomFilm, syntax: UID, inverted: bool, bits: int) -> None:
        full = 2**bits - 1
        encoding = Encoding(str(syntax), inverted, bits, False, full // 9, full * 5 // 6)
        dataset = _read_back(film, encoding)
        assert dataset.file_meta.TransferSyntaxUID == syntax
        assert int(dataset.pixel_array.max()) <= full
        half_a_value = 0.5 / (encoding.high - encoding.low)
        np.testing.assert_allclose(_shown(dataset), film.pixels, atol=half_a_value + 1e-6)

    @pytest.mark.parametrize("inverted", [False, True], ids=["monochrome2", "monochrome1"])
    def test_sigmoid_window(self, film: PhantomFilm, inverted: bool) -> None:
        dataset = _read_back(film, replace(PLAIN, sigmoid=True, inverted=inverted))
        assert dataset.VOILUTFunction == "SIGMOID"
        # The steepest slope is one over the width of 0.3 times the linear window.
        np.testing.assert_allclose(_shown(dataset), film.pixels, atol=0.5 / (0.3 * 3100) + 2e-4)

    def test_values_beyond_the_window_are_kept(self, film: PhantomFilm) -> None:
        stored = _read_back(film, PLAIN).pixel_array
        assert stored.min() < PLAIN.low
        assert stored.max() > PLAIN.high


class TestHeader:
    def test_class_uids_and_required_facts(self, film: PhantomFilm) -> None:
        dataset = _read_back(film, PLAIN)
        assert dataset.SOPClassUID == DigitalXRayImageStorageForPresentation
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            assert UID(dataset[keyword].value).is_valid
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert (dataset.Rows, dataset.Columns) == film.pixels.shape
        assert dataset.Modality == "DX"
        assert dataset.BodyPartExamined == "CHEST"
        assert dataset.ViewPosition == film.view_position
        assert list(dataset.PatientOrientation) == ["L", "F"]
        assert dataset.PatientSex == film.sex
        assert dataset.PatientAge == f"{film.age_years:03d}Y"
        assert dataset.HighBit == dataset.BitsStored - 1
        assert float(dataset.ImagerPixelSpacing[0]) == pytest.approx(film.pixel_spacing_mm[0])

    def test_the_patient_is_plainly_synthetic(self, film: PhantomFilm) -> None:
        dataset = _read_back(film, PLAIN)
        assert dataset.PatientName == "Phantom^000000"
        assert dataset.PatientID == "PHANTOM-000000"
        assert "synthetic" in dataset.StudyDescription

    @pytest.mark.parametrize(
        ("inverted", "interpretation", "shape"),
        [(False, "MONOCHROME2", "IDENTITY"), (True, "MONOCHROME1", "INVERSE")],
    )
    def test_polarity_and_presentation_shape_agree(
        self, film: PhantomFilm, inverted: bool, interpretation: str, shape: str
    ) -> None:
        dataset = _read_back(film, replace(PLAIN, inverted=inverted))
        assert dataset.PhotometricInterpretation == interpretation
        assert dataset.PresentationLUTShape == shape

    def test_no_finding_is_in_the_header(self) -> None:
        settings = PhantomSettings(seed=29, size=96, prevalence={"Hernia": 1.0})
        dataset = film_dataset(render_film(settings, patient=0), settings, PLAIN)
        del dataset.PixelData
        assert "hernia" not in str(dataset).casefold()

    def test_uids_depend_on_seed_patient_and_visit_alone(self) -> None:
        def uid(seed: int, patient: int, follow_up: int) -> str:
            settings = PhantomSettings(seed=seed, size=64)
            film = render_film(settings, patient=patient, follow_up=follow_up)
            return str(film_dataset(film, settings, PLAIN).SOPInstanceUID)

        keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
        assert len({uid(*key) for key in keys}) == 4
        assert uid(0, 1, 0) == uid(0, 1, 0)


class TestChoice:
    def test_every_form_occurs(self) -> None:
        encodings = [draw_encoding(SETTINGS, patient, 0) for patient in range(200)]
        assert {encoding.transfer_syntax for encoding in encodings} == set(SYNTAXES.values())
        assert {encoding.bits for encoding in encodings} == {12, 14, 16}
        assert {encoding.inverted for encoding in encodings} == {False, True}
        assert {encoding.sigmoid for encoding in encodings} == {False, True}
        slow = [e for e in encodings if e.transfer_syntax == JPEG2000Lossless]
        assert len(slow) < 30
