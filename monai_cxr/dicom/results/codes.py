"""Codes: the concepts of :mod:`monai_cxr.findings` as pydicom and highdicom take them."""

from __future__ import annotations

from pydicom.sr.coding import Code as DicomCode

from monai_cxr.findings import Code


def dicom_code(code: Code) -> DicomCode:
    """A concept as an item of a code sequence (PS3.3 8.8)."""
    return DicomCode(code.value, code.scheme, code.meaning)
