"""Presentation: which grayscale chain a header asks for, as plain values."""

from __future__ import annotations

from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.attributes import is_for_processing
from monai_cxr.dicom.pixels.grayscale import Grayscale
from monai_cxr.dicom.pixels.lut import LookupTable, lookup_table
from monai_cxr.dicom.pixels.window import Window

_SMALLEST, _LARGEST = 1e-6, 1e9
"""Bounds of slopes, intercepts and windows that mean something for 16-bit pixels."""


CONFLICT = "polarity_conflict"
"""Flag: PresentationLUTShape and PhotometricInterpretation contradict each other (C.8.11.3)."""


def grayscale(dataset: Dataset, *, little_endian: bool = True) -> Grayscale:
    """Read the grayscale chain from a header.

    Args:
        dataset: A header with valid BitsStored and PixelRepresentation; anything else may be
            malformed and is then left out, with a flag.
        little_endian: Byte order of the file.

    Returns:
        The chain of PS3.3 C.7.6.3, C.8.11.3, C.11.1 and C.11.2.
    """
    bits_stored = elements.integer(dataset, "BitsStored") or 8
    high_bit = elements.integer(dataset, "HighBit")
    signed = elements.integer(dataset, "PixelRepresentation") == 1
    flags: list[str] = []
    modality_lut, slope, intercept = _modality(dataset, signed, little_endian, flags)
    signed_voi = modality_lut is None and (signed or intercept < 0 or slope < 0)
    inverse = _inverse(dataset, flags)
    logarithm = False
    if is_for_processing(dataset):
        flags.append("for_processing")
        inverse, logarithm = _raw_detector(dataset, inverse)
    return Grayscale(
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        signed=signed,
        padding=_padding(dataset, bits_stored, signed, little_endian),
        modality_lut=modality_lut,
        slope=slope,
        intercept=intercept,
        voi_luts=_voi_luts(dataset, signed_voi, little_endian, flags),
        windows=_windows(dataset),
        voi_function=elements.text(dataset, "VOILUTFunction").upper() or "LINEAR",
        inverse=inverse,
        logarithm=logarithm,
        flags=tuple(dict.fromkeys(flags)),
    )


def _modality(
    dataset: Dataset, signed: bool, little_endian: bool, flags: list[str]
) -> tuple[LookupTable | None, float, float]:
    """Modality LUT Sequence before rescale (C.11.1: only one of them may be present)."""
    for item in elements.items(dataset, "ModalityLUTSequence")[:1]:
        table, noticed = lookup_table(item, signed_input=signed, little_endian=little_endian)
        flags.extend(noticed)
        if table is not None:
            return table, 1.0, 0.0
    slopes = elements.decimals(dataset, "RescaleSlope")
    intercepts = elements.decimals(dataset, "RescaleIntercept")
    slope, intercept = (slopes or (1.0,))[0], (intercepts or (0.0,))[0]
    if not (_SMALLEST <= abs(slope) <= _LARGEST and abs(intercept) <= _LARGEST):  # NaN as well
        flags.append("invalid_rescale")
        return None, 1.0, 0.0
    return None, slope, intercept


def _voi_luts(
    dataset: Dataset, signed: bool, little_endian: bool, flags: list[str]
) -> tuple[LookupTable, ...]:
    tables: list[LookupTable] = []
    for item in elements.items(dataset, "VOILUTSequence"):
        table, noticed = lookup_table(item, signed_input=signed, little_endian=little_endian)
        flags.extend(noticed)
        if table is not None:
            tables.append(table)
    return tuple(tables)


def _windows(dataset: Dataset) -> tuple[Window, ...]:
    """Windows in the order of the header; an impossible one keeps its place, with width 0."""
    centers = elements.decimals(dataset, "WindowCenter")
    widths = elements.decimals(dataset, "WindowWidth")
    names = elements.texts(dataset, "WindowCenterWidthExplanation")
    names += ("",) * max(0, len(centers) - len(names))
    return tuple(
        Window(center, width, name)
        if abs(center) <= _LARGEST and _SMALLEST <= width <= _LARGEST
        else Window(0.0, 0.0, name)
        for center, width, name in zip(centers, widths, names, strict=False)
    )


def _padding(
    dataset: Dataset, bits_stored: int, signed: bool, little_endian: bool
) -> tuple[int, int] | None:
    """Pixel Padding Value (0028,0120) and Range Limit (0028,0121), both inclusive, in any order."""
    limits = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        words = elements.words(dataset, keyword, little_endian=little_endian)
        if words is None:
            break
        value = int(words[0])
        limits.append(value - 65536 if signed and value >= 32768 else value)
    if not limits:
        return None
    lowest = -(2 ** (bits_stored - 1)) if signed else 0
    low, high = min(limits), max(limits)
    return (low, high) if high >= lowest else None


def _inverse(dataset: Dataset, flags: list[str]) -> bool:
    """Polarity after VOI: PresentationLUTShape (2050,0020), else the photometric interpretation."""
    minimum_is_white = elements.text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1"
    shape = elements.text(dataset, "PresentationLUTShape").upper()
    if elements.has(dataset, "PresentationLUTSequence"):
        flags.append("presentation_lut_ignored")
    if shape not in ("IDENTITY", "INVERSE"):
        return minimum_is_white
    if (shape == "INVERSE") != minimum_is_white:
        flags.append(CONFLICT)
    return shape == "INVERSE"


def _raw_detector(dataset: Dataset, inverse: bool) -> tuple[bool, bool]:
    """Polarity and scale of raw values: Pixel Intensity Relationship (0028,1040), Sign (0028,1041).

    Sign +1 says that lower values met less X-ray, that is dense tissue is dark: bright = dense
    then asks for inversion, whatever the photometric interpretation says (C.8.11.3.1.2).
    """
    sign = elements.integer(dataset, "PixelIntensityRelationshipSign")
    linear = elements.text(dataset, "PixelIntensityRelationship").upper() == "LIN"
    if sign in (-1, 1):
        inverse = sign == 1
    return inverse, linear and sign == 1
