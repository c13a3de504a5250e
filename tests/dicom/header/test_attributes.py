import pytest
from pydicom import Dataset
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping as retired

from monai_cxr.dicom.header.attributes import header_facts, patient_age_years, pixel_spacing
from monai_cxr.dicom.header.projection import view_position
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.picture.quiet import quiet
from monai_cxr.radiograph import ViewPosition


def dataset(**attributes):
    result = Dataset()
    with quiet():
        for keyword, value in attributes.items():
            setattr(result, keyword, value)
    return result


def code(value):
    return dataset(CodeValue=value)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ViewPosition": "PA"}, ViewPosition.PA),
        ({"ViewPosition": "ap"}, ViewPosition.AP),
        ({"ViewPosition": "LL"}, ViewPosition.LATERAL),
        ({"ViewCodeSequence": [code("R-10206")]}, ViewPosition.AP),
        ({"ViewCodeSequence": [code("399067008")]}, ViewPosition.LATERAL),
        ({"SeriesDescription": "W Chest PA"}, ViewPosition.PA),
        ({"SeriesDescription": "Chest PA and lateral"}, ViewPosition.UNKNOWN),
        ({"SeriesDescription": "PAPAGENO"}, ViewPosition.UNKNOWN),
        ({"ViewPosition": "PA", "SeriesDescription": "lateral"}, ViewPosition.PA),
        ({"ViewPosition": "LEFT LATERAL"}, ViewPosition.LATERAL),
        ({"ViewPosition": "AP OBLIQUE"}, ViewPosition.OBLIQUE),
        ({"ViewPosition": "LAO"}, ViewPosition.OBLIQUE),
        ({"ViewPosition": "AP SUPINE"}, ViewPosition.AP),
        ({"PatientOrientation": ["A", "F"]}, ViewPosition.LATERAL),
        ({"PatientOrientation": ["L", "F"]}, ViewPosition.UNKNOWN),
        ({"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, ViewPosition.PA),
        ({"AcquisitionDeviceProcessingDescription": "CHEST,LAT"}, ViewPosition.LATERAL),
        ({"SeriesDescription": "Thorax seitlich"}, ViewPosition.LATERAL),
        ({"SeriesDescription": "Torax P.A."}, ViewPosition.PA),
        ({"SeriesDescription": "RX Thorax profil", "ProtocolName": "PA"}, ViewPosition.LATERAL),
        ({"ViewCodeSequence": [dataset(CodeMeaning="lateral")]}, ViewPosition.LATERAL),
        ({}, ViewPosition.UNKNOWN),
    ],
)
def test_view(attributes, expected):
    assert view_position(dataset(**attributes)) is expected


@pytest.mark.parametrize("scheme", ["SCT", "SRT"])
def test_view_codes_mean_what_pydicom_says_they_mean(scheme):
    """CID 4010: every code whose meaning names a projection, in both terminologies."""
    seen = set()
    for meanings in concepts["SCT"].values():
        for value, (meaning, contexts) in meanings.items():
            shown = value if scheme == "SCT" else retired["SCT"].get(value)
            if shown is None or 4010 not in (contexts or ()):
                continue
            view = view_position(dataset(ViewCodeSequence=[code(shown)]))
            if "oblique" in meaning and "axial" not in meaning and "caud" not in meaning:
                assert view is ViewPosition.OBLIQUE, meaning
            elif meaning in ("antero-posterior", "postero-anterior"):
                assert view is (ViewPosition.AP if meaning[0] == "a" else ViewPosition.PA)
            elif "lateral" in meaning and "oblique" not in meaning:
                assert view is ViewPosition.LATERAL, meaning
            else:
                assert view is ViewPosition.UNKNOWN or meaning == "Sagittal", meaning
            seen.add(view)
    assert seen == set(ViewPosition)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"BodyPartExamined": "chest"}, "CHEST"),
        ({"BodyPartExamined": "UNKNOWN"}, ""),
        ({"AnatomicRegionSequence": [code("816094009")]}, "CHEST"),
        ({"AnatomicRegionSequence": [code("T-D3000")]}, "CHEST"),
        ({"AnatomicRegionSequence": [dataset(CodeMeaning="Hip joint")]}, "HIP JOINT"),
        ({"BodyPartExamined": "HAND", "AnatomicRegionSequence": [code("T-D3000")]}, "HAND"),
        ({}, ""),
    ],
)
def test_body_part(attributes, expected):
    assert header_facts(dataset(**attributes)).body_part == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PatientSpeciesDescription": "Canis lupus"}, True),
        ({"PatientSpeciesDescription": "Homo sapiens"}, False),
        ({"PatientSpeciesCodeSequence": [code("L-80700")]}, True),
        ({"PatientSpeciesCodeSequence": [code("337915000")]}, False),
        ({"PatientBreedDescription": "Beagle"}, True),
        ({}, False),
    ],
)
def test_animals(attributes, expected):
    assert header_facts(dataset(**attributes)).not_human is expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PixelSpacing": [0.1, 0.2]}, 0.5),
        ({"PixelAspectRatio": [2, 1]}, 2.0),
        ({"PixelSpacing": [0.1, 0.1], "PixelAspectRatio": [2, 1]}, 1.0),
        ({"PixelAspectRatio": [0, 1]}, 1.0),
        ({}, 1.0),
    ],
)
def test_pixel_aspect(attributes, expected):
    assert header_facts(dataset(**attributes)).pixel_aspect == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PatientAge": "058Y"}, 58.0),
        ({"PatientAge": "58"}, 58.0),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "999Y"}, None),
        ({"PatientAge": "old"}, None),
        ({"PatientBirthDate": "19500615", "StudyDate": "20200615"}, 70.0),
        ({"PatientBirthDate": "2020", "StudyDate": "20200615"}, None),
        ({}, None),
    ],
)
def test_age(attributes, expected):
    assert patient_age_years(dataset(**attributes)) == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (
            {"PixelSpacing": [0.12, 0.12], "ImagerPixelSpacing": [0.14, 0.14]},
            ((0.12, 0.12), "patient"),
        ),
        ({"ImagerPixelSpacing": [0.14, 0.2]}, ((0.14, 0.2), "detector")),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": "1.25"},
            ((0.16, 0.16), "magnification"),
        ),
        (
            {"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]},
            ((0.2, 0.2), "detector"),
        ),
        (
            {"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "GEOMETRY"},
            ((0.2, 0.2), "patient"),
        ),
        ({"PixelSpacing": [0, 0]}, (None, "")),
        ({"PixelSpacing": "0.2"}, (None, "")),
        ({}, (None, "")),
    ],
)  # fmt: skip
def test_spacing(attributes, expected):
    assert pixel_spacing(dataset(**attributes)) == expected


def test_malformed_values_read_as_absent():
    facts = header_facts(
        dataset(Rows=3, PatientAge="\x00", PixelSpacing=["0.1", "0.1"], PatientSex="female?")
    )
    assert (facts.rows, facts.columns, facts.patient_age_years, facts.patient_sex) == (
        3,
        0,
        None,
        "F",
    )


@pytest.mark.parametrize("name", ["chrJapMulti", "chrKoreanMulti", "chrGerm", "chrRuss"])
def test_any_character_set(data, name):
    path = next((data / "dicom").glob(f"*_{name}.dcm"))
    facts = open_dicom(path.read_bytes()).facts
    assert facts.key.sop_uid.startswith("1.")
    assert facts.rows == 32


def test_the_key_shows_no_patient():
    facts = header_facts(dataset(PatientID="SECRET-7", SOPInstanceUID="1.2.3"))
    assert facts.key.patient_id == "SECRET-7"
    assert "SECRET" not in repr(facts.key)
