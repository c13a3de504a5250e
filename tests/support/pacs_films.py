"""Films for the tests of the network: each with its own UIDs and pixels."""

from __future__ import annotations

import numpy as np

from monai_cxr.phantom.synthetic import synthetic_dicom


def film_bytes(number: int, *, study: int | None = None, side: int = 80, **attributes) -> bytes:
    """A film of its own: its number is in its UIDs and in its pixels."""
    pixels = np.full((side, side), number % 4096, np.uint16)
    pixels[0] = np.arange(side)
    root = "1.2.826.0.1.3680043.10.1479.77"
    study = number if study is None else study
    values = {
        "SOPInstanceUID": f"{root}.1.{number}", "StudyInstanceUID": f"{root}.2.{study}",
        "SeriesInstanceUID": f"{root}.3.{study}", "PatientID": f"PID{study}",
        "PatientName": f"Muster^Nummer{study}", "StudyDate": "20260105", "StudyTime": "081500",
        "AccessionNumber": f"A{study}", "StudyID": str(study), "PatientBirthDate": "",
        "PatientSex": "O", **attributes,
    }  # fmt: skip
    return synthetic_dicom(pixels, **values)
