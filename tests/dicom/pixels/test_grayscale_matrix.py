"""Matrix: the grayscale chain against an expectation written value by value from PS3.3."""

import itertools
import math

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from monai_cxr.dicom.pixels.grayscale import POLICIES
from monai_cxr.dicom.reader import read_dicom
from monai_cxr.phantom.synthetic import lut_item, sequence, synthetic_dicom
from monai_cxr.picture.quiet import quiet

PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2")
DEPTHS = ((8, False), (10, False), (12, False), (12, True), (16, False), (16, True))
MODALITY = ("none", "rescale", "negative_slope", "lut")
VOI = ("none", "linear", "linear_exact", "sigmoid", "lut")
PADDING = ("none", "range")
SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "big_endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg_ls": "1.2.840.10008.1.2.4.80",
}


def with_syntax(number, case):
    """Each case in one syntax, in turn, so that every value of every axis meets every syntax."""
    _, (_, signed), modality, voi, _ = case
    name = list(SYNTAXES)[number % len(SYNTAXES)]
    if name == "big_endian" and "lut" in (modality, voi):
        name = "explicit"  # tables of the synthetic files are little endian
    if name == "jpeg_ls" and signed:
        name = "rle"  # pydicom cannot encode these
    return (*case, name)


CASES = [
    with_syntax(*numbered)
    for numbered in enumerate(itertools.product(PHOTOMETRIC, DEPTHS, MODALITY, VOI, PADDING))
]


def stored_of(bits, signed):
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.linspace(low, low + 2**bits - 1, 30 * 20).round()
    cell = np.dtype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    return values.reshape(30, 20).astype(cell)


def modality_table(bits):
    return np.array([(k * k) % 3001 for k in range(2**bits)], dtype=np.uint16)


def voi_table():
    return np.array([round(4095 * math.sqrt(k / 2999)) for k in range(3000)], dtype=np.uint16)


def expected_modality(value, bits, signed, kind):
    """PS3.3 C.11.1: one stored value."""
    if kind == "rescale":
        return value * 0.5 - 100.0
    if kind == "negative_slope":
        return value * -2.0 + 50.0
    if kind == "lut":
        first = -(2 ** (bits - 1)) if signed else 0
        index = min(max(value - first, 0), 2**bits - 1)
        return float((index * index) % 3001)
    return float(value)


def expected_voi(x, kind):
    """PS3.3 C.11.2: one modality value, output in [0, 1]; the pseudo-code of the standard."""
    center, width = 900.0, 1400.0
    if kind == "linear":
        if x <= center - 0.5 - (width - 1) / 2:
            return 0.0
        if x > center - 0.5 + (width - 1) / 2:
            return 1.0
        return (x - (center - 0.5)) / (width - 1) + 0.5
    if kind == "linear_exact":
        if x <= center - width / 2:
            return 0.0
        return 1.0 if x > center + width / 2 else (x - center) / width + 0.5
    if kind == "sigmoid":
        return 1.0 / (1.0 + math.exp(-4.0 * (x - center) / width))
    index = min(max(round(x) - 100, 0), 2999)
    return round(4095 * math.sqrt(index / 2999)) / 4095.0


def expected_nominal(x, bits, signed, kind):
    if kind == "lut":
        return x / 4095.0
    low = -(2 ** (bits - 1)) if signed else 0
    ends = [expected_modality(v, bits, signed, kind) for v in (low, low + 2**bits - 1)]
    return (x - min(ends)) / (max(ends) - min(ends))


def is_padding(value, bits, signed):
    low = -(2 ** (bits - 1)) if signed else 0
    return low <= value <= low + 2 ** (bits - 3)


def build(case):
    photometric, (bits, signed), modality, voi, padding, syntax = case
    stored = stored_of(bits, signed)
    low = int(stored.min())
    attributes = {"PhotometricInterpretation": photometric, "BitsStored": bits, "HighBit": bits - 1}
    if modality in ("rescale", "negative_slope"):
        slope, intercept = ("0.5", "-100") if modality == "rescale" else ("-2", "50")
        attributes |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
    if modality == "lut":
        item = lut_item(low, modality_table(bits), 12, signed=signed)
        attributes["ModalityLUTSequence"] = sequence(item)
    if voi == "lut":
        attributes["VOILUTSequence"] = sequence(lut_item(100, voi_table(), 12))
    elif voi != "none":
        attributes |= {"WindowCenter": "900", "WindowWidth": "1400"}
        attributes["VOILUTFunction"] = voi.upper()
    if padding == "range":
        attributes |= {"PixelPaddingValue": low + 2 ** (bits - 3), "PixelPaddingRangeLimit": low}
    return stored, synthetic_dicom(stored, transfer_syntax=SYNTAXES[syntax], **attributes)


def expected_pixels(case, stored):
    photometric, (bits, signed), modality, voi, padding, _ = case
    result = np.empty(stored.shape)
    for place, cell in np.ndenumerate(stored):
        value = int(cell)
        if padding == "range" and is_padding(value, bits, signed):
            result[place] = 0.0
            continue
        x = expected_modality(value, bits, signed, modality)
        nominal = voi == "none"
        y = expected_nominal(x, bits, signed, modality) if nominal else expected_voi(x, voi)
        result[place] = 1.0 - y if photometric == "MONOCHROME1" else y
    return result


@pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c[0][-1]}-{c[1][0]}{'s' if c[1][1] else 'u'}-" + "-".join(c[2:])
)
def test_golden(case):
    stored, file = build(case)
    film = read_dicom(file, POLICIES["header"])
    np.testing.assert_allclose(film.pixels, expected_pixels(case, stored), rtol=0, atol=1e-6)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("modality", ["none", "rescale"])
@pytest.mark.parametrize("voi", ["linear", "linear_exact", "sigmoid", "lut"])
def test_pydicom_is_a_witness(depth, modality, voi):
    """Same curve as pydicom's, whose output range depends on the header.

    With a VOI LUT it cuts the fraction of an input value off, where we round to the nearest entry.
    It is no witness for modality LUTs of 12 bits (TypeError) and for negative slopes (it swaps the
    ends of its output range).
    """
    case = ("MONOCHROME2", depth, "none" if voi == "lut" else modality, voi, "none", "explicit")
    _, file = build(case)
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(file))
    with quiet():
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    low, high = output_range(dataset, voi)
    film = read_dicom(file, POLICIES["header"])
    np.testing.assert_allclose(film.pixels, (values - low) / (high - low), rtol=0, atol=1e-5)


def output_range(dataset, voi):
    if voi == "lut":
        return 0.0, 4095.0
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope = float(dataset.get("RescaleSlope", 1))
    intercept = float(dataset.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept


def test_matrix_is_large_enough():
    assert len(set(CASES)) >= 120
    for axis in (PHOTOMETRIC, DEPTHS, MODALITY, VOI, PADDING):
        pairs = {(value, case[-1]) for case in CASES for value in case if value in axis}
        expected = len(axis) * len(SYNTAXES)
        assert len(pairs) >= expected - 2 * len(SYNTAXES), axis
