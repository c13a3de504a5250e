"""A finding that a bundle has of its own goes out in every form, with a code and its name."""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone

import hl7
import numpy as np
import pydicom
import pytest
import sr_walker as walker
from fhir.resources.R4B.bundle import Bundle
from hl7apy.parser import parse_message
from pacs_films import film_bytes

from monai_cxr.dicom.results.heatmap import heatmap_capture, heatmap_segmentation
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.findings import FINDINGS, finding_of, number_of
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.radiograph import InstanceKey
from monai_cxr.screening.delivering.fhir import fhir_bundle
from monai_cxr.screening.delivering.hl7v2 import oru_message
from monai_cxr.screening.delivering.study_message import StudyReport

OWN = ("Rib_fracture", "Verkalkung_Ö", "骨折", "a|b^c\\d&e~f")
MODEL = ModelIdentity("chest_model", "1.2.0", "ab" * 32)
MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture(params=["ISO_IR 100", "ISO_IR 192", ""])
def reported(request) -> ReportedFilm:
    data = film_bytes(1, SpecificCharacterSet=request.param)
    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    key = InstanceKey(
        header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
    )
    names = ("Effusion", *OWN)
    scores = tuple(FindingScore(name, 0.0, 0.2 + 0.1 * i, i > 1) for i, name in enumerate(names))
    return ReportedFilm(data, Prediction(key, MODEL, scores))


def test_each_has_a_code_of_its_own():
    codes = {finding_of(name).code.value for name in OWN} | {f.code.value for f in FINDINGS}
    assert len(codes) == len(OWN) + len(FINDINGS)
    for name in OWN:
        code = finding_of(name).code
        assert len(code.value) <= 16
        assert code.meaning.isascii()
        assert 1 <= len(code.meaning) <= 64
        assert code == finding_of(name).code
    assert [number_of(name, ["Effusion", *OWN]) for name in OWN] == [15, 16, 17, 18]


def test_sr(reported):
    report = pydicom.dcmread(io.BytesIO(structured_report(reported).data))
    groups = walker.check_report(report)
    found = [walker.concept(walker.only(group, walker.FINDING))[0] for group in groups]
    assert found[1:] == [finding_of(name).code.value for name in OWN]
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99MONAICXR"


@pytest.mark.parametrize("finding", OWN)
def test_sc_and_seg(reported, finding):
    picture = np.zeros((64, 64, 3), np.uint8)
    capture = pydicom.dcmread(io.BytesIO(heatmap_capture(reported, picture, finding).data))
    header = pydicom.dcmread(io.BytesIO(reported.source))
    heat = np.ones((header.Rows, header.Columns), np.float32)
    written = pydicom.dcmread(io.BytesIO(heatmap_segmentation(reported, heat, finding).data))
    assert capture.InstanceNumber == written.InstanceNumber == 15 + OWN.index(finding)
    (segment,) = written.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == finding_of(finding).code.value
    assert finding_of(finding).title in capture.ImageComments


def test_fhir(reported):
    text = fhir_bundle(StudyReport((reported.prediction,), MADE))
    Bundle.model_validate_json(text)
    resources = [entry["resource"] for entry in json.loads(text)["entry"]]
    found = [r for r in resources if r["resourceType"] == "Observation"]
    assert len({r["identifier"][0]["value"] for r in found}) == 1 + len(OWN)
    for item, name in zip(found[1:], OWN, strict=True):
        assert item["code"]["coding"][0]["system"] == "urn:x-monai-cxr:findings"
        assert item["code"]["coding"][0]["code"] == finding_of(name).code.value
        assert item["code"]["text"] == finding_of(name).code.meaning
    assert "Rib fracture" not in resources[-1]["conclusion"]  # it is absent
    assert "Verkalkung" in resources[-1]["conclusion"]


def test_hl7(reported):
    text = oru_message(StudyReport((reported.prediction,), MADE))
    assert parse_message(text).validate()
    message = hl7.parse(text)
    decisions = [o for o in message.segments("OBX") if "99MONAICXR" in str(o[3])]
    assert [str(o[4]) for o in decisions] == [f"1.{n}" for n in (15, 16, 17, 18)]
    values = [str(o[3]).split("^")[0] for o in decisions]
    assert values == [finding_of(name).code.value for name in OWN]
