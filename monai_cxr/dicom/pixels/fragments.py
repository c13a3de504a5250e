"""Fragments: the items of encapsulated pixels, joined to the stream of one frame (PS3.5 A.4).

What pointers and lengths say in excess of the items themselves is not needed, so it need not be
right: a wrong or missing Basic Offset Table, a pad byte that an item's length does not count, zeros
or other bytes in place of the sequence delimiter or behind it. Frames are read through all of
these, and the caller is told that there was something to forgive.
"""

from __future__ import annotations

from dataclasses import dataclass

from monai_cxr.dicom.pixels.codestream import JPEG_2000_START, JPEG_START
from monai_cxr.errors import UnreadableImage

MAX_FRAGMENTS = 65_536
"""Fragments of encapsulated pixels; a film has one, or one a strip."""

ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Fragments:
    """The items of a Pixel Data element.

    Attributes:
        parts: The fragments, without the Basic Offset Table.
        starts: Of each, where its item begins, counted from the first one.
        offsets: What the Basic Offset Table says; empty when it says nothing.
        is_regular: Whether lengths and delimiters are as PS3.5 A.4 has them.
    """

    parts: tuple[memoryview, ...]
    starts: tuple[int, ...]
    offsets: tuple[int, ...]
    is_regular: bool


def walk(pixels: memoryview) -> Fragments:
    """Follow the items to the sequence delimiter, or to the first invalid one.

    Args:
        pixels: Value of Pixel Data, from its first item on.

    Returns:
        The fragments, an unfinished one included.

    Raises:
        UnreadableImage: ``"damaged_pixels"`` if there is no item, or a swarm of them.
    """
    items: list[tuple[int, memoryview]] = []
    position, is_regular, is_ended = 0, True, False
    while position + 8 <= len(pixels):
        tag = bytes(pixels[position : position + 4])
        if tag == _DELIMITER:
            is_ended = True
            break
        if tag != ITEM:
            shifted = bytes(pixels[position + 1 : position + 5])
            is_regular = False
            if items and shifted in (ITEM, _DELIMITER):  # a pad byte that no length counts
                position += 1
                continue
            break
        length = int.from_bytes(pixels[position + 4 : position + 8], "little")
        if length == _UNDEFINED_LENGTH:
            length, is_regular = _up_to_delimiter(pixels, position + 8), False
        items.append((position, pixels[position + 8 : position + 8 + length]))
        if len(items) > MAX_FRAGMENTS:
            raise damaged(f"they come in more than {MAX_FRAGMENTS:,} fragments")
        position += 8 + length
    if not items:
        raise damaged("they contain no fragment")
    offsets: tuple[int, ...] = ()
    if not _is_stream(items[0][1]):
        table = bytes(items[0][1])
        offsets = tuple(
            int.from_bytes(table[i : i + 4], "little") for i in range(0, len(table) // 4 * 4, 4)
        )
        items = items[1:]
    first = items[0][0] if items else 0
    return Fragments(
        parts=tuple(part for _, part in items),
        starts=tuple(at - first for at, _ in items),
        offsets=offsets,
        is_regular=is_regular and is_ended,
    )


def frame_of(pixels: memoryview, frame: int, n_frames: int) -> tuple[bytes, bool]:
    """The stream of one frame, and whether all that the fragments say of themselves is true.

    Args:
        pixels: Value of Pixel Data, from its first item on.
        frame: Counted from 0.
        n_frames: How many there are.

    Returns:
        The joined fragments. With one frame they are all the frame's; with as many fragments as
        frames each is one; else the offset table decides where it is right, and else the fragments
        that begin a codestream.

    Raises:
        UnreadableImage: ``"damaged_pixels"``.
    """
    found = walk(pixels)
    if n_frames == 1:
        firsts = [0]
        is_regular = found.is_regular and found.offsets in ((), (0,))
    else:
        firsts, is_regular = _firsts(found, n_frames)
    if len(firsts) != n_frames or not found.parts:
        raise damaged(f"{n_frames} frames cannot be told apart in {len(found.parts)} fragments")
    end = firsts[frame + 1] if frame + 1 < n_frames else len(found.parts)
    return b"".join(found.parts[firsts[frame] : end]), is_regular


def as_fragment(stream: bytes) -> bytes:
    """A value of Pixel Data that holds one frame; no pad byte, which some decoders stumble over."""
    return b"".join(
        (ITEM, bytes(4), ITEM, len(stream).to_bytes(4, "little"), stream, _DELIMITER, bytes(4))
    )


def _firsts(found: Fragments, n_frames: int) -> tuple[list[int], bool]:
    """The first fragment of each frame."""
    if len(found.parts) == n_frames:
        return list(range(n_frames)), found.is_regular
    place = {start: index for index, start in enumerate(found.starts)}
    by_table = [place[offset] for offset in found.offsets if offset in place]
    if len(by_table) == n_frames and by_table == sorted(set(by_table)):
        return by_table, found.is_regular
    return [i for i, part in enumerate(found.parts) if _is_stream(part)], False


def _is_stream(part: memoryview) -> bool:
    return bytes(part[:4]).startswith((JPEG_START, JPEG_2000_START))


def _up_to_delimiter(pixels: memoryview, start: int) -> int:
    """Length of an item of undefined length, which fragments must not have."""
    end = bytes(pixels[start:]).find(_DELIMITER)
    return len(pixels) - start if end < 0 else end


def damaged(what: str) -> UnreadableImage:
    """The refusal of pixels that are not whole."""
    return UnreadableImage(
        f"The pixel data are damaged: {what}. Send the image again.", reason="damaged_pixels"
    )
