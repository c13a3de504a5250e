"""Reader differences: what other readers make of synthetic films whose right pixels are known.

Usage: python benchmarks/reader_differences.py

Every film is 60 x 40, so that a transposed result shows. A reader is right when its pixels, scaled
to [0, 1] by its own range, differ from the standard's by less than 0.02; else the correlation with
the right film tells how wrong it is (-1 is a negative).
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from monai_cxr.phantom.synthetic import lut_item, sequence, synthetic_dicom
from monai_cxr.reading.files import read_radiograph

ROWS, COLUMNS = 60, 40
Film = tuple[bytes, np.ndarray]


def ramp() -> np.ndarray:
    return np.linspace(0, 4095, ROWS * COLUMNS).round().reshape(ROWS, COLUMNS).astype(np.uint16)


def films() -> dict[str, Film]:
    """Name -> file and the pixels that PS3.3 asks for."""
    stored = ramp()
    gray = stored / 4095.0
    depth = {"BitsStored": 12, "HighBit": 11}
    window = {"WindowCenter": 1500, "WindowWidth": 2001}
    shown = np.clip((stored - 1499.5) / 2000 + 0.5, 0, 1)
    bent = np.sqrt(np.arange(4096) / 4095.0)
    curve = (bent * 4095).round().astype(np.uint16)
    deep = (bent * 65535).round().astype(np.uint16)
    padded = stored.copy()
    padded[:10] = 4095
    signed = (stored.astype(np.int32) - 2048).astype(np.int16)
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    wide = {"WindowCenter": 3000, "WindowWidth": 5001}
    by_rescale = np.clip((stored * 2.0 - 1000 - 2999.5) / 5000 + 0.5, 0, 1)
    full = {"WindowCenter": 2048, "WindowWidth": 4096}

    def film(pixels: np.ndarray, **attributes: object) -> bytes:
        return synthetic_dicom(pixels, **{**depth, **attributes})

    eight = (stored // 16).astype(np.uint8)
    lut, deep_lut = lut_item(0, curve, 12), lut_item(0, deep, 16)
    return {
        "MONOCHROME2, full window": (film(stored, **full), gray),
        "MONOCHROME1": (film(stored, PhotometricInterpretation="MONOCHROME1", **full), 1 - gray),
        "PresentationLUTShape INVERSE": (
            film(stored, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE",
                 **full),
            1 - gray,
        ),
        "window": (film(stored, **window), shown),
        "window with rescale": (film(stored, **wide, **rescaled), by_rescale),
        "VOI LUT, 12 bit": (film(stored, VOILUTSequence=sequence(lut)), curve[stored] / 4095.0),
        "VOI LUT, 16 bit": (film(stored, VOILUTSequence=sequence(deep_lut)), deep[stored] / 65535),
        "Modality LUT": (
            film(stored, ModalityLUTSequence=sequence(lut), **full), curve[stored] / 4095.0
        ),
        "signed pixels": (film(signed, WindowCenter=0, WindowWidth=4096), gray),
        "padding": (
            film(padded, PixelPaddingValue=4095, **full),
            np.where(padded == 4095, 0, padded / 4095.0),
        ),
        "gray stored as RGB": (synthetic_dicom(np.stack([eight] * 3, axis=2)), eight / 255.0),
    }  # fmt: skip


def by_monai(name: str, path: Path) -> np.ndarray:
    from monai.transforms import LoadImage

    return np.squeeze(np.asarray(LoadImage(reader=name, image_only=True)(str(path))))


def by_torchxrayvision(path: Path, *, voi: bool) -> np.ndarray:
    import torchxrayvision as xrv

    return (np.squeeze(xrv.utils.read_xray_dcm(str(path), voi_lut=voi)) / 1024 + 1) / 2


def judge(read, path: Path, expected: np.ndarray) -> str:
    try:
        result = np.asarray(read(path), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - a peer may raise anything; that is the answer
        return type(error).__name__
    notes = []
    if result.shape == expected.T.shape:
        result = result.T
        notes.append("transposed")
    if result.shape != expected.shape:
        return f"shape {result.shape}"
    low, high = result.min(), result.max()
    scaled = (result - low) / (high - low) if high > 1.001 or low < -0.001 else result
    error = float(np.abs(scaled - expected).max())
    correlation = float(np.corrcoef(scaled.ravel(), expected.ravel())[0, 1])
    right = "right" if error < 0.02 else f"off by {error:.2f}, r = {correlation:.2f}"
    return ", ".join([right, *notes])


def main() -> None:
    warnings.simplefilter("ignore")
    readers = {
        "monai_cxr": lambda path: read_radiograph(path).pixels,
        "MONAI PydicomReader": lambda path: by_monai("PydicomReader", path),
        "torchxrayvision": lambda path: by_torchxrayvision(path, voi=False),
        "torchxrayvision, voi_lut=True": lambda path: by_torchxrayvision(path, voi=True),
    }
    print("| film | " + " | ".join(readers) + " |")
    print("|---|" + "---|" * len(readers))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.dcm"
        for name, (data, expected) in films().items():
            path.write_bytes(data)
            cells = [judge(read, path, expected) for read in readers.values()]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
