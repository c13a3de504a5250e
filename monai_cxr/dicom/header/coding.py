"""Coding: how data elements lie in bytes (PS3.5 7), whatever the transfer syntax says of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN "
    b"UR US UT UV".split()
)
"""Value Representations (PS3.5 6.2)."""

LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Those with two reserved bytes and a length of four (PS3.5 7.1.2)."""

UNDEFINED_LENGTH = 0xFFFFFFFF
COMMAND_GROUP, META_GROUP, IDENTIFYING_GROUP = 0x0000, 0x0002, 0x0008
_LONGEST_FIRST = 512


@dataclass(frozen=True, slots=True)
class Coding:
    """Whether elements name their VR, and in which byte order they are."""

    implicit: bool
    little_endian: bool


EXPLICIT, IMPLICIT, BIG = Coding(False, True), Coding(True, True), Coding(False, False)


@dataclass(frozen=True, slots=True)
class Head:
    """Tag, VR and length of an element, and where its value begins.

    Attributes:
        tag: Group and element in one number.
        vr: Two letters; empty when implicit.
        length: Length of the value in bytes, or :data:`UNDEFINED_LENGTH`.
        value_at: Position of the value in the data.
    """

    tag: int
    vr: bytes
    length: int
    value_at: int

    @property
    def group(self) -> int:
        """First half of the tag."""
        return self.tag >> 16


def head_at(data: bytes | memoryview, at: int, coding: Coding) -> Head | None:
    """Read the head of the element at a position.

    Returns:
        The head; None where the data end, or the VR is none.
    """
    if at < 0 or at + 8 > len(data):
        return None
    order = "<" if coding.little_endian else ">"
    group, element = struct.unpack_from(order + "HH", data, at)
    tag = group << 16 | element
    if coding.implicit or group == 0xFFFE:
        (length,) = struct.unpack_from(order + "I", data, at + 4)
        return Head(tag, b"", length, at + 8)
    vr = bytes(data[at + 4 : at + 6])
    if vr not in VRS:
        return None
    if vr not in LONG_VRS:
        (length,) = struct.unpack_from(order + "H", data, at + 6)
        return Head(tag, vr, length, at + 8)
    if at + 12 > len(data):
        return None
    (length,) = struct.unpack_from(order + "I", data, at + 8)
    return Head(tag, vr, length, at + 12)


def coding_at(data: bytes | memoryview, at: int) -> Coding | None:
    """How the first element of meta information or of a data set is coded.

    It is one of few: of group 2 or 8, its number below 256, and short. Nobody has seen an implicit
    one in big endian.

    Args:
        data: The file, or its beginning.
        at: Where the element would begin.

    Returns:
        The coding; None where there is no such element.
    """
    start = bytes(data[at : at + 8])
    if len(start) < 8:
        return None
    little = start[1] == 0 and start[0] in (META_GROUP, IDENTIFYING_GROUP) and start[3] == 0
    if little and start[4:6] in VRS:
        return EXPLICIT
    if start[:3] == b"\0\x08\0" and start[4:6] in VRS:
        return BIG
    if little and int.from_bytes(start[4:8], "little") <= _LONGEST_FIRST:
        return IMPLICIT
    return None


def is_command(data: bytes | memoryview, at: int) -> bool:
    """Whether a command set (PS3.7 6.3) begins here, as C-STORE puts in front of a data set."""
    head = head_at(data, at, IMPLICIT)
    following = head_at(data, at + 12, IMPLICIT)
    return (
        head is not None
        and (head.tag, head.length) == (0, 4)
        and following is not None
        and following.group == COMMAND_GROUP
        and following.tag != 0
    )


def after_command(data: bytes | memoryview, at: int) -> int:
    """Position behind a command set, or the same position where there is none."""
    if not is_command(data, at):
        return at
    while (head := head_at(data, at, IMPLICIT)) is not None and head.group == COMMAND_GROUP:
        at = head.value_at + head.length
    return at
