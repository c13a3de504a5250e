from dataclasses import replace

import numpy as np
import pytest
from pydicom import Dataset

from monai_cxr.dicom.header import scope
from monai_cxr.dicom.header.attributes import HeaderFacts, body_part
from monai_cxr.errors import InputError, UnsupportedImage
from monai_cxr.phantom.film import render_film
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.picture.chest_likeness import SIDE, likeness, model, thumbnail
from monai_cxr.picture.quality import measure
from monai_cxr.picture.quiet import quiet
from monai_cxr.radiograph import InstanceKey, Radiograph, ViewPosition
from monai_cxr.reading.files import read_for_model, read_radiograph

KEY = InstanceKey("", "1.2", "", "1.2.3")
CHEST = HeaderFacts(
    KEY,
    sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
    modality="DX",
    body_part="CHEST",
    view=ViewPosition.PA,
    patient_age_years=50.0,
)


def film_of(pixels):
    values = np.ascontiguousarray(pixels, dtype=np.float32)
    return Radiograph(values, KEY, quality=measure(values))


@pytest.fixture(scope="module")
def phantom():
    return render_film(PhantomSettings(size=256), patient=3).pixels


class TestHeader:
    def test_a_plain_chest_film(self):
        assert scope.check_header(CHEST) == scope.ScopeDecision(True)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"modality": "CT"}, "modality"),
            ({"modality": "MG"}, "modality"),
            ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.11"}, "sop_class"),
            ({"view": ViewPosition.LATERAL}, "lateral"),
            ({"view": ViewPosition.OBLIQUE}, "oblique"),
            ({"view": ViewPosition.LATERAL, "body_part": "HIP"}, "body_part"),
            ({"body_part": "THORACIC SPINE"}, "body_part"),
            ({"body_part": "THORAKALE WIRBELSAULE"}, "body_part"),
            ({"body_part": "WHOLEBODY"}, "body_part"),
            ({"body_part": "", "description": "LEFT HIP AP"}, "body_part"),
            ({"body_part": "HIP"}, "body_part"),
            ({"body_part": "B?CKEN"}, "body_part"),
            ({"n_frames": 3}, "multi_frame"),
            ({"not_human": True}, "not_human"),
            ({"patient_age_years": 6.0}, "pediatric"),
        ],
    )
    def test_refusals(self, changes, reason):
        decision = scope.check_header(replace(CHEST, **changes))
        assert (decision.accepted, decision.reason) == (False, reason)
        assert decision.sentence.endswith(".")

    @pytest.mark.parametrize(
        "part",
        [
            "CHEST",
            "THORAX",
            "Thorax PA",
            "Tórax",
            "CHESTABDPELVIS",
            "PORT CHEST",
            "Bröstkorg",
            "胸部",
        ],
    )
    def test_words_for_a_chest(self, part):
        dataset = Dataset()
        dataset.SpecificCharacterSet = "ISO_IR 192"
        with quiet():
            dataset.BodyPartExamined = part
        assert scope.check_header(replace(CHEST, body_part=body_part(dataset))).flags == ()

    def test_a_description_beside_a_chest_is_no_refusal(self):
        facts = replace(CHEST, body_part="", description="CHEST AND HIP")
        assert scope.check_header(facts).flags == ("body_part_unknown", "description_disagrees")

    @pytest.mark.parametrize(
        ("changes", "flag"),
        [
            ({"body_part": "RIBCAGE"}, "body_part_near_chest"),
            ({"body_part": ""}, "body_part_unknown"),
            ({"modality": ""}, "modality_unknown"),
            ({"view": ViewPosition.UNKNOWN}, "projection_unknown"),
            ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "secondary_capture"),
            ({"patient_orientation": ("R", "F")}, "mirrored_by_header"),
            ({"patient_orientation": ("L", "H")}, "orientation_by_header"),
            ({"rotation_degrees": 90.0}, "field_of_view_transformed"),
            ({"pixel_aspect": 0.5}, "anisotropic_pixels"),
            ({"description": "CHEST LATERAL"}, "description_disagrees"),
            ({"patient_age_years": None}, "age_unknown"),
        ],
    )
    def test_flags(self, changes, flag):
        assert scope.check_header(replace(CHEST, **changes)).flags == (flag,)

    def test_free_text_is_not_quoted(self):
        decision = scope.check_header(replace(CHEST, body_part="DOE^JANE", modality="J DOE"))
        assert "DOE" not in decision.sentence


class TestPixels:
    def test_a_phantom_is_a_chest(self, phantom):
        assert scope.check_pixels(film_of(phantom)).flags == ()

    @pytest.mark.parametrize(
        ("turn", "flag"),
        [
            (lambda p: 1 - p, "probably_inverted"),
            (lambda p: p[::-1, ::-1], "probably_upside_down"),
            (lambda p: np.rot90(p), "probably_rotated"),
            (lambda p: np.rot90(p, 3), "probably_rotated"),
        ],
    )
    def test_poses(self, phantom, turn, flag):
        assert scope.check_pixels(film_of(turn(phantom))).flags == (flag,)

    @pytest.mark.parametrize(
        ("pixels", "reason"),
        [
            (np.full((256, 256), 0.5), "blank"),
            (np.zeros((256, 256)), "blank"),
            (np.ones((32, 400)) * np.linspace(0, 1, 400), "too_small"),
            (np.random.default_rng(0).random((256, 256)), "not_chest"),
            (np.kron(np.indices((4, 4)).sum(axis=0) % 2, np.ones((64, 64))), "not_chest"),
        ],
    )
    def test_refusals(self, pixels, reason):
        assert scope.check_pixels(film_of(pixels)).reason == reason

    def test_low_resolution_and_hard_collimation(self, phantom):
        small = film_of(phantom[::2, ::2])
        assert "low_resolution" in scope.check_pixels(small).flags
        canvas = np.zeros((512, 512))
        canvas[100:356, 120:376] = phantom
        assert "hard_collimation" in scope.check_pixels(film_of(canvas)).flags

    def test_a_window_does_not_matter(self, phantom):
        dark = likeness(np.ascontiguousarray(phantom**2 * 0.7, dtype=np.float32))
        assert dark["upright"] == pytest.approx(likeness(phantom)["upright"], abs=1.5)

    def test_thumbnails_are_standardised(self, phantom):
        small = thumbnail(phantom)
        assert small.shape == (SIDE * SIDE,)
        assert (small.mean(), small.std()) == (pytest.approx(0), pytest.approx(1))
        assert not thumbnail(np.zeros((9, 9), dtype=np.float32)).any()

    def test_a_sagittal_plane_without_a_header_is_lateral(self, phantom):
        film = replace(film_of(phantom), view=ViewPosition.LATERAL)
        assert scope.check_scope(film).reason == "lateral"

    def test_the_model_is_ordered(self):
        assert model().refuse_below < model().doubt_below


def test_for_presentation_is_preferred():
    raw = replace(CHEST, for_processing=True)
    other_study = replace(raw, key=InstanceKey("", "9.9", "", "1.2.4"))
    lateral = replace(raw, view=ViewPosition.LATERAL)
    kept = scope.for_presentation([raw, CHEST, other_study, lateral])
    assert kept == (CHEST, other_study, lateral)


def test_a_refusal_is_an_error_with_its_reason(phantom):
    with pytest.raises(UnsupportedImage) as caught:
        scope.require_in_scope(film_of(phantom), replace(CHEST, body_part="HAND"))
    assert caught.value.reason == "body_part"
    assert "HAND" in str(caught.value)


class TestRealFilms:
    def test_at_least_99_percent_of_chest_films_are_accepted(self, data):
        originals = sorted((data / "chestxray14_original/images").glob("*.png"))
        films = originals[::4] + sorted((data / "chestxray14/images").glob("*.png"))[::8]
        refused = []
        for path in films:
            try:
                read_for_model(path)
            except InputError as error:
                refused.append(error.reason)
        assert len(refused) <= 0.01 * len(films), refused

    def test_other_body_parts_are_refused_or_flagged_whatever_the_header_says(self, data):
        """As if every header said CHEST: the pixels alone must notice."""
        alarms = {
            "doubtful_content", "probably_inverted", "probably_rotated", "probably_upside_down",
        }  # fmt: skip
        unnoticed = []
        for name in (
            "wg04_RG2_UNC", "wg04_RG3_UNC", "wg04_MG1_J2KI", "wg04_XA1_J2KI",
            "pylibjpeg_NM_Kakadu44_SOTmarkerincons", "fodicom_OutOfBoundsOverlay",
            "orthanc_KarstenHilbertRF", "pydicom_MR_small", "pydicom_CT_small",
            "pydicomdata_693_UNCR", "pydicomdata_vlut_04", "pydicomdata_mlut_18",
        ):  # fmt: skip
            film = read_radiograph(data / f"dicom/{name}.dcm")
            decision = scope.check_pixels(film, header_says_chest=True)
            if decision.accepted and not alarms & set(decision.flags):
                unnoticed.append(name)
        assert unnoticed == []
