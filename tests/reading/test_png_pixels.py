"""PNG pixels: the faster decoder gives what Pillow gives, or nothing."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_cxr.errors import UnreadableImage
from monai_cxr.reading.files import read_radiograph
from monai_cxr.reading.png_pixels import decode_plain_png, require_all_rows

ROWS, COLUMNS = 9, 13


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(
    lines: bytes, *, bits: int = 8, color: int = 0, interlace: int = 0, extra: bytes = b""
) -> bytes:
    """A PNG of filtered lines, each led by the number of its filter."""
    header = struct.pack(">IIBBBBB", COLUMNS, ROWS, bits, color, 0, 0, interlace)
    data = zlib.compress(lines)
    parts = (
        chunk(b"IHDR", header),
        extra,
        chunk(b"IDAT", data[:20]),
        chunk(b"IDAT", data[20:]),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB") if image.mode == "RGBA" else image)


LAYOUTS = [(8, 0, 1), (8, 2, 3), (8, 6, 4), (16, 0, 2)]
"""Bits of a sample, colour type, bytes of a pixel."""


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """Every filter over bytes that no encoder would choose."""
    bits, color, width = draw(st.sampled_from(LAYOUTS))
    lines = b""
    for _ in range(ROWS):
        lines += bytes([draw(st.integers(0, 4))])
        lines += draw(st.binary(min_size=width * COLUMNS, max_size=width * COLUMNS))
    return png(lines, bits=bits, color=color)


@settings(deadline=None)
@given(data=pngs())
def test_its_pixels_are_those_of_pillow(data: bytes) -> None:
    pixels = decode_plain_png(data, ROWS * COLUMNS)
    assert pixels is not None
    np.testing.assert_array_equal(pixels, pillow(data))
    require_all_rows(data)


@settings(deadline=None)
@given(data=pngs(), place=st.integers(8, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_of_a_damaged_file_it_gives_the_pixels_of_pillow_or_none(
    data: bytes, place: int, byte: int, cut: bool
) -> None:
    place %= len(data)
    damaged = data[:place] if cut else data[:place] + bytes([byte]) + data[place + 1 :]
    pixels = decode_plain_png(damaged, ROWS * COLUMNS)
    if pixels is not None:
        np.testing.assert_array_equal(pixels, pillow(damaged))


GRAY = bytes([0, *range(COLUMNS)]) * ROWS


@pytest.mark.parametrize(
    "data",
    [
        png(GRAY, extra=chunk(b"tRNS", b"\0\3")),
        png(GRAY, extra=chunk(b"eXIf", b"MM\0*" + bytes(12))),
        png(GRAY, extra=chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(8))),
        png(GRAY, extra=chunk(b"tEXt", b"Raw profile type exif\0")),
        png(GRAY, interlace=1),
        png(GRAY, bits=4),
        png(GRAY)[:-12],
        png(GRAY)[:-5],
        png(GRAY).replace(b"IHDR", b"IHDX"),
        b"\x89PNG\r\n\x1a\n",
        b"II*\0",
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_pillow(data: bytes) -> None:
    assert decode_plain_png(png(GRAY), ROWS * COLUMNS) is not None
    assert decode_plain_png(data, ROWS * COLUMNS) is None


def test_a_plain_film_is_not_decoded_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pillow(png(GRAY)) / np.float32(255)
    monkeypatch.setattr(Image, "open", None)
    np.testing.assert_array_equal(read_radiograph(png(GRAY)).pixels, expected)


def test_a_larger_picture_than_is_allowed_is_left_to_pillow() -> None:
    assert decode_plain_png(png(GRAY), ROWS * COLUMNS - 1) is None


def test_the_checksum_within_is_not_asked_where_that_of_the_chunk_is_right() -> None:
    data = zlib.compress(GRAY)
    sound, unsound = png(GRAY), png(GRAY)
    parts = [chunk(b"IDAT", data[:20]), chunk(b"IDAT", data[20:])]
    unsound = unsound.replace(parts[1], chunk(b"IDAT", data[20:-4] + bytes(4)))
    assert unsound != sound
    pixels = decode_plain_png(unsound, ROWS * COLUMNS)
    assert pixels is not None
    np.testing.assert_array_equal(pixels, pillow(sound))


@pytest.mark.parametrize("n_missing", [1, 2, 3])
@pytest.mark.parametrize("extra", [b"", chunk(b"iTXt", b"x")])
def test_a_picture_that_lacks_its_last_rows_is_refused(n_missing: int, extra: bytes) -> None:
    data = png(GRAY[: (ROWS - n_missing) * (COLUMNS + 1)], extra=extra)
    with pytest.raises(UnreadableImage) as refused:
        read_radiograph(data)
    assert refused.value.reason == "damaged_pixels"


def test_pillow_draws_rows_that_are_missing() -> None:
    """Why they are counted."""
    assert not pillow(png(GRAY[: (ROWS - 1) * (COLUMNS + 1)]))[-1].any()
