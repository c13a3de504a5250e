"""PDF pages: lines of text and rules as a PDF document, the same bytes wherever it is made.

A document of a few lines needs no more than the file structure of ISO 32000-1, 7.5, and the two
fonts that every reader has (9.6.2.2). Nothing is compressed, no time is read and no identifier is
drawn, so that neither a library's version nor a host shows in the bytes.
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

PAGE_WIDTH, PAGE_HEIGHT = 595, 842
"""A4 in points."""

_ENCODING = "cp1252"  # WinAnsiEncoding, ISO 32000-1 D.2
_WIDE = 0.52
"""Mean width of a character in Helvetica, in text that is rather wide, as a share of its size."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text.

    Attributes:
        x: Its left end, in points from the left.
        y: Its base line, in points from the bottom.
        text: What it says; a character outside Windows-1252 becomes a question mark.
        size: Of the font, in points.
        is_bold: Helvetica-Bold or Helvetica.
        gray: 0 is black, 1 is white.
    """

    x: float
    y: float
    text: str
    size: float = 9.5
    is_bold: bool = False
    gray: float = 0.1


@dataclass(frozen=True, slots=True)
class Rule:
    """A thin horizontal line.

    Attributes:
        x: Its left end.
        y: Its height from the bottom.
        width: Its length.
        gray: 0 is black, 1 is white.
    """

    x: float
    y: float
    width: float
    gray: float = 0.75


Page = Sequence[TextLine | Rule]
"""What stands on a page."""


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Break a text into lines that fit.

    Args:
        text: The text.
        width: In points.
        size: Of the font, in points.

    Returns:
        One line at least.
    """
    return textwrap.wrap(text, max(int(width / (size * _WIDE)), 8)) or [""]


def pdf_document(pages: Sequence[Page], *, title: str, created: datetime) -> bytes:
    """Write a PDF 1.4 document.

    Args:
        pages: At least one, A4 upright.
        title: For the document's information.
        created: The time that it states; without a zone it is in UTC.

    Returns:
        The file.
    """
    n = len(pages)
    moment = (created if created.tzinfo else created.replace(tzinfo=timezone.utc)).astimezone(
        timezone.utc
    )
    kids = " ".join(f"{6 + 2 * index} 0 R" for index in range(n))
    fonts = "/Font << /F1 3 0 R /F2 4 0 R >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {n} >>".encode(),
        _font("Helvetica"),
        _font("Helvetica-Bold"),
        b"<< /Title (%s) /Producer (monai_cxr) /CreationDate (D:%s+00'00') >>"
        % (_escaped(title), moment.strftime("%Y%m%d%H%M%S").encode()),
    ]
    for index, page in enumerate(pages):
        drawn = b"\n".join(_drawn(one) for one in page)
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {PAGE_WIDTH} {PAGE_HEIGHT}] "
            f"/Resources << {fonts} >> /Contents {7 + 2 * index} 0 R >>".encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        ]
    return _file(objects)


def _file(objects: Sequence[bytes]) -> bytes:
    """Header, numbered objects, cross-reference table and trailer (ISO 32000-1, 7.5)."""
    data, offsets = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    identity = hashlib.sha256(data).hexdigest()[:32].encode()
    start, size = len(data), len(objects) + 1
    data += b"xref\n0 %d\n0000000000 65535 f \n" % size
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    data += b"trailer\n<< /Size %d /Root 1 0 R /Info 5 0 R /ID [<%s> <%s>] >>\n" % (
        *(size, identity, identity),
    )
    data += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(data)


def _font(name: str) -> bytes:
    return (
        f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode()
    )


def _drawn(one: TextLine | Rule) -> bytes:
    if isinstance(one, Rule):
        end = one.x + one.width
        return f"{one.gray:g} G 0.5 w {one.x:g} {one.y:g} m {end:g} {one.y:g} l S".encode()
    font = "F2" if one.is_bold else "F1"
    place = f"BT /{font} {one.size:g} Tf {one.gray:g} g {one.x:g} {one.y:g} Td ("
    return place.encode() + _escaped(one.text) + b") Tj ET"


def _escaped(text: str) -> bytes:
    """A literal string (ISO 32000-1, 7.3.4.2); control characters have no place on a page."""
    shown = "".join(one if one.isprintable() else " " for one in text)
    encoded = shown.encode(_ENCODING, "replace")
    for special in (b"\\", b"(", b")"):
        encoded = encoded.replace(special, b"\\" + special)
    return encoded
