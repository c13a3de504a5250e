"""Codestream: what a compressed image states of itself, read before it is decoded."""

from __future__ import annotations

import struct
from typing import NamedTuple

END_OF_IMAGE = b"\xff\xd9"
"""Marker at the end of a JPEG, JPEG-LS or JPEG 2000 codestream."""

_HEAD_BYTES = 2**18
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_HEADERS = frozenset(
    {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
)  # SOF0-15 of ISO 10918-1 without DHT, JPG, DAC; SOF55 of JPEG-LS


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
        return _jpeg_size(head)
    start = head.find(b"\xff\x4f\xff\x51")
    return _jpeg2000_size(head[start:]) if start >= 0 else None


def _jpeg_size(head: bytes) -> CodestreamSize | None:
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
        elif marker in _FRAME_HEADERS:
            precision, rows, columns, components = struct.unpack_from(">BHHB", head, position + 4)
            return CodestreamSize(rows, columns, components, precision)
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
