"""Fast codecs: which decoder of pydicom reads a transfer syntax, and three that are added to them.

imagecodecs (BSD-3), when it is installed, is the only permissively licensed decoder here for JPEG
Extended with 12 bits, and the fastest for lossless JPEG and RLE. CharLS is the fastest for JPEG-LS,
in imagecodecs' build in 8 % less time than in pyjpegls'; it is given an end marker after the
stream, see :func:`_decode_jpeg_ls`. Speed is not all: the decoder of HTJ2K in imagecodecs loses its
errors, so OpenJPEG comes first there.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.decoders import pyjpegls, pylibjpeg, rle
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from monai_cxr.dicom.pixels.codestream import END_OF_IMAGE
from monai_cxr.dicom.pixels.run_lengths import decode_gray_rle

_IMAGECODECS, _CHARLS = "imagecodecs", "charls_with_end"
_JPEG = (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)

DECODER_DEPENDENCIES = {
    **dict.fromkeys((*_JPEG, uid.RLELossless), ("numpy", "imagecodecs")),
    **dict.fromkeys(_JPEG_LS, ("numpy", "pyjpegls>=1.2")),
}
"""Transfer syntaxes and what each needs (pydicom's plug-in interface)."""

_ADDED = {
    **dict.fromkeys(_JPEG, (_IMAGECODECS, "_decode_jpeg")),
    **dict.fromkeys(_JPEG_LS, (_CHARLS, "_decode_jpeg_ls")),
    uid.RLELossless: (_IMAGECODECS, "_decode_rle"),
}

_PREFERRED = {
    uid.JPEGExtended12Bit: (_IMAGECODECS,),
    uid.JPEGLossless: (_IMAGECODECS, "gdcm"),
    uid.JPEGLosslessSV1: (_IMAGECODECS, "gdcm"),
    uid.JPEG2000Lossless: ("pillow", "pylibjpeg", "gdcm"),
    uid.JPEG2000: ("pillow", "pylibjpeg", "gdcm"),
    uid.JPEGLSLossless: (_CHARLS, "gdcm"),
    uid.JPEGLSNearLossless: (_CHARLS, "gdcm"),
    uid.RLELossless: (_IMAGECODECS, "pylibjpeg", "pydicom"),
    uid.JPEGBaseline8Bit: ("pillow", "gdcm"),
}
_registered: set[str] = set()


def is_available(syntax: str) -> bool:
    """Whether an added decoder's package is installed (pydicom's plug-in interface)."""
    if syntax in _JPEG_LS:
        return pyjpegls.is_available(syntax)
    return syntax in DECODER_DEPENDENCIES and find_spec(_IMAGECODECS) is not None


def choose(syntax: UID) -> tuple[str, ...]:
    """Names of the decoders to ask for a transfer syntax.

    Args:
        syntax: An encapsulated transfer syntax.

    Returns:
        The preferred decoders that are installed, in the order to ask them; an empty name where
        there is none, which leaves the choice to pydicom.
    """
    decoder = get_decoder(syntax)
    if syntax in _ADDED and syntax not in _registered:
        _registered.add(syntax)
        name, function = _ADDED[syntax]
        if is_available(syntax) and name not in decoder.available_plugins:
            decoder.add_plugin(name, (__name__, function))
    available = decoder.available_plugins
    names = tuple(name for name in _PREFERRED.get(syntax, ()) if name in available)
    # GDCM ends the process on some damaged streams: it is asked where there is no other.
    return tuple(name for name in names if name != "gdcm") or names or ("",)


def _decode_jpeg(src: bytes, runner: Any) -> memoryview:
    """Decode one frame (pydicom's plug-in interface)."""
    codecs: ModuleType = __import__(_IMAGECODECS)
    return _given(codecs.jpeg8_decode(src), runner)


def _given(array: NDArray[np.generic], runner: Any) -> memoryview:
    """Tell pydicom of what kind the samples are; a pixel's lie together."""
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return np.ascontiguousarray(array).data.cast("B")


def _decode_jpeg_ls(src: bytes, runner: Any) -> memoryview | bytearray:
    """Decode one frame (pydicom's plug-in interface), with an end marker after the stream.

    Where bits run out at the end of its input and not at a marker, CharLS 2.4 counts through two
    thousand million zeros before it says that the stream is damaged: 4.5 s whatever the film.
    """
    ended = src + END_OF_IMAGE
    if runner.samples_per_pixel == 1 and find_spec(_IMAGECODECS) is not None:
        codecs: ModuleType = __import__(_IMAGECODECS)
        return _given(codecs.jpegls_decode(ended), runner)
    return pyjpegls._decode_frame(ended, runner)


def _decode_rle(src: bytes, runner: Any) -> Any:
    """Decode one frame (pydicom's plug-in interface); colour and the odd are the next decoder's."""
    if runner.samples_per_pixel == 1:
        cells = decode_gray_rle(src, runner.rows * runner.columns, runner.bits_allocated // 8)
        if cells is not None:
            return cells.data.cast("B")
    next_decoder = pylibjpeg if pylibjpeg.is_available(uid.RLELossless) else rle
    return next_decoder._decode_frame(src, runner)
