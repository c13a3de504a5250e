"""Report document: the modules of an SR Document around its content tree."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import pydicom
from pydicom import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
)

from monai_cxr.dicom.header.elements import data_set
from monai_cxr.dicom.results.document import document
from monai_cxr.dicom.results.evidence import study_reference
from monai_cxr.dicom.results.instances import (
    MANUFACTURER,
    DicomInstance,
    InstanceReference,
    add_file_meta,
    derived_uid,
    written,
)
from monai_cxr.findings import finding_of
from monai_cxr.picture.quiet import quiet
from monai_cxr.prediction import ModelIdentity

REPORT_CLASSES = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage)
"""SOP Classes that can hold a report, the best first: it has no 3D coordinates, no references."""

REPORT_CLASS_NAMES = dict(
    zip(("comprehensive_3d", "comprehensive", "enhanced"), REPORT_CLASSES, strict=True)
)
"""Names of these classes in settings."""

BEST_REPORT_CLASS = "comprehensive_3d"

SERIES_DESCRIPTION = "AI chest findings (research use, not for diagnosis)"
SERIES_NUMBER = 900

PRIVATE_SCHEME_UID = derived_uid("monai_cxr", "99MONAICXR", "coding-scheme")
"""UID of the private coding scheme, for a finding that has no verified SNOMED CT code."""


def report_document(
    header: Dataset, evidence: list[Dataset], model: ModelIdentity, content: Dataset
) -> Dataset:
    """The SR Document modules (PS3.3 A.35.13) around a content tree.

    highdicom's own class copies and searches the tree several times, which takes longer than all
    the rest; what it adds is the dozen attributes below.

    Each report is a series of its own: viewers show one report of a series (OHIF #6243).

    Args:
        header: Header of the first film, whose study is repeated.
        evidence: The films, of one study.
        model: Whose report.
        content: The root of the content tree.
    """
    films = "|".join(sorted(image.SOPInstanceUID for image in evidence))
    uids = (derived_uid(films, model.digest, kind) for kind in ("sr", "sr-series"))
    cited = (
        InstanceReference(one.SOPClassUID, one.SOPInstanceUID, one.SeriesInstanceUID)
        for one in evidence
    )
    report = document(
        InstanceReference(Comprehensive3DSRStorage, *uids),
        evidence[0],
        header,
        Modality="SR",
        SeriesNumber=SERIES_NUMBER,
        SeriesDescription=SERIES_DESCRIPTION,
        ReferencedPerformedProcedureStepSequence=[],
        CompletionFlag="COMPLETE",
        PreliminaryFlag="PRELIMINARY",
        VerificationFlag="UNVERIFIED",
        PerformedProcedureCodeSequence=[],
        CurrentRequestedProcedureEvidenceSequence=[study_reference(evidence[0], cited)],
    )
    add_equipment(report, model)
    for element in content:
        report.add(element)
    return report


def alternatives(
    instance: DicomInstance, first: str = BEST_REPORT_CLASS
) -> Iterator[DicomInstance]:
    """An object, and after it what says the same to a receiver that does not take its SOP Class.

    Each has a UID of its own, because a SOP Instance is of one SOP Class.

    Args:
        instance: The object.
        first: Key of :data:`REPORT_CLASS_NAMES`: the class that a report is tried in first.
    """
    if instance.sop_class_uid != Comprehensive3DSRStorage:
        yield instance
        return
    preferred = REPORT_CLASS_NAMES[first]
    for class_uid in (preferred, *(uid for uid in REPORT_CLASSES if uid != preferred)):
        if class_uid == instance.sop_class_uid:
            yield instance
            continue
        with quiet():
            report = pydicom.dcmread(io.BytesIO(instance.data))
            report.SOPClassUID = class_uid
            report.SOPInstanceUID = derived_uid(instance.sop_uid, class_uid, "sr-class")
            add_file_meta(report, ExplicitVRLittleEndian)
            yield written(report)


def class_of(instance: DicomInstance, sent_as: str) -> str:
    """SOP Class of an object that was sent under this UID: its own, or that of an alternative."""
    others = {derived_uid(instance.sop_uid, uid, "sr-class"): str(uid) for uid in REPORT_CLASSES}
    return others.get(sent_as, instance.sop_class_uid)


def add_private_schemes(report: Dataset, names: Iterable[str]) -> None:
    """Coding Scheme Identification Sequence (PS3.3 C.12.1.1.1) for private codes of findings."""
    designators = {finding_of(name).code.scheme for name in names}
    items = [
        data_set(
            CodingSchemeDesignator=designator,
            CodingSchemeUID=PRIVATE_SCHEME_UID,
            CodingSchemeName="monai_cxr findings",
            CodingSchemeResponsibleOrganization=MANUFACTURER,
        )
        for designator in sorted(d for d in designators if d.startswith("99"))
    ]
    if items:
        report.CodingSchemeIdentificationSequence = items


def add_predecessor(report: Dataset, made: InstanceReference) -> None:
    """Predecessor Documents Sequence (PS3.3 C.17.2): the report of the study that it replaces."""
    report.PredecessorDocumentsSequence = [study_reference(report, [made])]


def equipment(model: ModelIdentity) -> dict[str, str]:
    """General Equipment (PS3.3 C.7.5.1) of a result: the model is the device."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": model.name[:64],
        "software_versions": model.version[:64] or "unknown",
        "device_serial_number": model.digest[:64] or "unknown",
    }


def add_equipment(dataset: Dataset, model: ModelIdentity) -> None:
    """Set General Equipment of a result."""
    values = equipment(model)
    dataset.Manufacturer = values["manufacturer"]
    dataset.ManufacturerModelName = values["manufacturer_model_name"]
    dataset.SoftwareVersions = values["software_versions"]
    dataset.DeviceSerialNumber = values["device_serial_number"]
