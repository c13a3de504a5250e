"""PNG pixels: the faster decoder for plain files, and a check of what the other one forgives.

A plain PNG has samples of 8 or 16 bits, is not interlaced, and holds no chunk that says how else to
read it: no transparency, EXIF, XMP, animation. kornia-rs decodes it in a third of Pillow's time and
checks each chunk's CRC (not the Adler-32 within). What it refuses, and every other PNG, is
Pillow's. Pillow draws rows that the data lack in black and says nothing: :func:`require_all_rows`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from kornia_rs.io import decode_image_png_u8, decode_image_png_u16
from numpy.typing import NDArray

from monai_cxr.errors import UnreadableImage

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN_CHUNKS = frozenset(b"IHDR IDAT IEND tEXt tIME pHYs sBIT bKGD gAMA cHRM sRGB".split())
_EXIF_IN_TEXT = b"Raw profile type"
_DECODERS = {
    (8, 0): (decode_image_png_u8, "mono"),
    (8, 2): (decode_image_png_u8, "rgb"),
    (8, 6): (decode_image_png_u8, "rgba"),
    (16, 0): (decode_image_png_u16, "mono"),
    (16, 2): (decode_image_png_u16, "rgb"),
    (16, 6): (decode_image_png_u16, "rgba"),
}
_GRAY_AND_ALPHA_16 = bytes((16, 4))
_COLOR_AND_ALPHA_8 = bytes((8, 6))
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel for each colour type (PNG, 11.2.2)."""


def decode_plain_png(data: bytes, max_pixels: int) -> NDArray[np.generic] | None:
    """Decode a plain PNG.

    Args:
        data: A whole file of any kind.
        max_pixels: A larger picture is not decoded.

    Returns:
        uint8 or uint16, shape (rows, columns), or (rows, columns, 3) for colour without its alpha
        channel; None where the file is no PNG, not plain, too large or damaged.
    """
    try:
        is_plain = all(_is_plain(kind, content) for kind, content in _chunks(data))
    except ValueError:
        return None
    is_gray_and_alpha = data[24:26] == _GRAY_AND_ALPHA_16
    if is_gray_and_alpha:
        data = _as_four_bytes(data)
    bits, color, _, _, interlace = data[24:29]
    decoder = _DECODERS.get((bits, color))
    rows, columns = shape = _shape(data)
    if not is_plain or interlace or decoder is None or not 0 < rows * columns <= max_pixels:
        return None
    decode, mode = decoder
    try:
        pixels: NDArray[np.generic] = decode(data, shape, mode)
    except BaseException as error:
        # It raises Exception itself, or a panic, which cannot be imported; Pillow says more.
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        return None
    if is_gray_and_alpha:
        return np.ascontiguousarray(pixels[..., :2]).view(">u2")[..., 0].astype(np.uint16)
    return pixels[..., 0] if mode == "mono" else pixels[..., :3]


def _as_four_bytes(data: bytes) -> bytes:
    """The same pixels of four bytes under another name: gray and alpha of 16 bits as RGBA of 8.

    No decoder here keeps both bytes; filters work on bytes and their distance alone (PNG, 9.2).
    """
    header = data[12:24] + _COLOR_AND_ALPHA_8 + data[26:29]
    return data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:]


def significant_bits(data: bytes) -> int | None:
    """Bits of a sample before it was stored, by a PNG's sBIT chunk (11.3.3.4); None without one."""
    try:
        for kind, content in _chunks(data):
            if kind == b"sBIT" and len(content):
                return int(content[0])
            if kind == b"IDAT":
                break
    except ValueError:
        return None
    return None


def require_all_rows(data: bytes) -> None:
    """Refuse a PNG whose compressed data end before its last row; an interlaced one is not asked.

    Args:
        data: The whole file, which Pillow decoded.

    Raises:
        UnreadableImage: ``"damaged_pixels"``.
    """
    try:
        compressed = b"".join(bytes(part) for kind, part in _chunks(data) if kind == b"IDAT")
    except ValueError:
        return  # cut off behind its pixels
    bits, color, _, _, interlace = data[24:29]
    rows, columns = _shape(data)
    expected = rows * (1 + -(-columns * bits * _SAMPLES.get(color, 1) // 8))
    if interlace or len(zlib.decompressobj().decompress(compressed, expected)) == expected:
        return
    raise UnreadableImage(
        f"The picture is damaged: its data end before the last of {rows} rows. Send it again.",
        reason="damaged_pixels",
    )


def _is_plain(kind: bytes, content: memoryview) -> bool:
    return kind in _PLAIN_CHUNKS and not (kind == b"tEXt" and _EXIF_IN_TEXT in bytes(content))


def _shape(data: bytes) -> tuple[int, int]:
    """(rows, columns) of the header."""
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each chunk up to the end (PNG, 5.3).

    Raises:
        ValueError: If the file does not begin with its header, or has no end.
    """
    if data[:8] != _SIGNATURE or data[12:16] != b"IHDR":
        raise ValueError("no header")
    view, position = memoryview(data), 8
    while position + 12 <= len(data):
        length = int.from_bytes(view[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        yield kind, view[position + 8 : position + 8 + length]
        if kind == b"IEND":
            return
        position += 12 + length
    raise ValueError("no end")
