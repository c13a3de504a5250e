"""Document text: what a Structured Report says in words, whoever wrote it (PS3.3 C.17.3)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset

from monai_cxr.dicom.header import elements, parsing
from monai_cxr.errors import UnreadableImage

_DEEPEST = 32


def document_text(data: bytes) -> tuple[str, str]:
    """Read the text of an SR document.

    Args:
        data: A whole DICOM file.

    Returns:
        Its Accession Number (0008,0050), ``""`` when absent, and its text: each text and code item
        as a line, with its concept's name as a heading before a colon.

    Raises:
        UnreadableImage: If it is damaged, or holds no content tree (``"not_a_report"``).
    """
    dataset = parsing.parse(data).dataset
    content = elements.items(dataset, "ContentSequence")
    if not content:
        raise UnreadableImage(
            "The DICOM object holds no report: it has no Content Sequence (0040,A730).",
            reason="not_a_report",
        )
    return elements.text(dataset, "AccessionNumber"), "\n".join(_lines(dataset, 0))


def _lines(item: Dataset, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    for child in elements.items(item, "ContentSequence"):
        kind = elements.text(child, "ValueType").upper()
        name = _meaning(child, "ConceptNameCodeSequence")
        if kind == "CONTAINER":
            if name:
                yield f"{name}:"
        elif kind in ("TEXT", "CODE"):
            value = _long_text(child) if kind == "TEXT" else _meaning(child, "ConceptCodeSequence")
            yield f"{name}: {value}" if name else value
        yield from _lines(child, depth + 1)


def _meaning(item: Dataset, keyword: str) -> str:
    codes = elements.items(item, keyword)
    return elements.text(codes[0], "CodeMeaning") if codes else ""


def _long_text(item: Dataset) -> str:
    value = item.get("TextValue", "")
    return str(value)[: elements.MAX_VALUE_BYTES]
