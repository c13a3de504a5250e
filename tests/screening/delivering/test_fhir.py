"""FHIR: read back by fhir.resources, references resolve, the same text twice."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone

import pytest
from fhir.resources.R4B.bundle import Bundle

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.radiograph import InstanceKey
from monai_cxr.screening.delivering.fhir import fhir_bundle
from monai_cxr.screening.delivering.study_message import StudyReport

MODEL = ModelIdentity("chest_model", "1.2.0", "ab" * 32)
MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def prediction(sop_uid: str = "1.2.5", patient: str = "0815") -> Prediction:
    scores = tuple(
        FindingScore(f, 0.0, 0.05 * i + 0.01, i > 5) for i, f in enumerate(FINDING_NAMES)
    )
    return Prediction(InstanceKey(patient, "1.2.3", "1.2.4", sop_uid), MODEL, scores)


def resources(report: StudyReport, kind: str) -> list[dict]:
    entries = json.loads(fhir_bundle(report))["entry"]
    return [e["resource"] for e in entries if e["resource"]["resourceType"] == kind]


def test_fhir_resources_reads_it_back():
    report = StudyReport((prediction(),), MADE, "A1", study_started=MADE)
    bundle = Bundle.model_validate_json(fhir_bundle(report))
    kinds = [entry.resource.get_resource_type() for entry in bundle.entry]
    assert kinds == ["ImagingStudy", "Device", *["Observation"] * 14, "DiagnosticReport"]


def test_every_finding_has_its_code_decision_and_probability():
    found = resources(StudyReport((prediction(),), MADE), "Observation")
    for item, score in zip(found, prediction().scores, strict=True):
        coding = item["code"]["coding"][0]
        assert coding["code"] == FINDINGS[score.finding].code.value
        decided = item["valueCodeableConcept"]["coding"][0]["code"]
        assert decided == ("52101004" if score.positive else "272519000")
        component = item["component"][0]
        assert component["code"]["coding"][0]["code"] == "122157"
        assert component["valueQuantity"]["value"] == pytest.approx(score.probability, abs=1e-6)
        assert item["status"] == "preliminary"


def test_every_reference_leads_to_an_entry():
    text = fhir_bundle(StudyReport((prediction(), prediction("1.2.6")), MADE))
    entries = json.loads(text)["entry"]
    names = {entry["fullUrl"] for entry in entries}
    assert len(names) == len(entries)

    def references(value):
        if isinstance(value, dict):
            yield from [value["reference"]] if "reference" in value else []
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = set(references(entries))
    assert len(found) > 20
    assert found <= names


def test_posted_twice_it_makes_nothing_twice():
    report = StudyReport((prediction(),), MADE)
    assert fhir_bundle(report) == fhir_bundle(report)
    entries = json.loads(fhir_bundle(report))["entry"]
    conditions = [entry["request"]["ifNoneExist"] for entry in entries]
    assert len(set(conditions)) == len(conditions)


def test_without_probability_or_decision_nothing_is_claimed():
    one = Prediction(prediction().key, MODEL, (FindingScore("Mass", 0.0, math.nan),
                                               FindingScore("Hernia", 0.0, 0.5)))  # fmt: skip
    (item,) = resources(StudyReport((one,), MADE), "Observation")
    assert "valueCodeableConcept" not in item
    assert item["component"][0]["valueQuantity"]["value"] == 0.5
    (said,) = resources(StudyReport((one,), MADE), "DiagnosticReport")
    assert "no finding above its operating point" in said["conclusion"]


def test_mixtures_are_refused_and_no_patient_is_shown():
    with pytest.raises(SettingsError, match="at least one"):
        StudyReport((), MADE)
    with pytest.raises(SettingsError, match="one patient"):
        StudyReport((prediction(), prediction("1.2.6", "other")), MADE)
    with pytest.raises(SettingsError, match="time zone"):
        StudyReport((prediction(),), datetime(2026, 1, 1))
    assert "0815" not in repr(StudyReport((prediction(),), MADE))


def test_unknown_patient():
    report = StudyReport((prediction(patient=""),), MADE)
    assert resources(report, "DiagnosticReport")[0]["subject"]["display"] == "unknown"
