"""Bench films: one film of each kind of file, drawn for measuring how fast they are read."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr.phantom import PhantomSettings, render_film
from monai_cxr.phantom.synthetic import synthetic_dicom

SYNTAXES: Mapping[str, str] = {
    "DICOM uncompressed": "1.2.840.10008.1.2.1",
    "DICOM RLE": "1.2.840.10008.1.2.5",
    "DICOM JPEG lossless": "1.2.840.10008.1.2.4.70",
    "DICOM JPEG-LS": "1.2.840.10008.1.2.4.80",
    "DICOM JPEG 2000": "1.2.840.10008.1.2.4.90",
}
"""Transfer syntaxes by name."""

_ROWS, _COLUMNS = 2500, 2000


def write_bench_films(folder: Path) -> dict[str, Path]:
    """Write a 1,024-px PNG and 2,500 x 2,000 DICOM of 12 bits, one a transfer syntax.

    Args:
        folder: Where.

    Returns:
        Path by kind of file. JPEG lossless is left out where no encoder for it is installed.
    """
    film = Image.fromarray(render_film(PhantomSettings(n_patients=1, size=512), patient=0).pixels)
    rng = np.random.default_rng(0)
    png = np.asarray(film.resize((1024, 1024))) * 250 + rng.normal(0, 1.5, (1024, 1024))
    paths = {"PNG 1024": folder / "film.png"}
    Image.fromarray(np.clip(png, 0, 255).astype(np.uint8)).save(paths["PNG 1024"])
    large = np.asarray(film.resize((_COLUMNS, _ROWS))) * 3500 + rng.normal(0, 6, (_ROWS, _COLUMNS))
    stored = np.clip(large, 0, 4095).astype(np.uint16)
    for kind, syntax in SYNTAXES.items():
        if kind == "DICOM JPEG lossless" and importlib.util.find_spec("imagecodecs") is None:
            continue
        paths[kind] = folder / f"{kind.replace(' ', '_')}.dcm"
        paths[kind].write_bytes(encode(stored, syntax))
    return paths


def encode(stored: NDArray[np.uint16], syntax: str) -> bytes:
    """A DICOM chest film of 12-bit stored values in a transfer syntax."""
    attributes = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 1800, "WindowWidth": 3400}
    codestream = None
    if syntax == SYNTAXES["DICOM JPEG lossless"]:
        import imagecodecs

        codestream = bytes(imagecodecs.jpeg8_encode(stored, lossless=True, bitspersample=12))
    return synthetic_dicom(stored, transfer_syntax=syntax, codestream=codestream, **attributes)
