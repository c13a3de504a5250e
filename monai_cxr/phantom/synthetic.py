"""Synthetic files: DICOM radiographs made of given numbers, for tests, fuzzing and benchmarks.

Every identifier is derived from a fixed root and names no person.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

_ROOT = "1.2.826.0.1.3680043.10.1479"


def synthetic_dicom(
    stored: NDArray[np.integer],
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    codestream: bytes | None = None,
    **attributes: object,
) -> bytes:
    """Make a DICOM chest radiograph of given stored values.

    Args:
        stored: Integers of 8 or 16 bits, shape (rows, columns), (frames, rows, columns) or
            (rows, columns, 3); their dtype sets BitsAllocated and PixelRepresentation.
        transfer_syntax: UID. A compressed syntax needs ``codestream``, or one of pydicom's
            encoders (RLE, JPEG-LS, JPEG 2000).
        codestream: One compressed frame, which is stored as it is.
        **attributes: Elements by keyword, over the defaults; None removes an element.

    Returns:
        A DICOM Part 10 file.
    """
    dataset = _defaults(stored)
    for keyword, value in attributes.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    syntax = UID(transfer_syntax)
    big_endian = syntax == "1.2.840.10008.1.2.2"
    dataset.PixelData = stored.astype(
        stored.dtype.newbyteorder(">" if big_endian else "<")
    ).tobytes()
    dataset["PixelData"].VR = "OW" if stored.dtype.itemsize == 2 else "OB"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.1")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", f"{_ROOT}.1")
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    if codestream is not None:
        dataset.PixelData = encapsulate([codestream])
        dataset["PixelData"].is_undefined_length = True
    elif syntax.is_encapsulated:
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(syntax, generate_instance_uid=False)
    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def lut_item(
    first: int,
    values: NDArray[np.integer],
    bits: int,
    *,
    signed: bool = False,
    explanation: str = "",
) -> Dataset:
    """An item of a Modality or VOI LUT Sequence.

    Args:
        first: Input value of the first entry.
        values: Entries, shape (n,).
        bits: Bits of an entry, for the descriptor.
        signed: Whether ``first`` may be negative.
        explanation: LUT Explanation.

    Returns:
        The item.
    """
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(values) % 65536, first, bits])
    item.add_new("LUTData", "OW", np.asarray(values).astype("<u2").tobytes())
    item.ModalityLUTType = "US"
    if explanation:
        item.LUTExplanation = explanation
    return item


def sequence(*items: Dataset) -> Sequence:
    """A DICOM sequence of items."""
    return Sequence(items)


def _defaults(stored: NDArray[np.integer]) -> Dataset:
    color = stored.ndim == 3 and stored.shape[-1] == 3
    bits = stored.dtype.itemsize * 8
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.SOPInstanceUID = f"{_ROOT}.1"
    dataset.StudyInstanceUID = f"{_ROOT}.2"
    dataset.SeriesInstanceUID = f"{_ROOT}.3"
    dataset.PatientID = "SYNTHETIC"
    dataset.PatientAge = "050Y"
    dataset.Modality = "DX"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.SamplesPerPixel = 3 if color else 1
    dataset.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    if color:
        dataset.PlanarConfiguration = 0
    elif stored.ndim == 3:
        dataset.NumberOfFrames = stored.shape[0]
    dataset.Rows, dataset.Columns = stored.shape[:2] if color else stored.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    return dataset
