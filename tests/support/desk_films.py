"""Films of known people and times for the tests of the desk: a phantom under another header."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom


def film_of(source: Path, **attributes: object) -> bytes:
    """A film with other elements; None takes one away.

    Args:
        source: A DICOM film.
        **attributes: By keyword.
    """
    dataset = pydicom.dcmread(source)
    for keyword, value in attributes.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    if "SOPInstanceUID" in attributes:
        dataset.file_meta.MediaStorageSOPInstanceUID = attributes["SOPInstanceUID"]
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def person(
    patient: str, sex: str, born: str, day: str, clock: str = "", **others: object
) -> dict[str, object]:
    """Elements of a person's film of a day."""
    return {
        "PatientID": patient,
        "PatientName": f"{patient}^{sex}",
        "PatientSex": sex,
        "PatientBirthDate": born,
        "PatientAge": None,
        "StudyDate": day,
        "StudyTime": clock,
        "AcquisitionDate": None,
        "AcquisitionTime": None,
        "ContentDate": None,
        "ContentTime": None,
        **others,
    }
