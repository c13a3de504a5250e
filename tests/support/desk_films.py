"""Films of known people and times for the tests of the desk: a phantom under another header."""

from __future__ import annotations

import io
from collections.abc import Sequence
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


ACROSS = "1.2.826.0.1.3680043.8.498.7"


def seven_studies(sources: Sequence[Path], folder: Path) -> None:
    """Seven studies of as many people, one of them with a prior of an inverse film."""
    for number, source in enumerate(sources[:5]):
        (folder / f"{number}.dcm").write_bytes(source.read_bytes())
    who = {"PatientID": "PRIOR", "PatientName": "A^B", "PatientSex": "F"}
    for number, (day, photometric) in enumerate(
        (("20240301", "MONOCHROME2"), ("20230101", "MONOCHROME1"))
    ):
        whose = person("PRIOR", "F", "19600101", day, "080000") | who
        data = film_of(
            sources[5 + number], **whose, StudyInstanceUID=f"{ACROSS}.{number}",
            SOPInstanceUID=f"{ACROSS}.{number}.1", PhotometricInterpretation=photometric,
            PresentationLUTShape="INVERSE" if number else None,
        )  # fmt: skip
        (folder / f"prior{number}.dcm").write_bytes(data)
