"""Fast codecs: imagecodecs (BSD-3) as a decoder of pydicom, when it is installed.

It is the only permissively licensed decoder here for JPEG Extended with 12 bits, and the fastest
for lossless JPEG. pydicom asks a plug-in module for these names. Speed is not all: its decoder of
HTJ2K loses its errors, and CharLS (pyjpegls, imagecodecs) takes many seconds on some damaged
JPEG-LS streams, so OpenJPEG and GDCM come first there.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

_NAME = "imagecodecs"
_JPEG = (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)

DECODER_DEPENDENCIES = dict.fromkeys(_JPEG, ("numpy", _NAME))
"""Transfer syntaxes and what each needs (pydicom's plug-in interface)."""

_PREFERRED = {
    uid.JPEGExtended12Bit: (_NAME,),
    uid.JPEGLossless: (_NAME, "gdcm"),
    uid.JPEGLosslessSV1: (_NAME, "gdcm"),
    uid.JPEG2000Lossless: ("pillow", "pylibjpeg", "gdcm"),
    uid.JPEG2000: ("pillow", "pylibjpeg", "gdcm"),
    uid.JPEGLSLossless: ("gdcm", "pyjpegls"),
    uid.JPEGLSNearLossless: ("gdcm", "pyjpegls"),
    uid.RLELossless: ("pylibjpeg", "pydicom"),
    uid.JPEGBaseline8Bit: ("pillow", "gdcm"),
}
_registered: set[str] = set()


def is_available(syntax: str) -> bool:
    """Whether this decoder's package is installed (pydicom's plug-in interface)."""
    return syntax in DECODER_DEPENDENCIES and find_spec(_NAME) is not None


def choose(syntax: UID) -> str:
    """Name of the decoder to use for a transfer syntax.

    Args:
        syntax: An encapsulated transfer syntax.

    Returns:
        The first preferred decoder that is installed, or ``""`` to leave it to pydicom.
    """
    decoder = get_decoder(syntax)
    if syntax in DECODER_DEPENDENCIES and syntax not in _registered:
        _registered.add(syntax)
        if is_available(syntax) and _NAME not in decoder.available_plugins:
            decoder.add_plugin(_NAME, (__name__, "_decode_frame"))
    available = decoder.available_plugins
    return next((name for name in _PREFERRED.get(syntax, ()) if name in available), "")


def _decode_frame(src: bytes, runner: Any) -> memoryview:
    """Decode one frame (pydicom's plug-in interface)."""
    codecs: ModuleType = __import__(_NAME)
    array = codecs.jpeg8_decode(src)
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return np.ascontiguousarray(array).data.cast("B")
