"""Parsing: bytes of a DICOM file to its header and the place of its pixels, within bounds.

The header is parsed up to Pixel Data; pixels stay where they are until somebody asks for them.
A deflated data set is inflated here, with a limit, because a parser that inflates whatever it is
given turns one megabyte into a gigabyte.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

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

from monai_cxr.dicom.header.elements import MALFORMED
from monai_cxr.errors import UnreadableImage
from monai_cxr.picture.bounds import MAX_FILE_BYTES
from monai_cxr.picture.inflation import inflate
from monai_cxr.picture.quiet import keep_quiet, quiet

MAX_READS = 40_000
"""Reads that parsing a header may take, about two an element; a real header takes hundreds."""

MAX_FRAGMENTS = 65_536
"""Fragments of encapsulated pixels; a film has one, or one a strip."""

_PREAMBLE_BYTES = 132
_PREFIX = b"DICM"
_META_GROUP = b"\x02\0"
_LONGEST_FIRST = 512
_VRS = frozenset({b"UL", b"OB", b"UI", b"CS", b"DA", b"TM", b"SH", b"LO", b"AE", b"UC", b"SQ"})
_UNDEFINED_LENGTH = 0xFFFFFFFF
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN"})
_PIXEL_TAGS = {0x0008: "float", 0x0009: "float", 0x0010: "stored"}


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
        syntax_is_assumed: Whether no meta information named the transfer syntax.
    """

    dataset: Dataset
    transfer_syntax: str
    pixels: memoryview | None
    is_encapsulated: bool
    value_representation: str = ""
    has_float_pixels: bool = False
    syntax_is_assumed: bool = False

    @property
    def little_endian(self) -> bool:
        """Byte order of the data set."""
        return self.transfer_syntax != ExplicitVRBigEndian


def is_dicom(data: bytes) -> bool:
    """Whether the content is DICOM: a Part 10 file, or a bare data set as old archives hold it."""
    if data[128:132] == _PREFIX:
        return True
    is_meta = data[:2] == _META_GROUP and data[3:4] == b"\0" and data[4:6] in _VRS
    return is_meta or _bare_syntax(data[:16]) is not None


def _bare_syntax(start: bytes) -> str | None:
    """Transfer syntax of a data set that no meta information names, from its first 16 bytes.

    The first element is of group 8 and short. Compressed data sets cannot come without meta
    information, and nobody has seen a bare one in big endian.
    """
    if len(start) < 16 or start[:2] != b"\x08\0" or start[3] != 0:
        return None
    if start[4:6] in _VRS:
        return str(ExplicitVRLittleEndian)
    is_short = int.from_bytes(start[4:8], "little") <= _LONGEST_FIRST
    return str(ImplicitVRLittleEndian) if is_short else None


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
        except MALFORMED as error:
            raise UnreadableImage(
                f"The DICOM header is damaged ({type(error).__name__}). Send the file again.",
                reason="damaged_header",
            ) from None


def _parse(data: bytes) -> ParsedFile:
    stream: io.BytesIO = _BoundedStream(data)
    syntax, is_assumed = _transfer_syntax(stream, data)
    is_deflated = syntax == DeflatedExplicitVRLittleEndian
    if is_deflated:
        stream = _BoundedStream(
            inflate(data[stream.tell() :], wbits=-zlib.MAX_WBITS, limit=MAX_FILE_BYTES)
        )
    implicit = syntax == ImplicitVRLittleEndian
    little = syntax != ExplicitVRBigEndian
    dataset = read_dataset(
        stream, implicit, little, stop_when=lambda tag, vr, length: tag >= 0x7FE00000
    )
    rest = memoryview(stream.getvalue())[stream.tell() :]
    place = _find_pixels(rest, implicit=implicit, little=little)
    if is_assumed and place.is_encapsulated:
        raise _no_transfer_syntax("and the pixels are compressed")
    return ParsedFile(
        dataset=dataset,
        transfer_syntax=str(ExplicitVRLittleEndian) if is_deflated else syntax,
        pixels=place.value if place.kind == "stored" else None,
        is_encapsulated=place.is_encapsulated,
        value_representation="" if implicit else place.value_representation,
        has_float_pixels=place.kind == "float",
        syntax_is_assumed=is_assumed,
    )


def _transfer_syntax(stream: io.BytesIO, data: bytes) -> tuple[str, bool]:
    """Read the meta information: the transfer syntax, and whether it had to be assumed."""
    start = _PREAMBLE_BYTES if data[128:132] == _PREFIX else 0
    stream.seek(start)
    syntax = ""
    if data[start : start + 2] == _META_GROUP:
        # The file meta group is always Explicit VR Little Endian (PS3.10 7.1).
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        syntax = str(meta.get("TransferSyntaxUID", "") or "").strip()
    if not syntax:
        assumed = _bare_syntax(data[stream.tell() : stream.tell() + 16])
        if assumed is None:
            raise _no_transfer_syntax("and the first element does not tell it")
        return assumed, True
    if not UID(syntax, IGNORE).is_valid:
        raise UnreadableImage(
            "The Transfer Syntax (0002,0010) is no UID. Send the file again.",
            reason="unknown_transfer_syntax",
        )
    return syntax, False


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


def _find_pixels(rest: memoryview, *, implicit: bool, little: bool) -> _Place:
    """Walk the elements of group 7FE0 to the one that holds pixels."""
    order = "<" if little else ">"
    position = 0
    while position + 8 <= len(rest):
        group, element = struct.unpack_from(order + "HH", rest, position)
        vr = bytes(rest[position + 4 : position + 6])
        if implicit:
            (length,) = struct.unpack_from(order + "I", rest, position + 4)
            value_at = position + 8
        elif vr in _LONG_VRS:
            if position + 12 > len(rest):
                break
            (length,) = struct.unpack_from(order + "I", rest, position + 8)
            value_at = position + 12
        else:
            (length,) = struct.unpack_from(order + "H", rest, position + 6)
            value_at = position + 8
        if group != 0x7FE0:
            break
        undefined = length == _UNDEFINED_LENGTH
        if element in _PIXEL_TAGS:
            value = rest[value_at:] if undefined else rest[value_at : value_at + length]
            return _Place(_PIXEL_TAGS[element], value, undefined, vr.decode("latin-1"))
        if undefined:
            break
        position = value_at + length
    return _Place()


keep_quiet("pydicom")
