"""Codestream: what a compressed image states of itself, read before it is decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

END_OF_IMAGE = b"\xff\xd9"
"""Marker at the end of a JPEG, JPEG-LS or JPEG 2000 codestream."""

_HEAD_BYTES = 2**18
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_HEADERS = frozenset(
    {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
)  # SOF0-15 of ISO 10918-1 without DHT, JPG, DAC; SOF55 of JPEG-LS


JPEG_START, JPEG_2000_START = b"\xff\xd8\xff", b"\xff\x4f\xff\x51"
"""First markers of a codestream: SOI of JPEG and JPEG-LS, SOC and SIZ of JPEG 2000."""

_LOSSLESS, _JPEG_LS = frozenset({0xC3, 0xC7, 0xCB, 0xCF}), 0xF7
_START_OF_SCAN, _START_OF_TILE_PART = 0xDA, b"\xff\x90"
_CAPABILITIES = b"\xff\x50"  # CAP, which HTJ2K has (ISO 15444-15)


class CodestreamSize(NamedTuple):
    """What a codestream states of its picture; ``precision`` is in bits a sample."""

    rows: int
    columns: int
    components: int
    precision: int


def codestream_size(data: bytes | memoryview) -> CodestreamSize | None:
    """Size of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Args:
        data: The compressed frame; a JP2 box file is searched for its codestream.

    Returns:
        Its size, or None when it states none.
    """
    head = bytes(data[:_HEAD_BYTES])
    if head[:2] == b"\xff\xd8":
        at = _frame_header(head)
        if at is None:
            return None
        precision, rows, columns, components = struct.unpack_from(">BHHB", head, at + 4)
        return CodestreamSize(rows, columns, components, precision)
    start = head.find(JPEG_2000_START)
    return _jpeg2000_size(head[start:]) if start >= 0 else None


def is_run_lengths(data: bytes | memoryview) -> bool:
    """Whether a frame begins as one of RLE does (PS3.5 G.5): up to 15 segments, the first at 64."""
    if len(data) < 64:
        return False
    n_segments, *offsets = struct.unpack_from("<16I", data)
    if not 1 <= n_segments <= 15 or offsets[0] != 64 or any(offsets[n_segments:]):
        return False
    used = offsets[:n_segments]
    return used == sorted(set(used)) and used[-1] < len(data)


def syntax_of(data: bytes | memoryview) -> str | None:
    """The transfer syntax that a codestream itself shows.

    Args:
        data: The compressed frame.

    Returns:
        UID of a syntax whose decoders read it; None when it is no codestream that is known.
    """
    head = bytes(data[:_HEAD_BYTES])
    if head.startswith(JPEG_2000_START):
        return str(HTJ2K if _CAPABILITIES in head[:1024] else JPEG2000)
    at = _frame_header(head) if head.startswith(JPEG_START) else None
    if at is None:
        return str(RLELossless) if is_run_lengths(data) else None
    marker, precision = head[at + 1], head[at + 4]
    if marker == _JPEG_LS:
        return str(JPEGLSLossless)
    if marker in _LOSSLESS:
        return str(JPEGLossless)
    return str(JPEGBaseline8Bit if precision == 8 else JPEGExtended12Bit)


def end_of(stream: bytes) -> int | None:
    """Where a codestream ends: behind its end marker, whatever lies after it.

    Headers may hold the bytes of the marker by chance, or a thumbnail with one of its own; the
    data that follow them cannot (ISO 10918-1 B.1.1.5, ISO 14495-1 A.1, ISO 15444-1 A.1.4).

    Args:
        stream: The compressed frame.

    Returns:
        Its length in bytes; None where the end marker is missing.
    """
    jpeg_2000 = stream.find(JPEG_2000_START, 0, _HEAD_BYTES)
    if jpeg_2000 >= 0 and not stream.startswith(JPEG_START):
        return _end_of_tiles(stream, jpeg_2000)
    scan = _marker(stream, lambda marker: marker == _START_OF_SCAN)
    if scan is None:
        return None
    pad = stream[-1:] == b"\0"
    if stream.endswith(END_OF_IMAGE, scan, len(stream) - pad):
        return len(stream) - pad  # without looking through all of it; decoders stop at the first
    found = stream.find(END_OF_IMAGE, scan)
    return None if found < 0 else found + len(END_OF_IMAGE)


def _end_of_tiles(stream: bytes, start: int) -> int | None:
    """Step from tile-part to tile-part by their lengths; Psot 0 runs to the end (A.4.2)."""
    position = stream.find(_START_OF_TILE_PART, start)
    while 0 <= position <= len(stream) - 12:
        if stream[position : position + 2] != _START_OF_TILE_PART:
            break
        (length,) = struct.unpack_from(">I", stream, position + 6)
        if length < 14:
            break
        position += length
    if position < 0 or position >= len(stream):
        return None
    found = stream.find(END_OF_IMAGE, position)
    return None if found < 0 else found + len(END_OF_IMAGE)


def _frame_header(head: bytes) -> int | None:
    """Where the frame header of a JPEG or JPEG-LS picture begins."""
    return _marker(head, lambda marker: marker in _FRAME_HEADERS)


def _marker(head: bytes, is_wanted: Callable[[int], bool]) -> int | None:
    """Position of the first marker segment of a kind, stepping over the others."""
    position = 2
    while position + 10 <= len(head):
        if head[position] != 0xFF:
            position += 1
            continue
        marker = head[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif is_wanted(marker):
            return position
        else:
            (length,) = struct.unpack_from(">H", head, position + 2)
            position += 2 + max(length, 2)
    return None


def _jpeg2000_size(head: bytes) -> CodestreamSize | None:
    """SIZ marker segment of ISO 15444-1 A.5.1."""
    if len(head) < 43:
        return None
    x_size, y_size, x_offset, y_offset = struct.unpack_from(">4I", head, 8)
    (components,) = struct.unpack_from(">H", head, 40)
    precision = (head[42] & 0x7F) + 1
    return CodestreamSize(y_size - y_offset, x_size - x_offset, components, precision)


def decomposition_levels(data: bytes | memoryview) -> int:
    """How often a JPEG 2000 codestream can be halved: its levels of wavelets.

    Args:
        data: The compressed frame.

    Returns:
        What the COD marker segment of its main header says (ISO 15444-1 A.6.1); 0 without one.
    """
    head = bytes(data[:_HEAD_BYTES])
    position = head.find(b"\xff\x4f\xff\x51") + 2
    while 2 <= position <= len(head) - 10 and head[position] == 0xFF:
        marker = head[position + 1]
        if marker == 0x52:
            return min(head[position + 9], 32)
        if marker == 0x90:  # the first tile
            return 0
        (length,) = struct.unpack_from(">H", head, position + 2)
        position += 2 + max(length, 2)
    return 0
