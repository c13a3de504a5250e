"""Repair: a header around its damaged elements, so that one of them does not cost the image.

An element is damaged where its VR is none, or what follows its value is no element. One that only
lacks a VR gets the dictionary's (PS3.6); around any other the walk looks for the next two elements
in a row, and drops what lies between. Stray delimiters of sequences are stepped over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from monai_cxr.dicom.header.coding import LONG_VRS, UNDEFINED_LENGTH, Coding, Head, head_at

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_GROUP = 0x7FE0
_IN_A_ROW = 4
"""Elements without a VR, one behind the other."""

_MAX_STEPS = 150_000
"""Positions looked at, elements and bytes between them; damage is near what is damaged."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A header that can be parsed.

    Attributes:
        header: Its intact elements.
        pixels_at: Where group 7FE0 begins in the file, or -1 where the walk does not get there.
        damaged_at: Position of the first damaged element.
    """

    header: bytes
    pixels_at: int
    damaged_at: int


def repair(data: bytes, start: int, coding: Coding) -> Repaired:
    """Collect the intact elements between a position and Pixel Data.

    Args:
        data: The file.
        start: Where the data set begins.
        coding: How its elements are coded.
    """
    walk = _Walk(data, coding)
    kept = bytearray()
    at, last, damaged_at = start, -1, -1
    while walk.n_steps < _MAX_STEPS:
        head = walk.plausible(at, last)
        if head is not None and head.group >= _PIXEL_GROUP:
            return Repaired(bytes(kept), at, damaged_at)
        end = None if head is None else walk.end_of(head)
        if head is not None and end is not None and walk.is_next(end, head.tag):
            kept += data[at:end]
            at, last = end, head.tag
            continue
        damaged_at = at if damaged_at < 0 else damaged_at
        if walk.is_stray(at):
            at += 8
            continue
        named = walk.with_vr(at, last)
        if named is not None:
            kept += named[0]
            at, last = named[1], named[2]
            continue
        following = walk.next_pair(at + 2, last)
        if following is None:
            break
        at = following
    return Repaired(bytes(kept), -1, damaged_at)


class _Walk:
    """Looks at positions of one file, and counts them."""

    def __init__(self, data: bytes, coding: Coding) -> None:
        self.data, self.coding, self.n_steps = data, coding, 0

    def plausible(self, at: int, last: int) -> Head | None:
        """The element here, if its tag is behind the last one and its value within the file."""
        self.n_steps += 1
        head = head_at(self.data, at, self.coding)
        if head is None or not last < head.tag or head.group > _PIXEL_GROUP:
            return None
        is_private = head.group % 2 == 1
        if self.coding.implicit and not (is_private or dictionary_has_tag(head.tag)):
            return None
        is_within = head.value_at + head.length <= len(self.data)
        return head if is_within or head.length == UNDEFINED_LENGTH else None

    def is_stray(self, at: int) -> bool:
        """Whether a delimiter lies here, outside of any sequence."""
        head = head_at(self.data, at, self.coding)
        return head is not None and head.tag in (_ITEM, _ITEM_END, _SEQUENCE_END)

    def with_vr(self, at: int, last: int, *, depth: int = 0) -> tuple[bytes, int, int] | None:
        """An explicit element whose VR is none, with that of the dictionary: bytes, end and tag.

        Its length is of two bytes, or of four behind two reserved ones: what follows tells.
        """
        order: Literal["little", "big"] = "little" if self.coding.little_endian else "big"
        group, element = (int.from_bytes(self.data[i : i + 2], order) for i in (at, at + 2))
        tag = group << 16 | element
        if self.coding.implicit or not last < tag or not dictionary_has_tag(tag):
            return None
        for length_at, size in ((at + 6, 2), (at + 8, 4)):
            length = int.from_bytes(self.data[length_at : length_at + size], order)
            end = length_at + size + length
            vr = dictionary_VR(tag)[:2].encode()
            if vr not in LONG_VRS and length < 2**16 and self.is_next(end, tag, depth=depth):
                value = self.data[length_at + size : end]
                head = self.data[at : at + 4] + vr + length.to_bytes(2, order)
                return head + value, end, tag
        return None

    def is_next(self, at: int, last: int, *, depth: int = 0) -> bool:
        """Whether an element follows, a stray delimiter, or an element that lacks a VR."""
        if self.is_stray(at) or self.plausible(at, last) is not None:
            return True
        return depth < _IN_A_ROW and self.with_vr(at, last, depth=depth + 1) is not None

    def end_of(self, head: Head) -> int | None:
        """Position behind an element's value; None where it cannot be followed."""
        if head.length != UNDEFINED_LENGTH:
            return head.value_at + head.length
        at, depth = head.value_at, 1
        while self.n_steps < _MAX_STEPS:
            self.n_steps += 1
            inner = head_at(self.data, at, self.coding)
            if inner is None:
                return None
            if inner.tag in (_SEQUENCE_END, _ITEM_END):
                depth, at = depth - 1, inner.value_at
            elif inner.length == UNDEFINED_LENGTH:
                depth, at = depth + 1, inner.value_at
            else:
                at = inner.value_at + inner.length
            if depth == 0:
                return at
        return None

    def next_pair(self, at: int, last: int) -> int | None:
        """The next position from which two elements follow one another."""
        while self.n_steps < _MAX_STEPS and at + 8 <= len(self.data):
            head = self.plausible(at, last)
            if head is not None:
                end = head.value_at if head.group >= _PIXEL_GROUP else self.end_of(head)
                if head.group >= _PIXEL_GROUP or (end is not None and self.is_next(end, head.tag)):
                    return at
            at += 1
        return None
