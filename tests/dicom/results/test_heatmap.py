"""Heat maps: Secondary Capture and Segmentation, read back and checked by dciodvfy."""

from __future__ import annotations

import io

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_peers import errors_of_dciodvfy
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from monai_cxr.dicom.results.heatmap import captioned, heatmap_capture, heatmap_segmentation
from monai_cxr.dicom.results.instances import is_own_result
from monai_cxr.dicom.results.structured_report import ReportedFilm
from monai_cxr.errors import SettingsError, UnsupportedImage
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.radiograph import InstanceKey

MODEL = ModelIdentity("chest_model", "1.2.0", "ab" * 32)
ROWS, COLUMNS = 120, 96


def reported(**attributes: object) -> ReportedFilm:
    data = synthetic_dicom(
        np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS), **attributes
    )
    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    key = InstanceKey("", header.StudyInstanceUID, "", header.SOPInstanceUID)
    scores = (FindingScore("Effusion", 1.0, 0.73, True), FindingScore("Mass", -1.0, 0.2, False))
    return ReportedFilm(data, Prediction(key, MODEL, scores))


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)


@pytest.fixture
def heat() -> np.ndarray:
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    return np.asarray(
        3 * np.exp(-((rows - 40) ** 2 + (columns - 30) ** 2) / 200) - 1, dtype=np.float32
    )


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless, ExplicitVRLittleEndian])
@pytest.mark.parametrize("attributes", [{}, {"PatientOrientation": ["L", "F"]}], ids=["-", "LF"])
def test_capture_holds_the_picture_and_passes_dciodvfy(picture, syntax, attributes, tmp_path):
    film = reported(**attributes)
    made = heatmap_capture(film, picture, "Effusion", transfer_syntax=syntax)
    assert errors_of_dciodvfy(made.data, tmp_path) == []
    read = pydicom.dcmread(io.BytesIO(made.data))
    np.testing.assert_array_equal(read.pixel_array[:ROWS], picture)
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.StudyInstanceUID == film.prediction.key.study_uid
    cited = read.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert cited == film.prediction.key.sop_uid
    assert "Effusion 0.73" in read.ImageComments
    assert is_own_result(read)


def test_a_map_is_a_uid(picture):
    film = reported()
    made = {
        heatmap_capture(film, picture, finding, method=method).sop_uid
        for finding in ("Effusion", "Mass")
        for method in ("cam", "occlusion")
    }
    assert len(made) == 4
    again = heatmap_capture(film, picture, "Pleural Effusion")
    assert again.sop_uid in made


def test_large_pictures_are_shrunk_and_the_caption_is_drawn():
    picture = np.zeros((3000, 2000, 3), np.uint8)
    result = captioned(picture, "AI: Effusion 0.73 - a model - not for diagnosis")
    assert result.shape[1] == 683
    assert 1024 < result.shape[0] < 1100
    assert result[:1024].max() == 0
    assert result[1024:].max() > 200
    assert result[1024:, -4:].max() == 0  # it fits


@pytest.mark.parametrize("attributes", [{}, {"PatientOrientation": ["L", "F"]}], ids=["-", "LF"])
def test_segmentation_holds_the_map_and_passes_dciodvfy(heat, attributes, tmp_path):
    film = reported(**attributes)
    made = heatmap_segmentation(film, heat, "Effusion")
    assert errors_of_dciodvfy(made.data, tmp_path) == []
    read = highdicom.seg.segread(io.BytesIO(made.data))
    expected = np.clip(heat, 0, None) / heat.max()
    np.testing.assert_allclose(read.pixel_array.squeeze() / 255.0, expected, atol=1 / 255)
    description = read.get_segment_description(1)
    assert description.segmented_property_type.value == "60046008"
    assert description.segment_label == "Effusion (class activation)"
    assert is_own_result(read)


def test_a_cold_map_is_empty(heat):
    made = heatmap_segmentation(reported(), -np.abs(heat), "Mass")
    assert not pydicom.dcmread(io.BytesIO(made.data)).pixel_array.any()


def test_refusals(picture, heat):
    film = reported()
    with pytest.raises(SettingsError, match="uint8"):
        heatmap_capture(film, picture[..., 0], "Effusion")
    with pytest.raises(SettingsError, match="cam, grad_cam, occlusion"):
        heatmap_capture(film, picture, "Effusion", method="guess")
    with pytest.raises(SettingsError, match="No score for 'Hernia'"):
        heatmap_capture(film, picture, "Hernia")
    with pytest.raises(UnsupportedImage) as caught:
        heatmap_segmentation(film, heat[1:], "Effusion")
    assert caught.value.reason == "bad_shape"
