"""Attributes: a header's facts as plain values: identity, view, spacing, age, kind of image."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.projection import view_position
from monai_cxr.radiograph import FilmFacts, InstanceKey, ViewPosition

_KEY = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_CHEST_CODES = frozenset({"51185008", "816094009", "T-D3000"})  # PS3.16 CID 4009
_HUMAN_CODES = frozenset({"337915000", "L-85B00"})  # homo sapiens, PS3.16 CID 7454
_NOT_KNOWN = frozenset({
    "", "UNKNOWN", "UNSPECIFIED", "UNDEFINED", "OTHER", "NONE", "N/A", "NA", "NULL", "DEFAULT",
    "NOT SPECIFIED", "NOT KNOWN", "NOT DEFINED", "NOT APPLICABLE", "UNK", "ANY", "MISC",
    "MISCELLANEOUS", "SIN ESPECIFICAR", "NO ESPECIFICADO", "NAO ESPECIFICADO", "DESCONOCIDO",
    "DESCONHECIDO", "SCONOSCIUTO", "NON SPECIFICATO", "INCONNU", "NON SPECIFIE", "AUTRE",
    "UNBEKANNT", "ONBEKEND", "NIEZNANE", "BILINMIYOR", "НЕИЗВЕСТНО", "НЕ УКАЗАНО", "ДРУГОЕ",
    "不明", "未知", "未指定", "無指定", "其他", "その他", "기타", "미지정",
})  # fmt: skip
"""What a header says of a body part that it does not know; the empty text is among them."""

_NO_WORD = re.compile(r"[\W\d_]*|X+")
"""What is written where nothing is known: a dash, a number, crosses."""

_DAYS_IN_A_YEAR = 365.25
_OLDEST_YEARS = 130.0
_PLACEHOLDER_BIRTHS = (1900.0, 1901.0)
_AGE_UNITS = {"D": _DAYS_IN_A_YEAR, "W": _DAYS_IN_A_YEAR / 7, "M": 12.0, "Y": 1.0}


FOR_PROCESSING = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray Image Storage - For Processing
        "1.2.840.10008.5.1.4.1.1.1.2.1",  # Digital Mammography - For Processing
        "1.2.840.10008.5.1.4.1.1.1.3.1",  # Digital Intra-Oral - For Processing
    }
)


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What a DICOM header says of its image; nothing here is checked against the pixels.

    Attributes:
        key: Identity.
        sop_class_uid: SOP Class UID (0008,0016).
        modality: Modality (0008,0060), upper case.
        body_part: BodyPartExamined (0018,0015), else AnatomicRegionSequence (0008,2218); upper
            case without accents, ``""`` when it says that it is not known.
        view: Projection.
        image_type: ImageType (0008,0008), upper case.
        photometric_interpretation: Upper case.
        samples_per_pixel: 1 or 3, as stated.
        rows: Rows (0028,0010), 0 when absent.
        columns: Columns (0028,0011), 0 when absent.
        n_frames: NumberOfFrames (0028,0008), 1 when absent.
        bits_allocated: 0 when absent.
        bits_stored: 0 when absent.
        pixel_spacing_mm: (between rows, between columns) or None.
        spacing_source: ``"patient"``, ``"magnification"``, ``"detector"`` or ``""``.
        pixel_aspect: Height of a pixel over its width: PixelAspectRatio (0028,0034), else spacing.
        patient_orientation: For example ``("L", "F")``.
        rotation_degrees: FieldOfViewRotation (0018,7032).
        horizontal_flip: FieldOfViewHorizontalFlip (0018,7034).
        patient_age_years: Age, or None.
        patient_sex: ``"M"``, ``"F"``, ``"O"`` or ``""``.
        manufacturer: Manufacturer (0008,0070).
        description: StudyDescription, SeriesDescription and ProtocolName, upper case without
            accents; it may hold anything, so it is matched against words and never shown.
        for_processing: Whether these are raw detector values.
        burned_in_annotation: BurnedInAnnotation (0028,0301) is YES.
        not_human: The header names an animal.
        acquired: StudyDate (0008,0020) as ``YYYYMMDD``, or ``""``.
    """

    key: InstanceKey
    sop_class_uid: str = ""
    modality: str = ""
    body_part: str = ""
    view: ViewPosition = ViewPosition.UNKNOWN
    image_type: tuple[str, ...] = ()
    photometric_interpretation: str = ""
    samples_per_pixel: int = 1
    rows: int = 0
    columns: int = 0
    n_frames: int = 1
    bits_allocated: int = 0
    bits_stored: int = 0
    pixel_spacing_mm: tuple[float, float] | None = None
    spacing_source: str = ""
    pixel_aspect: float = 1.0
    patient_orientation: tuple[str, ...] = ()
    rotation_degrees: float = 0.0
    horizontal_flip: bool = False
    patient_age_years: float | None = None
    patient_sex: str = ""
    manufacturer: str = ""
    description: str = ""
    for_processing: bool = False
    burned_in_annotation: bool = False
    not_human: bool = False
    acquired: str = ""

    @property
    def film(self) -> FilmFacts:
        """What is kept of the film; the pixels add their flags and measures."""
        person = (self.patient_age_years, self.patient_sex)
        return FilmFacts(self.key, self.view, *person, self.manufacturer, source_format="dicom")


def header_facts(dataset: Dataset) -> HeaderFacts:
    """Read the facts of a header; a malformed value reads as absent."""
    spacing, source = pixel_spacing(dataset)
    return HeaderFacts(
        key=InstanceKey(*(elements.identifier(dataset, keyword) for keyword in _KEY)),
        sop_class_uid=elements.text(dataset, "SOPClassUID"),
        modality=elements.text(dataset, "Modality").upper(),
        body_part=body_part(dataset),
        view=view_position(dataset),
        image_type=tuple(v.upper() for v in elements.texts(dataset, "ImageType")),
        photometric_interpretation=elements.text(dataset, "PhotometricInterpretation").upper(),
        samples_per_pixel=elements.integer(dataset, "SamplesPerPixel") or 1,
        rows=max(elements.integer(dataset, "Rows") or 0, 0),
        columns=max(elements.integer(dataset, "Columns") or 0, 0),
        n_frames=_frames(dataset),
        bits_allocated=elements.integer(dataset, "BitsAllocated") or 0,
        bits_stored=elements.integer(dataset, "BitsStored") or 0,
        pixel_spacing_mm=spacing,
        spacing_source=source,
        pixel_aspect=_pixel_aspect(dataset, spacing),
        patient_orientation=tuple(v.upper() for v in elements.texts(dataset, "PatientOrientation")),
        rotation_degrees=(elements.number(dataset, "FieldOfViewRotation") or 0.0) % 360.0,
        horizontal_flip=elements.text(dataset, "FieldOfViewHorizontalFlip").upper() == "YES",
        patient_age_years=patient_age_years(dataset),
        patient_sex=patient_sex(dataset),
        manufacturer=elements.text(dataset, "Manufacturer"),
        description=_description(dataset),
        for_processing=is_for_processing(dataset),
        burned_in_annotation=elements.text(dataset, "BurnedInAnnotation").upper() == "YES",
        not_human=_not_human(dataset),
        acquired=_day(dataset, "StudyDate"),
    )


def body_part(dataset: Dataset) -> str:
    """Body part in plain capitals: BodyPartExamined, else the anatomic region (a DX must have it).

    Returns:
        For example ``"CHEST"``; ``""`` when absent, or when the header says that it is not known.
    """
    part = _plain(dataset, "BodyPartExamined")
    if not _says_nothing(part):
        return part
    for item in elements.items(dataset, "AnatomicRegionSequence")[:1]:
        code = elements.text(item, "CodeValue") or elements.text(item, "LongCodeValue")
        if code in _CHEST_CODES:
            return "CHEST"
        meaning = _plain(item, "CodeMeaning")
        return "" if _says_nothing(meaning) else meaning
    return ""


def _says_nothing(part: str) -> bool:
    """Whether every reading of a body part is a placeholder."""
    return all(
        one in _NOT_KNOWN or _NO_WORD.fullmatch(one) for one in map(str.strip, part.split("|"))
    )


def _plain(dataset: Dataset, keyword: str) -> str:
    return elements.without_accents(elements.words_to_match(dataset, keyword)).upper()


def pixel_spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Spacing in the patient where it is known, else at the detector (PS3.3 10.7.1.3).

    PixelSpacing (0028,0030) is corrected for magnification when it differs from
    ImagerPixelSpacing (0018,1164) or its calibration type says so; else ImagerPixelSpacing is
    divided by EstimatedRadiographicMagnificationFactor (0018,1114).

    Returns:
        (between rows, between columns) in mm, or None; and where it comes from.
    """
    patient = _positive_pair(dataset, "PixelSpacing")
    detector = _positive_pair(dataset, "ImagerPixelSpacing")
    if detector is None:
        detector = _positive_pair(dataset, "NominalScannedPixelSpacing")
    calibrated = elements.text(dataset, "PixelSpacingCalibrationType") != ""
    if patient is not None and (calibrated or (detector is not None and patient != detector)):
        return patient, "patient"
    spacing = detector if detector is not None else patient
    if spacing is None:
        return None, ""
    factor = elements.number(dataset, "EstimatedRadiographicMagnificationFactor")
    if factor is not None and 1.0 < factor < 3.0:
        return (spacing[0] / factor, spacing[1] / factor), "magnification"
    return spacing, "detector"


def patient_sex(dataset: Dataset) -> str:
    """PatientSex (0010,0040): ``"M"``, ``"F"``, ``"O"``, or ``""`` for anything else."""
    sex = elements.text(dataset, "PatientSex").upper()[:1]
    return sex if sex in ("M", "F", "O") else ""


def patient_age_years(dataset: Dataset) -> float | None:
    """Age from PatientAge (0010,1010), else from birth and study dates; None when impossible.

    De-identifiers leave placeholders, which say nothing: no years at all (a newborn's age is in
    days, weeks or months, PS3.5 6.2), a birth on the day of the study, or on the first day of 1900
    or 1901.
    """
    stated = re.fullmatch(r"(\d{1,3})\s*([DWMY]?)", elements.text(dataset, "PatientAge").upper())
    if stated is not None and not (int(stated[1]) == 0 and stated[2] in ("", "Y")):
        years = int(stated[1]) / _AGE_UNITS[stated[2] or "Y"]
        return years if years <= _OLDEST_YEARS else None
    birth, study = _date(dataset, "PatientBirthDate"), _date(dataset, "StudyDate")
    if birth is None or study is None:
        return None
    years = study - birth
    is_placeholder = birth in _PLACEHOLDER_BIRTHS or years <= 0.0
    return None if is_placeholder or years > _OLDEST_YEARS else years


def _date(dataset: Dataset, keyword: str) -> float | None:
    day = _day(dataset, keyword)
    year, month, of_month = int(day[:4] or 0), int(day[4:6] or 1), int(day[6:] or 1)
    return year + (month - 1) / 12 + (of_month - 1) / _DAYS_IN_A_YEAR if year >= 1850 else None


def _day(dataset: Dataset, keyword: str) -> str:
    match = re.fullmatch(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", elements.text(dataset, keyword))
    return "".join(match.groups()) if match else ""


def _positive_pair(
    dataset: Dataset, keyword: str, *, largest: float = 100.0
) -> tuple[float, float] | None:
    values = elements.numbers(dataset, keyword)
    if len(values) != 2 or not all(0.0 < v < largest for v in values):
        return None
    return values[0], values[1]


def _pixel_aspect(dataset: Dataset, spacing: tuple[float, float] | None) -> float:
    if spacing is not None:
        return spacing[0] / spacing[1]
    ratio = _positive_pair(dataset, "PixelAspectRatio", largest=65535.0)
    return 1.0 if ratio is None else ratio[0] / ratio[1]


def _frames(dataset: Dataset) -> int:
    frames = elements.integer(dataset, "NumberOfFrames")
    return 1 if frames is None or frames < 1 else frames


def _description(dataset: Dataset) -> str:
    keywords = ("StudyDescription", "SeriesDescription", "ProtocolName")
    found = (_plain(dataset, keyword) for keyword in keywords)
    return " | ".join(found).strip(" |")


def _not_human(dataset: Dataset) -> bool:
    """Patient's species or breed (PS3.3 C.7.1.1): present in animals only."""
    species = elements.text(dataset, "PatientSpeciesDescription").casefold()
    if species and species not in ("homo sapiens", "human"):
        return True
    codes = [
        elements.text(item, "CodeValue")
        for item in elements.items(dataset, "PatientSpeciesCodeSequence")
    ]
    if any(code and code not in _HUMAN_CODES for code in codes):
        return True
    return bool(elements.text(dataset, "PatientBreedDescription"))


def is_for_processing(dataset: Dataset) -> bool:
    """Whether these are raw detector values, not meant to be looked at (PS3.3 C.8.11.3.1.1)."""
    if elements.text(dataset, "SOPClassUID") in FOR_PROCESSING:
        return True
    return elements.text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING"
