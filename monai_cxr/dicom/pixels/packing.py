"""Packing: the bytes of one frame as they lie in the file, and what they are."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.parsing import ParsedFile
from monai_cxr.dicom.pixels.codestream import codestream_size, end_of, syntax_of
from monai_cxr.dicom.pixels.fragments import ITEM, damaged, frame_of
from monai_cxr.errors import UnreadableImage
from monai_cxr.picture.inflation import inflate

NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})


ENCAPSULATED_UNCOMPRESSED, DEFLATED_FRAME = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"


_KINDS = {
    **dict.fromkeys(("50", "51", "57", "70"), "JPEG"),
    **dict.fromkeys(("80", "81"), "JPEG-LS"),
    **dict.fromkeys(("90", "91", "201", "202", "203"), "JPEG 2000"),
}
"""Family of codestreams by the end of a syntax's UID 1.2.840.10008.1.2.4."""


REPAIRED, DISAGREES = "encapsulation_repaired", "transfer_syntax_disagrees"
"""Flags: framing that was read although it is not as PS3.5 A.4 has it; pixels that lie in another
form than the transfer syntax says."""


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
    if parsed.is_encapsulated and not has_items and declared in NATIVE:
        if len(pixels) < facts.n_frames * n_bytes:
            raise damaged(f"{n_bytes} bytes of pixels are needed, {len(pixels)} are there")
        cells = pixels[frame * n_bytes : (frame + 1) * n_bytes]
        return Packed(declared, cells, flags=(REPAIRED,))
    if not parsed.is_encapsulated and (is_native_length or not has_items):
        if declared in NATIVE:
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
    if declared == DEFLATED_FRAME:
        return Packed(ExplicitVRLittleEndian, _inflated(stream, n_bytes), flags=flags)
    found = syntax_of(stream)
    if found is None and (declared in NATIVE or declared == ENCAPSULATED_UNCOMPRESSED):
        if len(stream) not in (n_bytes, n_bytes + 1):
            raise _wrong_length(n_bytes, len(stream))
        odd = (DISAGREES,) if declared in NATIVE else ()
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
            f"The transfer syntax {DEFLATED_FRAME} (Deflated Image Frame Compression) is not what "
            "the pixels are in. Export the image again in Explicit VR Little Endian.",
            reason="unknown_transfer_syntax",
        )
    return cells[:n_bytes]
