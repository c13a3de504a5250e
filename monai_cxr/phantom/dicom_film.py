"""DICOM film: one phantom film as a Digital X-Ray Image, For Presentation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from monai_cxr.phantom.film import PhantomFilm
from monai_cxr.phantom.settings import PhantomSettings

_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEGLSLossless,
             JPEG2000Lossless)  # fmt: skip
_SYNTAX_SHARES = (0.58, 0.12, 0.16, 0.09, 0.05)
_FIRST_DAY = date(2020, 1, 6)
_SITE_STREAM = 91


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the pixels are stored; drawn by chance, never from the findings.

    Attributes:
        transfer_syntax: UID of the transfer syntax.
        inverted: Whether the film is MONOCHROME1 (high stored values are dark).
        bits: BitsStored: 12, 14 or 16.
        sigmoid: Whether the VOI LUT function is SIGMOID instead of LINEAR.
        low: Stored value shown black under a linear window.
        high: Stored value shown white.
    """

    transfer_syntax: str
    inverted: bool
    bits: int
    sigmoid: bool
    low: int
    high: int

    @property
    def largest(self) -> int:
        """Largest stored value."""
        return int(2**self.bits - 1)


def draw_encoding(settings: PhantomSettings, patient: int, follow_up: int) -> Encoding:
    """Draw how a film is stored."""
    rng = np.random.default_rng([settings.seed, patient, _SITE_STREAM, follow_up])
    bits = int(rng.choice([12, 14, 16], p=[0.6, 0.25, 0.15]))
    full = 2**bits - 1
    return Encoding(
        transfer_syntax=str(_SYNTAXES[int(rng.choice(len(_SYNTAXES), p=_SYNTAX_SHARES))]),
        inverted=bool(rng.random() < 0.3),
        bits=bits,
        sigmoid=bool(rng.random() < 0.15),
        low=int(full * rng.uniform(0.05, 0.20)),
        high=int(full * rng.uniform(0.75, 0.92)),
    )


def film_dataset(film: PhantomFilm, settings: PhantomSettings, encoding: Encoding) -> Dataset:
    """Describe a film in DICOM.

    Args:
        film: The rendered film.
        settings: The settings it was rendered with; their seed enters the UIDs.
        encoding: How to store it.

    Returns:
        A data set with file meta information, ready to be written. Shown through its window it
        equals ``film.pixels`` to half a stored value.
    """
    dataset = Dataset()
    _add_patient_and_study(dataset, film, settings)
    _add_series(dataset, film)
    _add_pixels(dataset, film, encoding)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return _encoded(dataset, encoding)


def stored_values(film: PhantomFilm, encoding: Encoding) -> NDArray[np.uint16]:
    """Quantise a film to stored values.

    Args:
        film: The rendered film.
        encoding: Bits, window and polarity.

    Returns:
        uint16, shape (rows, columns), in [0, 2**bits - 1].
    """
    span = float(encoding.high - encoding.low)
    if encoding.sigmoid:
        # PS3.3 C.11.2.1.3.1: y = 1 / (1 + exp(-4 (x - centre) / width)), solved for x.
        shown = np.clip(film.pixels.astype(np.float64), 1e-4, 1.0 - 1e-4)
        value = 0.5 * (encoding.low + encoding.high) + span * _SIGMOID_WIDTH / 4.0 * np.log(
            shown / (1.0 - shown)
        )
    else:
        value = encoding.low + film.processed.astype(np.float64) * span
    value = np.clip(np.rint(value), 0, encoding.largest)
    stored = encoding.largest - value if encoding.inverted else value
    return np.asarray(stored, dtype=np.uint16)


def window_of(encoding: Encoding) -> tuple[float, float]:
    """(WindowCenter, WindowWidth) that shows the stored values as rendered."""
    span = float(encoding.high - encoding.low)
    if encoding.sigmoid:
        centre, width = 0.5 * (encoding.low + encoding.high), span * _SIGMOID_WIDTH
        return (encoding.largest - centre if encoding.inverted else centre), width
    # PS3.3 C.11.2.1.2.1: black at centre - 0.5 - (width - 1) / 2, white (width - 1) above.
    centre = 0.5 * (encoding.low + encoding.high) + 0.5
    return (encoding.largest + 1.0 - centre if encoding.inverted else centre), span + 1.0


_SIGMOID_WIDTH = 0.30


def _add_patient_and_study(dataset: Dataset, film: PhantomFilm, settings: PhantomSettings) -> None:
    visit = film.visit
    root = (f"phantom-{settings.seed}-{settings.size}", str(visit.patient))
    film_number = str(visit.follow_up)
    day = (_FIRST_DAY + timedelta(days=(visit.patient * 37) % 700 + visit.day)).strftime("%Y%m%d")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*root, film_number, "instance"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[*root, film_number, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[*root, film_number, "series"])
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = day
    dataset.StudyTime = dataset.ContentTime = dataset.AcquisitionTime = "080000"
    dataset.AccessionNumber = f"P{visit.patient:06d}{visit.follow_up:03d}"
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = film_number
    dataset.StudyDescription = "Chest phantom (synthetic)"
    dataset.PatientName = f"Phantom^{visit.patient:06d}"
    dataset.PatientID = visit.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = visit.sex
    dataset.PatientAge = f"{visit.age_years:03d}Y"


def _add_series(dataset: Dataset, film: PhantomFilm) -> None:
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Manufacturer = "monai_cxr phantom"
    dataset.ManufacturerModelName = "Digital chest phantom"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    dataset.SeriesDescription = f"Chest {film.view_position}"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = film.view_position
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImageLaterality = "U"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.RescaleType = "US"
    spacing = [f"{value:.6f}" for value in film.pixel_spacing_mm]
    dataset.ImagerPixelSpacing = spacing
    dataset.DetectorType = "DIRECT"
    dataset.PositionerType = "NONE"
    dataset.AcquisitionContextSequence = []
    dataset.ViewCodeSequence = [_view_code(film.view_position)]
    dataset.AnatomicRegionSequence = [_code("816094009", "SCT", "Chest")]


def _add_pixels(dataset: Dataset, film: PhantomFilm, encoding: Encoding) -> None:
    stored = stored_values(film, encoding)
    centre, width = window_of(encoding)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if encoding.inverted else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if encoding.inverted else "IDENTITY"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = encoding.bits
    dataset.HighBit = encoding.bits - 1
    dataset.PixelRepresentation = 0
    dataset.WindowCenter = f"{centre:.1f}"
    dataset.WindowWidth = f"{width:.1f}"
    if encoding.sigmoid:
        dataset.VOILUTFunction = "SIGMOID"
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"


def _encoded(dataset: Dataset, encoding: Encoding) -> Dataset:
    native = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    if encoding.transfer_syntax in native:
        dataset.file_meta.TransferSyntaxUID = UID(encoding.transfer_syntax)
        return dataset
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with warnings.catch_warnings():
        # pydicom warns that a 12-bit film is stored in 16 bits, which is what is meant.
        warnings.simplefilter("ignore", UserWarning)
        dataset.compress(encoding.transfer_syntax, generate_instance_uid=False)
    return dataset


def _view_code(view_position: str) -> Dataset:
    if view_position == "PA":
        return _code("272479007", "SCT", "postero-anterior")
    return _code("399348003", "SCT", "antero-posterior")


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
