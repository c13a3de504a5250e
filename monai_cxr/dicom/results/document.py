"""Document: the modules that every document of ours has around what it says."""

from __future__ import annotations

from typing import Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from monai_cxr.dicom.header.elements import data_set
from monai_cxr.dicom.results.evidence import repeat_study
from monai_cxr.dicom.results.instances import MANUFACTURER, InstanceReference, add_file_meta


def document(own: InstanceReference, study: Dataset, header: Dataset, **attributes: Any) -> Dataset:
    """A document in the study of a film, to be stamped and written.

    Args:
        own: Which object of which series it is.
        study: Has the Study Instance UID.
        header: Of the film, whose patient and study are repeated.
        attributes: What is its own, by keyword.
    """
    made = data_set(
        SOPClassUID=own.sop_class_uid,
        SOPInstanceUID=own.sop_uid,
        SeriesInstanceUID=own.series_uid,
        InstanceNumber=1,
        Manufacturer=MANUFACTURER,
        ContentDate="",
        ContentTime="",
        **attributes,
    )
    made["StudyInstanceUID"] = study["StudyInstanceUID"]
    repeat_study(made, header)
    add_file_meta(made, ExplicitVRLittleEndian)
    return made
