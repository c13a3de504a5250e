"""Rejection note: a Key Object Selection that takes instances back (IOCM of IHE RAD).

The first concept of its content says why; the evidence sequence says what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from pydicom import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.elements import data_set
from monai_cxr.dicom.results.document import document
from monai_cxr.dicom.results.evidence import sop_reference, study_reference
from monai_cxr.dicom.results.instances import (
    DicomInstance,
    InstanceReference,
    Source,
    derived_uid,
    header_of,
    stamp,
    writing,
    written,
)
from monai_cxr.picture.quiet import quiet

REJECTIONS = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
}
"""Titles that say an instance is wrong (PS3.16 CID 7011). 113039, its time is over, is none."""

SERIES_NUMBER = 903

_DOCUMENTS = ("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104.")
"""Beginnings of the SOP Classes of reports and encapsulated documents."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a note takes back.

    Attributes:
        code: One of :data:`REJECTIONS`.
        sop_uids: SOP Instance UIDs of what is rejected.
    """

    code: str
    sop_uids: tuple[str, ...]


def rejection_of(dataset: Dataset) -> Rejection | None:
    """What a Key Object Selection rejects; None for one that only selects."""
    with quiet():
        if elements.identifier(dataset, "SOPClassUID") != KeyObjectSelectionDocumentStorage:
            return None
        titles = elements.items(dataset, "ConceptNameCodeSequence")
        code = elements.text(titles[0], "CodeValue") if titles else ""
        scheme = elements.text(titles[0], "CodingSchemeDesignator") if titles else ""
        if code not in REJECTIONS or scheme != "DCM":
            return None
        found = [
            elements.identifier(reference, "ReferencedSOPInstanceUID")
            for study in elements.items(dataset, "CurrentRequestedProcedureEvidenceSequence")
            for series in elements.items(study, "ReferencedSeriesSequence")
            for reference in elements.items(series, "ReferencedSOPSequence")
        ]
    return Rejection(code, tuple(dict.fromkeys(uid for uid in found if uid)))


def rejection_note(
    source: Source,
    rejected: Sequence[InstanceReference],
    code: str,
    *,
    created: datetime | None = None,
) -> DicomInstance:
    """Take objects of ours back, in the study of their film.

    Args:
        source: The film's file, parsed file, or header.
        rejected: What is taken back.
        code: One of :data:`REJECTIONS`.
        created: When; None for now.

    Returns:
        The note. Its UID is derived from what it takes back.

    Raises:
        UnsupportedImage: ``"not_reportable"`` if the film's header breaks the writer.
    """
    with writing():
        header = header_of(source)
        uids = "|".join(sorted(one.sop_uid for one in rejected))
        own = (derived_uid(uids, code, kind) for kind in ("ko", "ko-series"))
        title = {"CodeValue": code, "CodingSchemeDesignator": "DCM"}
        note = document(
            InstanceReference(KeyObjectSelectionDocumentStorage, *own),
            header,
            header,
            Modality="KO",
            SeriesNumber=SERIES_NUMBER,
            SeriesDescription="AI results withdrawn",
            ReferencedPerformedProcedureStepSequence=[],
            CurrentRequestedProcedureEvidenceSequence=[study_reference(header, rejected)],
            ValueType="CONTAINER",
            ContinuityOfContent="SEPARATE",
            ConceptNameCodeSequence=[data_set(**title, CodeMeaning=REJECTIONS[code])],
            ContentTemplateSequence=[data_set(MappingResource="DCMR", TemplateIdentifier="2010")],
            ContentSequence=[_content(one) for one in rejected],
        )
        stamp(note, created or datetime.now(timezone.utc))
        return written(note)


def _content(one: InstanceReference) -> Dataset:
    is_document = one.sop_class_uid.startswith(_DOCUMENTS)
    return data_set(
        RelationshipType="CONTAINS",
        ValueType="COMPOSITE" if is_document else "IMAGE",
        ReferencedSOPSequence=[sop_reference(one.sop_class_uid, one.sop_uid)],
    )
