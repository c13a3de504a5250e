"""What a PDF of ours says, read by the structure that a reader goes by (ISO 32000-1, 7.5)."""

from __future__ import annotations

import re


def pdf_text(document: bytes) -> list[str]:
    """The lines of text, in their order; asserts that the file's structure holds."""
    assert document.startswith(b"%PDF-1.4\n")
    assert document.endswith(b"%%EOF\n")
    start = int(re.findall(rb"startxref\n(\d+)\n", document)[-1])
    count, *entries = document[start:].partition(b"trailer")[0].splitlines()[1:]
    assert int(count.split()[1]) == len(entries)
    for number, entry in enumerate(entries[1:], 1):
        assert len(entry) == 19  # and the line's end: 20 bytes each
        assert document[int(entry[:10]) :].startswith(b"%d 0 obj\n" % number)
    lines = []
    for length, body in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", document, re.S):
        assert int(length) == len(body)
        for said in re.findall(rb"Td \((.*)\) Tj ET", body):
            assert not re.search(rb"(?<!\\)(?:\\\\)*[()]", said)
            lines.append(re.sub(rb"\\(.)", rb"\1", said).decode("cp1252"))
    return lines
