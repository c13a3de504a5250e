"""Parsing: bytes of a DICOM file to its header and the place of its pixels, within bounds.

The header is parsed up to Pixel Data; pixels stay where they are until somebody asks for them.
A deflated data set is inflated here, with a limit, because a parser that inflates whatever it is
given turns one megabyte into a gigabyte.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, replace
from typing import Literal

from pydicom import Dataset
from pydicom.config import IGNORE
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from monai_cxr.dicom.header.coding import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    UNDEFINED_LENGTH,
    Coding,
    Head,
    after_command,
    coding_at,
    head_at,
    is_command,
)
from monai_cxr.dicom.header.elements import MALFORMED
from monai_cxr.dicom.header.repair import Repaired, repair
from monai_cxr.errors import UnreadableImage
from monai_cxr.picture.bounds import MAX_FILE_BYTES
from monai_cxr.picture.inflation import inflate
from monai_cxr.picture.quiet import keep_quiet, quiet

MAX_READS = 40_000
"""Reads that parsing a header may take, about two an element; a real header takes hundreds."""

_PREFIX = b"DICM"
_FAR = 1024
"""Bytes in which the prefix is looked for: some writers leave the preamble out, or cut it short."""

_PIXEL_TAGS = {0x7FE00008: "float", 0x7FE00009: "float", 0x7FE00010: "stored"}
_PIXEL_DATA = {True: b"\xe0\x7f\x10\0", False: b"\x7f\xe0\0\x10"}
"""The tag of Pixel Data in little and in big endian."""

_ASSUMED = {
    EXPLICIT: str(ExplicitVRLittleEndian),
    IMPLICIT: str(ImplicitVRLittleEndian),
    BIG: str(ExplicitVRBigEndian),
}
_SAYS_OTHERWISE = "transfer_syntax_disagrees"


@dataclass(frozen=True, slots=True, eq=False)
class ParsedFile:
    """A header and where its pixels lie.

    Attributes:
        dataset: Elements before Pixel Data.
        transfer_syntax: UID of the syntax that the pixels are in.
        pixels: Value of Pixel Data (7FE0,0010) as a view of the file; None when there is none.
        is_encapsulated: Whether that value is a sequence of compressed fragments.
        value_representation: VR of Pixel Data, ``""`` when implicit.
        has_float_pixels: Whether the file holds Float or Double Float Pixel Data instead.
        flags: What was forgiven, as stable codes: ``"transfer_syntax_assumed"`` where no meta
            information names it, ``"transfer_syntax_disagrees"`` where the elements are coded
            otherwise, ``"header_repaired"`` where one of them is damaged.
    """

    dataset: Dataset
    transfer_syntax: str
    pixels: memoryview | None
    is_encapsulated: bool
    value_representation: str = ""
    has_float_pixels: bool = False
    flags: tuple[str, ...] = ()

    @property
    def little_endian(self) -> bool:
        """Byte order of the data set."""
        return self.transfer_syntax != ExplicitVRBigEndian


def is_dicom(data: bytes) -> bool:
    """Whether the content is DICOM: a Part 10 file, or a bare data set as old archives hold it.

    Args:
        data: The file, or its first 1024 bytes.
    """
    return _start(data) is not None


def _start(data: bytes) -> int | None:
    """Where the first element lies; None where there is none.

    Behind the prefix, which may stand elsewhere than at byte 128 and whose letters may stand there
    by chance, or at the beginning.
    """
    places = [132] if data[128:132] == _PREFIX else []
    found = data.find(_PREFIX + b"\x02\0", 0, _FAR)
    places += [0, *([found + len(_PREFIX)] if found >= 0 else [])]
    begun = (at for at in places if coding_at(data, at) or is_command(data, at))
    return next(begun, places[0] if places[0] else None)


def parse(data: bytes) -> ParsedFile:
    """Parse a DICOM file (PS3.10 7) up to its pixels.

    Args:
        data: The whole file.

    Returns:
        Header and place of the pixels.

    Raises:
        UnreadableImage: ``"not_dicom"``, ``"no_transfer_syntax"``, ``"too_large"`` or
            ``"damaged_header"``.
    """
    if not is_dicom(data):
        raise UnreadableImage(
            "Expected a DICOM file, but the prefix 'DICM' is missing at byte 128. "
            "Send a DICOM Part 10 file.",
            reason="not_dicom",
        )
    with quiet():
        try:
            return _parse(data)
        except UnreadableImage:
            raise
        except MALFORMED:
            raise UnreadableImage(
                "The DICOM header is damaged: its elements cannot be followed. Export the image "
                "again.",
                reason="damaged_header",
            ) from None


def _parse(data: bytes) -> ParsedFile:
    start = after_command(data, _start(data) or 0)
    syntax, start, flags = _transfer_syntax(data, start)
    if syntax == DeflatedExplicitVRLittleEndian:
        syntax = str(ExplicitVRLittleEndian)
        if coding_at(data, start) is None:
            data, start = _inflated(data[start:]), 0
        else:
            flags = (*flags, _SAYS_OTHERWISE)
    coding = Coding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    found = coding_at(data, start)
    if found is not None and found != coding:
        if UID(syntax, IGNORE).is_transfer_syntax:  # a maker's own syntax may well mean that
            flags = (*flags, _SAYS_OTHERWISE)
        if found.little_endian != coding.little_endian:
            syntax = str(ExplicitVRLittleEndian if found.little_endian else ExplicitVRBigEndian)
        coding = found
    dataset, place = _header(data, start, coding)
    is_short = dataset is None or not (place.kind and "Rows" in dataset)
    if is_short and (dataset is None or _PIXEL_DATA[coding.little_endian] in data[start:]):
        repaired = repair(data, start, coding)
        if repaired.damaged_at >= 0 or dataset is None:
            dataset, place = _repaired(data, start, coding, repaired)
            flags = (*flags, "header_repaired")
    assert dataset is not None  # else it is repaired, or refused
    if "transfer_syntax_assumed" in flags and place.is_encapsulated:
        raise _no_transfer_syntax("and the pixels are compressed")
    return ParsedFile(
        dataset=dataset,
        transfer_syntax=syntax,
        pixels=place.value if place.kind == "stored" else None,
        is_encapsulated=place.is_encapsulated,
        value_representation=place.value_representation,
        has_float_pixels=place.kind == "float",
        flags=tuple(dict.fromkeys(flags)),
    )


def _header(data: bytes, start: int, coding: Coding) -> tuple[Dataset | None, _Place]:
    """Elements before the pixels, and the place of these; None where the elements are malformed."""
    stream = _BoundedStream(data)
    stream.seek(start)
    try:
        dataset = read_dataset(
            stream,
            coding.implicit,
            coding.little_endian,
            stop_when=lambda tag, vr, length: tag >= 0x7FE00000,
        )
    except UnreadableImage:
        raise
    except MALFORMED:
        return None, _Place()
    return dataset, _find_pixels(memoryview(data)[stream.tell() :], coding)


def _repaired(
    data: bytes, start: int, coding: Coding, repaired: Repaired
) -> tuple[Dataset, _Place]:
    """The header without its damaged elements."""
    dataset, _ = _header(repaired.header, 0, coding)
    if dataset is None or repaired.pixels_at < 0:
        at = max(repaired.damaged_at, start)
        raise UnreadableImage(
            f"The DICOM header is damaged at byte {at}, and what follows cannot be read. Export "
            "the image again.",
            reason="damaged_header",
        )
    return dataset, _find_pixels(memoryview(data)[repaired.pixels_at :], coding)


def _inflated(data: bytes) -> bytes:
    """A deflated data set; some writers put the zlib header in front (PS3.5 A.5 has none)."""
    has_zlib_header = (
        data[:1] == b"\x78" and len(data) > 1 and int.from_bytes(data[:2], "big") % 31 == 0
    )
    if has_zlib_header:
        try:
            return inflate(data, wbits=zlib.MAX_WBITS, limit=MAX_FILE_BYTES)
        except UnreadableImage as error:
            if error.reason != "damaged_header":
                raise
    return inflate(data, wbits=-zlib.MAX_WBITS, limit=MAX_FILE_BYTES)


def _transfer_syntax(data: bytes, start: int) -> tuple[str, int, tuple[str, ...]]:
    """Read the meta information: the transfer syntax, where the data set begins, and flags."""
    stream = _BoundedStream(data)
    stream.seek(start)
    syntax = ""
    if data[start : start + 2] == b"\x02\0":
        # The file meta group is Explicit VR Little Endian (PS3.10 7.1); pydicom forgives others.
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        syntax = str(meta.get("TransferSyntaxUID", "") or "").strip(" \0")
    start = after_command(data, stream.tell())
    if not syntax:
        coding = coding_at(data, start)
        if coding is None or data[start : start + 2] == b"\x02\0":
            raise _no_transfer_syntax("and the first element does not tell it")
        return _ASSUMED[coding], start, ("transfer_syntax_assumed",)
    if not UID(syntax, IGNORE).is_valid:
        raise UnreadableImage(
            "The Transfer Syntax (0002,0010) is not a UID. Export the image again.",
            reason="unknown_transfer_syntax",
        )
    return syntax, start, ()


def _no_transfer_syntax(why: str) -> UnreadableImage:
    return UnreadableImage(
        f"The file names no Transfer Syntax (0002,0010), {why}. Export the image again.",
        reason="no_transfer_syntax",
    )


class _BoundedStream(io.BytesIO):
    """A stream that ends a parse of millions of tiny elements, which fit in a small file."""

    n_reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and count."""
        self.n_reads += 1
        if self.n_reads > MAX_READS:
            raise UnreadableImage(
                f"The header takes more than {MAX_READS:,} reads. Send the image without it.",
                reason="too_large",
            )
        return super().read(size)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    kind: str = ""
    value: memoryview | None = None
    is_encapsulated: bool = False
    value_representation: str = ""


def _find_pixels(rest: memoryview, coding: Coding) -> _Place:
    """Walk the elements of group 7FE0 to the one that holds pixels.

    Each shows whether it names its VR: read as a length, the letters of one that may stand here
    are an odd number, which no length is.
    """
    position = 0
    while True:
        named = head_at(rest, position, replace(coding, implicit=False))
        head = named or head_at(rest, position, replace(coding, implicit=True))
        if named is None and head is not None and not coding.implicit:
            letters = bytes(rest[position + 4 : position + 6])
            if letters.isalpha() and letters.isupper():  # a VR that is none: lengths are long here
                order: Literal["little", "big"] = "little" if coding.little_endian else "big"
                length = int.from_bytes(rest[position + 8 : position + 12], order)
                head = Head(head.tag, b"UN", length, position + 12)
        if head is None or head.group != 0x7FE0:
            return _Place()
        is_undefined = head.length == UNDEFINED_LENGTH
        if head.tag in _PIXEL_TAGS:
            end = len(rest) if is_undefined else head.value_at + head.length
            value = rest[head.value_at : end]
            return _Place(_PIXEL_TAGS[head.tag], value, is_undefined, head.vr.decode("ascii"))
        if is_undefined:
            return _Place()
        position = head.value_at + head.length


keep_quiet("pydicom")
