"""Decoding: the pixel cells of one frame, from any transfer syntax, within bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.config import IGNORE
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
)

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.elements import MALFORMED
from monai_cxr.dicom.header.parsing import MAX_FRAGMENTS, ParsedFile
from monai_cxr.dicom.pixels import fast_codecs
from monai_cxr.dicom.pixels.codestream import END_OF_IMAGE, codestream_size
from monai_cxr.errors import UnreadableImage, UnsupportedImage
from monai_cxr.picture.bounds import MAX_PIXELS
from monai_cxr.picture.quiet import quiet

_NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
_WITHOUT_SIZE = frozenset({"1.2.840.10008.1.2.5"})  # RLE states no size; its output is bounded
_JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1})
_TRAILING_BYTES = 64
_GRAY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOR = frozenset(
    {"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"}
)


def decode(parsed: ParsedFile, facts: HeaderFacts, *, frame: int = 0) -> NDArray[np.generic]:
    """Decode one frame to its pixel cells.

    Args:
        parsed: Header and place of the pixels.
        facts: Facts of the same header.
        frame: Which frame, counted from 0.

    Returns:
        uint8 or uint16 cells of shape (rows, columns), or (rows, columns, 3) for colour.

    Raises:
        UnreadableImage: ``"no_pixels"``, ``"damaged_pixels"``, ``"too_large"``,
            ``"unknown_transfer_syntax"`` or ``"codec_missing"``.
        UnsupportedImage: ``"bit_depth"`` or ``"photometric"``.
    """
    check_layout(parsed, facts)
    pixels = parsed.pixels
    assert pixels is not None  # check_layout refuses a file without pixels
    if UID(parsed.transfer_syntax, IGNORE) in _NATIVE:
        if facts.samples_per_pixel == 1 and not parsed.is_encapsulated:
            return _native(pixels, facts, frame, parsed=parsed)
        return _by_pydicom(parsed, bytes(pixels), facts, frame)
    return _encapsulated(parsed, pixels, facts, frame)


def check_layout(parsed: ParsedFile, facts: HeaderFacts) -> None:
    """Refuse what cannot be decoded, from the header alone and before memory is taken.

    Raises:
        UnreadableImage: See :func:`decode`.
        UnsupportedImage: See :func:`decode`.
    """
    if parsed.has_float_pixels:
        raise UnsupportedImage(
            "The pixels are floating-point numbers (7FE0,0008); a radiograph has integers.",
            reason="bit_depth",
        )
    if parsed.pixels is None or len(parsed.pixels) == 0:
        raise UnreadableImage(
            "The file holds a header but no Pixel Data (7FE0,0010). Send the image itself.",
            reason="no_pixels",
        )
    if facts.rows < 1 or facts.columns < 1:
        raise UnreadableImage(
            f"Expected Rows and Columns of at least 1, but got {facts.rows} x {facts.columns}.",
            reason="damaged_header",
        )
    n_samples = facts.rows * facts.columns * max(facts.samples_per_pixel, 1)
    if n_samples > MAX_PIXELS:
        raise UnreadableImage(
            f"Expected at most {MAX_PIXELS:,} samples, but the header claims {facts.rows} x "
            f"{facts.columns} pixels of {facts.samples_per_pixel}.",
            reason="too_large",
        )
    _check_cells(facts)


def _check_cells(facts: HeaderFacts) -> None:
    photometric, samples = facts.photometric_interpretation, facts.samples_per_pixel
    expected = 3 if photometric in _COLOR and photometric != "PALETTE COLOR" else 1
    if photometric not in _GRAY | _COLOR or samples != expected:
        raise UnsupportedImage(
            f"PhotometricInterpretation is '{photometric[:16]}' with {samples} sample(s) a pixel; "
            "a chest radiograph has MONOCHROME1 or MONOCHROME2 with one.",
            reason="photometric",
        )
    if facts.bits_allocated not in (8, 16) or not 1 < facts.bits_stored <= facts.bits_allocated:
        raise UnsupportedImage(
            f"Expected 2 to 16 bits in cells of 8 or 16, but got BitsStored {facts.bits_stored} "
            f"in BitsAllocated {facts.bits_allocated}.",
            reason="bit_depth",
        )


def _native(
    pixels: memoryview, facts: HeaderFacts, frame: int, *, parsed: ParsedFile
) -> NDArray[np.generic]:
    little = parsed.little_endian
    is_swapped = not little and parsed.value_representation == "OW"
    n_cells = facts.rows * facts.columns
    n_bytes = n_cells * facts.bits_allocated // 8
    cells = pixels[frame * n_bytes : (frame + 1) * n_bytes]
    if len(cells) < n_bytes:
        raise _damaged(f"{n_bytes} bytes of pixels are needed, {len(cells)} are there")
    if facts.bits_allocated == 16:
        array = np.frombuffer(cells, dtype="<u2" if little else ">u2")
        array = array if little else array.astype("<u2")
    else:
        array = np.frombuffer(cells, dtype=np.uint8)
        if is_swapped and n_cells % 2 == 0:
            array = array.reshape(-1, 2)[:, ::-1].reshape(-1)  # 8-bit cells in swapped OW words
    return array.reshape(facts.rows, facts.columns)


def _encapsulated(
    parsed: ParsedFile, pixels: memoryview, facts: HeaderFacts, frame: int
) -> NDArray[np.generic]:
    if parsed.transfer_syntax in _WITHOUT_SIZE:
        return _by_pydicom(parsed, _fragments(parsed, pixels), facts, frame)
    data = _fragments(parsed, pixels)
    _, precision = _checked_stream(data, facts, frame)
    if precision <= 8 < facts.bits_allocated and parsed.transfer_syntax in _JPEG:
        facts = replace(facts, bits_allocated=8, bits_stored=min(facts.bits_stored, 8))
    array = _by_pydicom(parsed, data, facts, frame)
    return at_high_bit(array, precision, facts, parsed.dataset)


def compressed_frame(parsed: ParsedFile, facts: HeaderFacts, frame: int) -> tuple[bytes, int]:
    """The codestream of one frame, of the size that the header says.

    Args:
        parsed: Of a compressed transfer syntax, after :func:`check_layout`.
        facts: Facts of the same header.
        frame: Which frame, counted from 0.

    Returns:
        The codestream, and the bits of a sample in it.

    Raises:
        UnreadableImage: ``"damaged_pixels"``.
    """
    pixels = parsed.pixels
    assert pixels is not None  # check_layout refuses a file without pixels
    return _checked_stream(_fragments(parsed, pixels), facts, frame)


def at_high_bit(
    array: NDArray[np.generic], precision: int, facts: HeaderFacts, dataset: Dataset
) -> NDArray[np.generic]:
    """Put decoded values where High Bit says: a codec gives them back at the bottom of the cell."""
    high_bit = elements.integer(dataset, "HighBit")
    shift = 0 if high_bit is None else high_bit + 1 - facts.bits_stored
    if array.dtype != np.uint16 or not 0 < shift < 16 or precision > facts.bits_stored:
        return array
    return np.left_shift(array, shift)  # type: ignore[no-any-return]


def _fragments(parsed: ParsedFile, pixels: memoryview) -> bytes:
    """Encapsulated pixels; a swarm of empty fragments (PS3.5 A.4) costs a step each: refused."""
    if not parsed.is_encapsulated:
        raise _damaged("the transfer syntax is compressed, the pixels are not in fragments")
    position, n_fragments = 0, 0
    while position + 8 <= len(pixels):
        position += 8 + int.from_bytes(pixels[position + 4 : position + 8], "little")
        n_fragments += 1
        if n_fragments > MAX_FRAGMENTS:
            raise _damaged(f"they come in more than {MAX_FRAGMENTS:,} fragments")
    return bytes(pixels)


def _checked_stream(data: bytes, facts: HeaderFacts, frame: int) -> tuple[bytes, int]:
    """Compare the size that the codestream states with the header: it is what gets allocated."""
    try:
        with quiet():
            stream = get_frame(data, frame, number_of_frames=facts.n_frames)
    except MALFORMED as error:
        raise _damaged(f"the fragments cannot be followed: {type(error).__name__}") from None
    size = codestream_size(stream)
    if size is None or size[:2] != (facts.rows, facts.columns):
        stated = "no size" if size is None else f"{size[0]} x {size[1]}"
        raise _damaged(
            f"the header says {facts.rows} x {facts.columns}, the compressed data say {stated}"
        )
    if not _ends(stream) and not _ends(stream.rstrip(b"\0")):
        # Most decoders fill up what is missing with gray, and say nothing.
        raise _damaged("the compressed data end early")
    return stream, size.precision


def _ends(stream: bytes) -> bool:
    return END_OF_IMAGE in stream[-_TRAILING_BYTES:]


def _by_pydicom(
    parsed: ParsedFile, data: bytes, facts: HeaderFacts, frame: int
) -> NDArray[np.generic]:
    syntax = UID(parsed.transfer_syntax, IGNORE)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnreadableImage(
            f"The transfer syntax {str(syntax)[:64]} is not one of an image. Send the image in "
            "Explicit VR Little Endian.",
            reason="unknown_transfer_syntax",
        ) from None
    plugin = fast_codecs.choose(syntax) if syntax.is_encapsulated else ""
    needs_12_bits = syntax == JPEGExtended12Bit and facts.bits_stored > 8
    if not decoder.is_available or (needs_12_bits and plugin == ""):
        raise UnreadableImage(
            f"No decoder for {syntax.name} is installed. Install one with: "
            "pip install 'monai-cxr[fast-codecs]'",
            reason="codec_missing",
        )
    dataset = parsed.dataset
    options = _options(facts, dataset)
    raw = facts.samples_per_pixel == 1
    with quiet():
        try:
            array, _ = decoder.as_array(
                data, index=frame, raw=raw, decoding_plugin=plugin, **options
            )
        except MALFORMED as error:
            raise _damaged(f"{syntax.name} could not be decoded: {type(error).__name__}") from None
        except BaseException as error:
            # A panic of a decoder written in Rust is no Exception, and cannot be imported.
            if type(error).__name__ != "PanicException":
                raise
            raise _damaged(f"{syntax.name} could not be decoded") from None
    return _as_cells(array, facts)


def _options(facts: HeaderFacts, dataset: Dataset) -> dict[str, Any]:
    """What a pydicom decoder needs to know of the header."""
    options: dict[str, Any] = {
        "rows": facts.rows,
        "columns": facts.columns,
        "samples_per_pixel": facts.samples_per_pixel,
        "photometric_interpretation": facts.photometric_interpretation,
        "bits_allocated": facts.bits_allocated,
        "bits_stored": facts.bits_stored,
        "pixel_representation": int(elements.integer(dataset, "PixelRepresentation") == 1),
        "number_of_frames": facts.n_frames,
        "pixel_keyword": "PixelData",
    }
    if facts.samples_per_pixel == 1:
        options["correct_unused_bits"] = False  # the grayscale chain looks at stored bits alone
    if facts.samples_per_pixel > 1:
        planar = elements.integer(dataset, "PlanarConfiguration") == 1
        options["planar_configuration"] = int(planar)
    return options


def _as_cells(array: NDArray[np.generic], facts: HeaderFacts) -> NDArray[np.generic]:
    shape = (facts.rows, facts.columns, 3)[: 2 if facts.samples_per_pixel == 1 else 3]
    if array.shape != shape or array.dtype.kind not in "ui" or array.dtype.itemsize > 2:
        raise _damaged(f"decoded to {array.dtype} of shape {array.shape}, expected {shape}")
    return array.view(np.uint8 if array.dtype.itemsize == 1 else np.uint16)


def _damaged(what: str) -> UnreadableImage:
    return UnreadableImage(
        f"The pixel data are damaged: {what}. Send the image again.", reason="damaged_pixels"
    )
