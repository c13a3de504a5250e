"""Answers as odd systems put them on the wire: right ones in an odd form, and wrong ones."""

from __future__ import annotations

import gzip
from collections.abc import Callable

Wire = Callable[[str, bytes], bytes]
"""Makes a whole HTTP answer of a content type and a body."""

END = b"\r\n\r\n"
_BOUND = b"--x\r\nContent-Type: application/dicom\r\n\r\n"


def _answer(kind: str, body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers]
    if not any(one.startswith(("Content-Length", "Transfer")) for one in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close"]).encode() + END + body


def _chunks(body: bytes, n: int) -> bytes:
    pieces = [body[i : i + n] for i in range(0, len(body), n)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _parts(body: bytes, *, bound: bytes = b"x", end: bytes = b"\r\n", close: bool = True) -> bytes:
    head = b"--" + bound + end + b"Content-Type: application/dicom" + end + end
    return head + body + end + b"--" + bound + (b"--" if close else b"") + end


RIGHT_OBJECTS: dict[str, Wire] = {
    "boundary_quoted": lambda _, b: _answer(
        'multipart/related; type="application/dicom"; boundary="x y"', _parts(b, bound=b"x y")
    ),
    "boundary_capital": lambda _, b: _answer(
        'Multipart/Related; TYPE="application/dicom"; Boundary=x', _parts(b)
    ),
    "boundary_first": lambda _, b: _answer(
        'multipart/related;boundary=x;type="application/dicom"', _parts(b)
    ),
    "part_header_small": lambda k, b: _answer(
        k, _parts(b).replace(b"Content-Type", b"content-type", 1)
    ),
    "part_with_location": lambda k, b: _answer(
        k, _parts(b).replace(b"--x\r\n", b"--x\r\nContent-Location: http://h/1\r\n", 1)
    ),
    "preamble": lambda k, b: _answer(k, b"\r\nThis is MIME.\r\n" + _parts(b)),
    "no_end": lambda k, b: _answer(k, _parts(b, close=False)),
    "chunked": lambda k, b: _answer(
        k, _chunks(_parts(b), 1000) + b"0\r\n\r\n", "Transfer-Encoding: chunked"
    ),
    "gzip": lambda k, b: _answer(k, gzip.compress(_parts(b)), "Content-Encoding: gzip"),
    "length_no_number": lambda k, b: _answer(k, _parts(b), "Content-Length: many"),
    "one_part": lambda _, b: _answer("application/dicom", b),
    "syntax_in_type": lambda _, b: _answer(
        'multipart/related; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"; '
        "boundary=x", _parts(b),
    ),
}  # fmt: skip
"""The object, in a form that other systems use."""

WRONG_OBJECTS: dict[str, Wire] = {
    "chunks_end_early": lambda k, b: _answer(
        k, _chunks(_parts(b), 1000)[:1500], "Transfer-Encoding: chunked"
    ),
    "chunk_no_number": lambda k, b: _answer(k, b"zz\r\n", "Transfer-Encoding: chunked"),
    "length_too_long": lambda k, b: _answer(
        k, _parts(b)[:1500], f"Content-Length: {len(b) + 9999}"
    ),
    "length_too_short": lambda k, b: _answer(k, _parts(b), "Content-Length: 700"),
    "gzip_claimed": lambda k, b: _answer(k, _parts(b), "Content-Encoding: gzip"),
    "gzip_cut": lambda k, b: _answer(k, _half(gzip.compress(_parts(b))), "Content-Encoding: gzip"),
    "encoding_unknown": lambda k, b: _answer(k, b"\x00" * 50, "Content-Encoding: zstd, br"),
    "no_content_with_body": lambda k, b: _answer(k, _parts(b), status="204 No Content"),
    "partial": lambda k, b: _answer(k, _parts(b)[:2000], status="206 Partial Content"),
    "status_999": lambda k, b: _answer(k, b"", status="999 Odd"),
    "status_no_number": lambda k, b: _answer(k, b"", status="abc"),
    "no_http": lambda k, b: b"SSH-2.0-OpenSSH_9.2\r\n",
    "half_a_header": lambda k, b: b"HTTP/1.1 200 OK\r\nContent-Ty",
    "many_headers": lambda k, b: _answer(k, b"", *(f"X-{i}: 1" for i in range(300))),
    "long_header": lambda k, b: _answer(k, b"", f"X-A: {'a' * 100_000}"),
    "nothing": lambda k, b: b"",
    "redirect_loop": lambda k, b: _answer(k, b"", "Location: ?again", status="302 Found"),
    "redirect_to_file": lambda k, b: _answer(
        k, b"", "Location: file:///etc/passwd", status="302 Found"
    ),
    "redirect_nowhere": lambda k, b: _answer(k, b"", "Location: http://[::", status="302 Found"),
    "boundary_empty": lambda _, b: _answer(
        'multipart/related; type="application/dicom"; boundary=', _parts(b)
    ),
    "two_dots": lambda _, b: _answer("multipart/related;;;=;boundary", _parts(b)),
    "no_type": lambda _, b: _answer("", b""),
}  # fmt: skip
"""No object, or part of one."""

RIGHT_PAGES: dict[str, Wire] = {
    "byte_order_mark": lambda k, b: _answer(k, b"\xef\xbb\xbf" + b),
    "type_plain": lambda _, b: _answer("text/plain", b),
    "type_json": lambda _, b: _answer("application/json;charset=utf-8", b),
    "white_space": lambda k, b: _answer(k, b"\r\n \t" + b + b"\r\n"),
    "chunked": lambda k, b: _answer(
        k, _chunks(b, 7) + b"0\r\n\r\n", "Transfer-Encoding: chunked"
    ),
    "small_tags": lambda k, b: _answer(k, b.replace(b"0020000D", b"0020000d").replace(
        b"0020000E", b"0020000e")),
    "padded": lambda k, b: _answer(k, b.replace(b'"]', b'\\u0000"]')),
}  # fmt: skip
"""The matches, in a form that other systems use."""

WRONG_PAGES: dict[str, Wire] = {
    "gzip_without_header": lambda k, b: _answer(k, gzip.compress(b)),
    "too_many_requests": lambda k, b: _answer(
        k, b"", "Retry-After: Fri, 31 Dec 2027 23:59:59 GMT", status="429 Too Many Requests"
    ),
    "utf_16": lambda k, b: _answer(k, b.decode().encode("utf-16")),
    "xml": lambda _, b: _answer("application/dicom+xml", b"<NativeDicomModel/>"),
    "infinity": lambda k, b: _answer(k, b"[Infinity, NaN]"),
    "number_of_digits": lambda k, b: _answer(k, b"[" + b"9" * 10_000 + b"]"),
    "same_key": lambda k, b: _answer(k, b'[{"0020000D": 1, "0020000D": {"Value": [null]}}]'),
    "surrogate": lambda k, b: _answer(k, b'[{"0020000D": {"Value": ["\\ud800"]}}]'),
    "uid_of_slashes": lambda k, b: _answer(k, b'[{"0020000D": {"Value": ["../../x?y#z"]}}]'),
    "uid_of_a_line": lambda k, b: _answer(k, b'[{"0020000D": {"Value": ["1.2\\r\\nX: 1"]}}]'),
    "uid_very_long": lambda k, b: _answer(
        k, b'[{"0020000D": {"Value": ["' + b"1" * 200_000 + b'"]}}]'
    ),
    **{name: WRONG_OBJECTS[name] for name in (
        "chunks_end_early", "chunk_no_number", "gzip_claimed", "gzip_cut", "partial",
        "status_999", "status_no_number", "no_http", "half_a_header", "many_headers",
        "long_header", "nothing", "redirect_loop", "redirect_to_file", "redirect_nowhere",
    )},
}  # fmt: skip
"""No matches."""

ODD_WIRES = {**RIGHT_OBJECTS, **WRONG_OBJECTS}
ODD_PAGE_WIRES = {**RIGHT_PAGES, **WRONG_PAGES}
