"""Our own walker of the SR tree: the rows of TID 1500 and 1501 (PS3.16), which no tool checks."""

from __future__ import annotations

import io

import pydicom
from pydicom import Dataset


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def code(item: Dataset) -> tuple[str, str]:
    return str(item.CodeValue), str(item.CodingSchemeDesignator)


def name(item: Dataset) -> tuple[str, str]:
    return code(item.ConceptNameCodeSequence[0])


def children(item: Dataset, concept: tuple[str, str]) -> list[Dataset]:
    return [child for child in item.get("ContentSequence", ()) if name(child) == concept]


def only(item: Dataset, concept: tuple[str, str]) -> Dataset:
    found = children(item, concept)
    assert len(found) == 1, f"expected one {concept}, got {len(found)}"
    return found[0]


def concept(item: Dataset) -> tuple[str, str]:
    return code(item.ConceptCodeSequence[0])


FINDING = ("121071", "DCM")
SITE = ("363698007", "SCT")
PROBABILITY = ("122157", "DCM")
PRESENCE = ("705057003", "SCT")
COMMENT = ("121106", "DCM")
PARAMETERS = ("111002", "DCM")


COMPREHENSIVE_3D = "1.2.840.10008.5.1.4.1.1.88.34"


def check_report(report: Dataset, *, sop_class_uid: str = COMPREHENSIVE_3D) -> list[Dataset]:
    """Assert the rows of TID 1500; gives the groups."""
    assert report.Modality == "SR"
    assert report.SOPClassUID == sop_class_uid
    assert report.CompletionFlag == "COMPLETE"
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert report.VerificationFlag == "UNVERIFIED"
    # Row 1: the root container and its title, and the template it claims.
    assert report.ValueType == "CONTAINER"
    assert name(report) == ("126000", "DCM")
    template = report.ContentTemplateSequence[0]
    assert (template.MappingResource, template.TemplateIdentifier) == ("DCMR", "1500")
    # Row 2: language (TID 1204). Row 3: observer (TID 1001, 1004). Row 4: procedure.
    assert only(report, ("121049", "DCM")).RelationshipType == "HAS CONCEPT MOD"
    observer = only(report, ("121005", "DCM"))
    assert (observer.RelationshipType, concept(observer)) == ("HAS OBS CONTEXT", ("121007", "DCM"))
    assert only(report, ("121012", "DCM")).ValueType == "UIDREF"
    assert only(report, ("121058", "DCM")).ValueType == "CODE"
    # Row 6: the measurements.
    measurements = only(report, ("126010", "DCM"))
    assert (measurements.ValueType, measurements.RelationshipType) == ("CONTAINER", "CONTAINS")
    groups = children(measurements, ("125007", "DCM"))
    assert len(groups) == len(measurements.ContentSequence)
    for group in groups:
        check_group(group)
    return groups


def check_group(group: Dataset) -> None:
    """Assert the rows of TID 1501."""
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    assert (group.ValueType, group.RelationshipType) == ("CONTAINER", "CONTAINS")
    tracking = only(group, ("112039", "DCM"))
    assert (tracking.ValueType, tracking.RelationshipType) == ("TEXT", "HAS OBS CONTEXT")
    assert only(group, ("112040", "DCM")).ValueType == "UIDREF"
    assert concept(only(group, ("276214006", "SCT"))) == ("404684003", "SCT")  # finding category
    finding = only(group, FINDING)
    assert (finding.ValueType, finding.RelationshipType) == ("CODE", "CONTAINS")
    assert only(group, SITE).RelationshipType == "HAS CONCEPT MOD"
    for value in (("111001", "DCM"), ("111003", "DCM"), ("122405", "DCM")):  # TID 4019
        assert only(group, value).TextValue
    number = only(group, PROBABILITY)
    assert (number.ValueType, number.RelationshipType) == ("NUM", "CONTAINS")
    measured = number.MeasuredValueSequence[0]
    assert code(measured.MeasurementUnitsCodeSequence[0]) == ("1", "UCUM")
    assert 0.0 <= float(measured.NumericValue) <= 1.0
    for region in number.get("ContentSequence", ()):  # TID 320
        assert (region.ValueType, region.RelationshipType) == ("SCOORD", "INFERRED FROM")
        (image,) = region.ContentSequence
        assert (image.ValueType, image.RelationshipType) == ("IMAGE", "SELECTED FROM")
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source_uid(group)
    assert only(group, COMMENT).TextValue.startswith("AI ")
    sources = [child for child in group.ContentSequence if child.ValueType == "IMAGE"]
    assert len(sources) == 1
    assert name(sources[0]) == ("121112", "DCM")  # source of measurement


def source_uid(group: Dataset) -> str:
    image = next(child for child in group.ContentSequence if child.ValueType == "IMAGE")
    return str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def probability(group: Dataset) -> float:
    return float(only(group, PROBABILITY).MeasuredValueSequence[0].NumericValue)


def presence(group: Dataset) -> str | None:
    found = children(group, PRESENCE)
    if not found:
        return None
    return {"52101004": "present", "272519000": "absent"}[concept(found[0])[0]]


def parameters(group: Dataset) -> dict[str, str]:
    return dict(child.TextValue.split("=", 1) for child in children(group, PARAMETERS))
