"""FHIR R4: a Bundle of ImagingStudy, Device, one Observation per finding, and a DiagnosticReport.

The mapping follows HL7's "DICOM SR to FHIR Resource Mapping" 1.0.0: a measurement group becomes an
Observation of the finding, its NUM a component. The Bundle is a transaction of conditional creates,
so that posting it twice makes nothing twice.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

from monai_cxr.findings import (
    ABSENT,
    CHEST_RADIOGRAPHY,
    PRESENT,
    PROBABILITY,
    Code,
    finding_of,
)
from monai_cxr.optional import require
from monai_cxr.prediction import FindingScore, Prediction
from monai_cxr.screening.delivering.study_message import (
    StudyReport,
    identifier,
)

IDENTIFIER_SYSTEM = "urn:ietf:rfc:3986"
_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "RADLEX": "http://radlex.org",
    "99MONAICXR": "urn:x-monai-cxr:findings",
}
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
SAID = frozenset({"Observation", "DiagnosticReport"})
"""What a bundle says; the study and the device are not ours to change."""

_NOTE = "Made by a model and verified by nobody. Research use only, not a medical device."


def fhir_bundle(report: StudyReport) -> str:
    """Say predictions as a FHIR R4 transaction Bundle.

    Args:
        report: Predictions of one study.

    Returns:
        JSON text, validated by ``fhir.resources``; the same text for the same report.

    Raises:
        MissingDependency: Without the extra ``fhir``.
    """
    bundles: Any = require("fhir.resources.R4B.bundle", extra="fhir")
    observations = [
        _observation(report, prediction, score)
        for prediction in report.predictions
        for score in prediction.scores
        if not math.isnan(score.probability)
    ]
    resources = [
        _imaging_study(report),
        _device(report),
        *observations,
        _diagnostic_report(report, [_urn(item) for item in observations]),
    ]
    content = {
        "resourceType": "Bundle",
        "type": "transaction",
        "timestamp": _instant(report),
        "entry": [_entry(one, is_update=report.is_update) for one in resources],
    }
    bundle = bundles.Bundle.model_validate(content)
    return json.dumps(json.loads(bundle.model_dump_json(exclude_none=True)), ensure_ascii=False)


def _entry(resource: dict[str, Any], *, is_update: bool = False) -> dict[str, Any]:
    """A resource that a server makes where it has none; what we said ourselves it may update."""
    kind, name = resource["resourceType"], resource["identifier"][0]
    query = f"identifier={name['system']}|{name['value']}"
    request = {"method": "POST", "url": kind, "ifNoneExist": query}
    if is_update and kind in SAID:
        request = {"method": "PUT", "url": f"{kind}?{query}"}
    return {"fullUrl": _urn(resource), "resource": resource, "request": request}


def _urn(resource: dict[str, Any]) -> str:
    value = str(resource["identifier"][0]["value"])
    return value if value.startswith("urn:uuid:") else f"urn:uuid:{identifier([value], '', '')}"


def retracted_bundle(text: str, created: datetime) -> str:
    """A bundle that takes back what another one said: the same resources, entered in error.

    Args:
        text: A bundle as :func:`fhir_bundle` wrote it.
        created: When it is taken back.

    Returns:
        JSON text. A server updates what it has by its identifier, and makes it where it has none.
    """
    bundle: dict[str, Any] = json.loads(text)
    bundle["timestamp"] = created.isoformat(timespec="seconds")
    bundle["entry"] = [_retracted(entry) for entry in bundle["entry"]]
    return json.dumps(bundle, ensure_ascii=False)


def _retracted(entry: dict[str, Any]) -> dict[str, Any]:
    resource = entry["resource"]
    if resource["resourceType"] not in SAID:
        return entry
    return _entry({**resource, "status": "entered-in-error"}, is_update=True)


def _imaging_study(report: StudyReport) -> dict[str, Any]:
    identifiers: list[dict[str, Any]] = [
        {"system": "urn:dicom:uid", "value": f"urn:oid:{report.study_uid}"}
    ]
    if report.accession_number:
        accession = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                                 "code": "ACSN"}]}  # fmt: skip
        identifiers.append({"type": accession, "value": report.accession_number})
    result: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "identifier": identifiers,
        "status": "available",
        "subject": _subject(report),
    }
    if report.study_started is not None:
        started = report.study_started  # FHIR wants a zone with a time; without one, the day
        result["started"] = str(started.date()) if started.tzinfo is None else started.isoformat()
    return result


def _device(report: StudyReport) -> dict[str, Any]:
    model = report.predictions[0].model
    return {
        "resourceType": "Device",
        "identifier": [_named(identifier([], report.digest, "device"))],
        "manufacturer": "monai_cxr",
        "serialNumber": model.digest,
        "deviceName": [{"name": model.name, "type": "model-name"}],
        "version": [{"value": model.version or "unknown"}],
    }


def _observation(
    report: StudyReport, prediction: Prediction, score: FindingScore
) -> dict[str, Any]:
    finding = finding_of(score.finding)
    sop_uid = prediction.key.sop_uid
    result: dict[str, Any] = {
        "resourceType": "Observation",
        "identifier": [_named(report.identifier_of([sop_uid], score.finding))],
        "status": "preliminary",
        "category": [{"coding": [{"system": _CATEGORY, "code": "imaging"}]}],
        "code": _concept(finding.code),
        "subject": _subject(report),
        "issued": _instant(report),
        "bodySite": _concept(finding.site),
        "device": {"reference": _urn(_device(report))},
        "derivedFrom": [
            {"reference": _urn(_imaging_study(report)), "type": "ImagingStudy"},
        ],
        "note": [{"text": f"Film {sop_uid}. {_NOTE}"}],
        "component": [
            {
                "code": _concept(PROBABILITY),
                "valueQuantity": {
                    "value": round(score.probability, 6),
                    "system": "http://unitsofmeasure.org",
                    "code": "1",
                },
            }
        ],
    }
    if score.positive is not None:
        result["valueCodeableConcept"] = _concept(PRESENT if score.positive else ABSENT)
    return result


def _diagnostic_report(report: StudyReport, observations: list[str]) -> dict[str, Any]:
    present = sorted(
        {finding_of(s.finding).title for p in report.predictions for s in p.scores if s.positive}
    )
    said = ", ".join(present) or "no finding above its operating point"
    return {
        "resourceType": "DiagnosticReport",
        "identifier": [_named(report.identifier("fhir"))],
        "status": "preliminary",
        "category": [{"coding": [{"system": _SECTION, "code": "RAD"}]}],
        "code": _concept(CHEST_RADIOGRAPHY),
        "subject": _subject(report),
        "issued": _instant(report),
        "imagingStudy": [{"reference": _urn(_imaging_study(report))}],
        "result": [{"reference": reference} for reference in observations],
        "conclusion": f"Model: {said}. {_NOTE}",
    }  # fmt: skip


def _named(value: str) -> dict[str, str]:
    return {"system": IDENTIFIER_SYSTEM, "value": f"urn:uuid:{value}"}


def _subject(report: StudyReport) -> dict[str, Any]:
    if not report.patient_id:
        return {"type": "Patient", "display": "unknown"}
    return {"type": "Patient", "identifier": {"value": report.patient_id}}


def _concept(code: Code) -> dict[str, Any]:
    coding = {"system": _SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}
    return {"coding": [coding], "text": code.meaning}


def _instant(report: StudyReport) -> str:
    return report.created.isoformat(timespec="seconds")
