"""Decoding: the pixel cells of one frame, from any transfer syntax, within bounds.

What the file says of how its pixels are packed is believed where the pixels bear it out. Where they
do not (fragments under a native syntax, plain cells under a compressed one, a codestream of another
kind), what lies there decides, and a flag says so.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.config import IGNORE
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
    RLELossless,
)

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.elements import MALFORMED
from monai_cxr.dicom.header.parsing import ParsedFile
from monai_cxr.dicom.pixels import fast_codecs
from monai_cxr.dicom.pixels.codestream import codestream_size, end_of, syntax_of
from monai_cxr.dicom.pixels.fragments import ITEM, as_fragment, damaged, frame_of
from monai_cxr.errors import UnreadableImage, UnsupportedImage
from monai_cxr.picture.bounds import MAX_PIXELS
from monai_cxr.picture.inflation import inflate
from monai_cxr.picture.quiet import quiet

_NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
_ENCAPSULATED_UNCOMPRESSED, _DEFLATED_FRAME = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"
_JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1})
_KINDS = {
    **dict.fromkeys(("50", "51", "57", "70"), "JPEG"),
    **dict.fromkeys(("80", "81"), "JPEG-LS"),
    **dict.fromkeys(("90", "91", "201", "202", "203"), "JPEG 2000"),
}
"""Family of codestreams by the end of a syntax's UID 1.2.840.10008.1.2.4."""

_GRAY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOR = frozenset(
    {"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"}
)
REPAIRED, DISAGREES = "encapsulation_repaired", "transfer_syntax_disagrees"
"""Flags: framing that was read although it is not as PS3.5 A.4 has it; pixels that lie in another
form than the transfer syntax says."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        cells: uint8 or uint16, shape (rows, columns), or (rows, columns, 3) for colour.
        precision: Bits of a sample as the codestream states them; None for cells without one.
        flags: What was forgiven on the way, as stable codes.
    """

    cells: NDArray[np.generic]
    precision: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """One frame as it lies in the file.

    Attributes:
        syntax: The transfer syntax that it is in, whatever the header says.
        data: Its bytes: cells, or a codestream up to its end marker.
        precision: As in :class:`Frame`.
        flags: As in :class:`Frame`.
    """

    syntax: str
    data: bytes | memoryview
    precision: int | None = None
    flags: tuple[str, ...] = ()


def decode(parsed: ParsedFile, facts: HeaderFacts, *, frame: int = 0) -> Frame:
    """Decode one frame to its pixel cells.

    Args:
        parsed: Header and place of the pixels.
        facts: Facts of the same header.
        frame: Which frame, counted from 0.

    Returns:
        The cells, and what was noticed.

    Raises:
        UnreadableImage: ``"no_pixels"``, ``"damaged_pixels"``, ``"damaged_header"``,
            ``"too_large"``, ``"unknown_transfer_syntax"`` or ``"codec_missing"``.
        UnsupportedImage: ``"bit_depth"`` or ``"photometric"``.
    """
    check_layout(parsed, facts)
    packed = packed_frame(parsed, facts, frame)
    if packed.syntax in _NATIVE:
        if facts.samples_per_pixel == 1:
            cells = _native(packed.data, facts, parsed)
        else:
            native = UID(packed.syntax, IGNORE)
            cells = _by_pydicom(native, bytes(packed.data), facts, parsed.dataset)[0]
        return Frame(cells, flags=packed.flags)
    precision = packed.precision
    if precision is not None and precision <= 8 < facts.bits_allocated and packed.syntax in _JPEG:
        facts = replace(facts, bits_allocated=8, bits_stored=min(facts.bits_stored, 8))
    data = as_fragment(bytes(packed.data))
    cells, flags = _by_pydicom(UID(packed.syntax, IGNORE), data, facts, parsed.dataset)
    if precision is not None:
        cells = at_high_bit(cells, precision, facts, parsed.dataset)
    return Frame(cells, precision, (*packed.flags, *flags))


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
    _check_syntax(UID(parsed.transfer_syntax, IGNORE))
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


def _check_syntax(syntax: UID) -> None:
    """Tell a transfer syntax that is not decoded from pixels that are damaged."""
    if syntax in _NATIVE or syntax in (_ENCAPSULATED_UNCOMPRESSED, _DEFLATED_FRAME):
        return
    try:
        get_decoder(syntax)
    except NotImplementedError:
        name = "" if syntax.name == str(syntax) else f" ({syntax.name})"
        raise UnreadableImage(
            f"The transfer syntax {str(syntax)[:64]}{name} is not read. Export the image again in "
            "Explicit VR Little Endian or a JPEG, JPEG-LS, JPEG 2000 or RLE syntax.",
            reason="unknown_transfer_syntax",
        ) from None


def packed_frame(parsed: ParsedFile, facts: HeaderFacts, frame: int) -> Packed:
    """Find the bytes of one frame, and what they are.

    Args:
        parsed: A file that passed :func:`check_layout`.
        facts: Facts of the same header.
        frame: Which frame, counted from 0.

    Returns:
        The bytes; a codestream has the size that the header says.

    Raises:
        UnreadableImage: ``"damaged_pixels"`` or ``"damaged_header"``.
    """
    pixels = parsed.pixels
    assert pixels is not None  # check_layout refuses a file without pixels
    declared = parsed.transfer_syntax
    n_bytes = facts.rows * facts.columns * facts.samples_per_pixel * facts.bits_allocated // 8
    is_native_length = len(pixels) - facts.n_frames * n_bytes in (0, 1)
    has_items = bytes(pixels[:4]) == ITEM
    if parsed.is_encapsulated and not has_items and declared in _NATIVE:
        if len(pixels) < facts.n_frames * n_bytes:
            raise damaged(f"{n_bytes} bytes of pixels are needed, {len(pixels)} are there")
        cells = pixels[frame * n_bytes : (frame + 1) * n_bytes]
        return Packed(declared, cells, flags=(REPAIRED,))
    if not parsed.is_encapsulated and (is_native_length or not has_items):
        if declared in _NATIVE:
            cells, flags = _cells_of_frame(pixels, n_bytes, facts, frame)
            return Packed(declared, cells, flags=flags)
        if is_native_length:
            cells = pixels[frame * n_bytes : (frame + 1) * n_bytes]
            return Packed(ExplicitVRLittleEndian, cells, flags=(DISAGREES,))
        if syntax_of(pixels) is None or facts.n_frames > 1:
            raise damaged("the transfer syntax is compressed, the pixels are not in fragments")
        stream, is_regular = bytes(pixels), False
    else:
        stream, is_regular = frame_of(pixels, frame, facts.n_frames)
    flags = () if is_regular else (REPAIRED,)
    if declared == _DEFLATED_FRAME:
        return Packed(ExplicitVRLittleEndian, _inflated(stream, n_bytes), flags=flags)
    found = syntax_of(stream)
    if found is None and (declared in _NATIVE or declared == _ENCAPSULATED_UNCOMPRESSED):
        if len(stream) not in (n_bytes, n_bytes + 1):
            raise _wrong_length(n_bytes, len(stream))
        odd = (DISAGREES,) if declared in _NATIVE else ()
        return Packed(ExplicitVRLittleEndian, stream[:n_bytes], flags=(*flags, *odd))
    if RLELossless in (found, declared if found is None else ""):
        odd = () if declared == RLELossless else (DISAGREES,)
        return Packed(RLELossless, stream, flags=(*flags, *odd))  # no size; its output is bounded
    if found is not None and _kind(found) != _kind(declared):
        declared, flags = found, (*flags, DISAGREES)
    return _codestream(declared, stream, facts, flags)


def _kind(syntax: str) -> str:
    return _KINDS.get(syntax.removeprefix("1.2.840.10008.1.2.4."), syntax)


def _codestream(syntax: str, stream: bytes, facts: HeaderFacts, flags: tuple[str, ...]) -> Packed:
    """Compare the size that the codestream states with the header: it is what gets allocated."""
    size = codestream_size(stream)
    if size is None or size[:2] != (facts.rows, facts.columns):
        stated = "no size" if size is None else f"{size[0]} x {size[1]}"
        raise damaged(
            f"the header says {facts.rows} x {facts.columns}, the compressed data say {stated}"
        )
    end = end_of(stream)
    if end is None:
        # Most decoders fill up what is missing with gray, and say nothing.
        raise damaged("the compressed data end early")
    if any(stream[end:]) and REPAIRED not in flags:
        flags = (*flags, REPAIRED)
    return Packed(syntax, stream[:end], size.precision, flags)


def _cells_of_frame(
    pixels: memoryview, n_bytes: int, facts: HeaderFacts, frame: int
) -> tuple[memoryview, tuple[str, ...]]:
    """The cells of one frame of native pixels, whose length must be the frames' and a pad byte."""
    n_needed = n_bytes * facts.n_frames
    if len(pixels) < n_needed and len(pixels) < (frame + 1) * n_bytes:
        raise damaged(f"{n_bytes} bytes of pixels are needed, {len(pixels)} are there")
    n_more = len(pixels) - n_needed
    if n_more >= max(n_bytes, 2):
        raise _wrong_length(n_needed, len(pixels))
    cells = pixels[frame * n_bytes : (frame + 1) * n_bytes]
    return cells, ("pixel_length_disagrees",) if n_more > 1 else ()


def _wrong_length(n_needed: int, n_there: int) -> UnreadableImage:
    return UnreadableImage(
        f"Rows, Columns and BitsAllocated ask for {n_needed} bytes of pixels, but {n_there} are "
        "there: the header is wrong. Export the image again.",
        reason="damaged_header",
    )


def _inflated(stream: bytes, n_bytes: int) -> bytes:
    """A frame of Deflated Image Frame Compression (PS3.5 A.4.13)."""
    try:
        cells = inflate(stream, wbits=-zlib.MAX_WBITS, limit=n_bytes + 1)
    except UnreadableImage:
        cells = b""
    if len(cells) not in (n_bytes, n_bytes + 1):
        raise UnreadableImage(
            f"The transfer syntax {_DEFLATED_FRAME} (Deflated Image Frame Compression) is not what "
            "the pixels are in. Export the image again in Explicit VR Little Endian.",
            reason="unknown_transfer_syntax",
        )
    return cells[:n_bytes]


def _native(
    cells: bytes | memoryview, facts: HeaderFacts, parsed: ParsedFile
) -> NDArray[np.generic]:
    if facts.bits_allocated == 16:
        array = np.frombuffer(cells, dtype="<u2" if parsed.little_endian else ">u2")
        array = array if parsed.little_endian else array.astype("<u2")
    else:
        array = np.frombuffer(cells, dtype=np.uint8)
        is_swapped = not parsed.little_endian and parsed.value_representation == "OW"
        if is_swapped and array.size % 2 == 0:
            array = array.reshape(-1, 2)[:, ::-1].reshape(-1)  # 8-bit cells in swapped OW words
    return array.reshape(facts.rows, facts.columns)


def at_high_bit(
    array: NDArray[np.generic], precision: int, facts: HeaderFacts, dataset: Dataset
) -> NDArray[np.generic]:
    """Put decoded values where High Bit says: a codec gives them back at the bottom of the cell."""
    high_bit = elements.integer(dataset, "HighBit")
    shift = 0 if high_bit is None else high_bit + 1 - facts.bits_stored
    if array.dtype != np.uint16 or not 0 < shift < 16 or precision > facts.bits_stored:
        return array
    return np.left_shift(array, shift)  # type: ignore[no-any-return]


def _by_pydicom(
    syntax: UID, data: bytes, facts: HeaderFacts, dataset: Dataset
) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Decode a single frame; where a decoder refuses it, the next one is asked."""
    decoder = get_decoder(syntax)
    names = fast_codecs.choose(syntax) if syntax.is_encapsulated else ("",)
    needs_12_bits = syntax == JPEGExtended12Bit and facts.bits_stored > 8
    if not decoder.is_available or (needs_12_bits and names == ("",)):
        raise UnreadableImage(
            f"No decoder for {syntax.name} is installed. Install one with: "
            "pip install 'monai-cxr[fast-codecs]'",
            reason="codec_missing",
        )
    options = _options(facts, dataset)
    raw = facts.samples_per_pixel == 1
    for name in names:
        with quiet():
            try:
                array, _ = decoder.as_array(data, index=0, raw=raw, decoding_plugin=name, **options)
                flags = () if name == names[0] else ("second_decoder",)
                return _as_cells(array, facts), flags
            except UnreadableImage:
                continue
            except MALFORMED:
                continue
            except BaseException as error:
                # A panic of a decoder written in Rust is no Exception, and cannot be imported.
                if type(error).__name__ != "PanicException":
                    raise
    raise damaged(f"no decoder can follow their {syntax.name} codestream")


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
        "number_of_frames": 1,
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
        raise damaged(f"decoded to {array.dtype} of shape {array.shape}, expected {shape}")
    return array.view(np.uint8 if array.dtype.itemsize == 1 else np.uint16)
