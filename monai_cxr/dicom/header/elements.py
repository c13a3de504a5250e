"""Elements: tolerant access to a header; a malformed value reads as absent, never as an error."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import Tag

from monai_cxr.dicom.header.characters import is_plain, readings
from monai_cxr.picture import bounds

MALFORMED: tuple[type[Exception], ...] = (
    *bounds.MALFORMED,
    BytesLengthException,
    InvalidDicomError,
)
"""What pydicom and its decoders raise on malformed bytes. Values are converted lazily, so any
access to an element can raise any of them."""

MAX_VALUE_BYTES = 65_536
"""Longest text or list of numbers that is converted; conversion takes microseconds a value."""

MAX_TABLE_BYTES = 2**20
"""Longest sequence or table that is converted."""


_tag_of = cache(Tag)


def data_set(**attributes: Any) -> Dataset:
    """A data set of these elements, by their keywords."""
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def _value(dataset: Dataset, keyword: str | int, limit: int = MAX_VALUE_BYTES) -> Any:
    """Value of an element, converted; None when absent or longer than the limit in bytes."""
    tag = _tag_of(keyword)
    if tag not in dataset:
        return None
    raw: Any = dataset.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.value is not None and len(raw.value) > limit:
        return None
    return dataset[tag].value


def has(dataset: Dataset, keyword: str) -> bool:
    """Whether an element is present, whatever its value."""
    return keyword in dataset


def text(dataset: Dataset, keyword: str) -> str:
    """First value of an element as stripped text without control characters.

    Args:
        dataset: A header.
        keyword: Keyword of the element (PS3.6).

    Returns:
        At most 64 characters, the longest of a short string VR in PS3.5 6.2; ``""`` when absent
        or malformed.
    """
    try:
        value = _value(dataset, keyword)
        if value is None:
            return ""
        if not isinstance(value, str | bytes) and isinstance(value, Sequence):
            value = value[0] if len(value) else ""
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        cleaned = "".join(c for c in str(value) if c.isprintable()).strip()
    except MALFORMED:
        return ""
    return cleaned[:64]


def identifier(dataset: Dataset, keyword: str) -> str:
    r"""Value of an element that says who or what something is: whole, and never cleaned.

    Args:
        dataset: A header.
        keyword: Keyword of the element, for example ``"StudyInstanceUID"`` or ``"PatientID"``.

    Returns:
        The value without its padding; several values stay joined by backslashes. A control
        character is written as ``\x00``, so that two values are never taken for one. ``""`` when
        absent or malformed.
    """
    try:
        value = _value(dataset, keyword)
        if value is None:
            return ""
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        elif not isinstance(value, str) and isinstance(value, Sequence):
            value = "\\".join(str(v) for v in value)
        text = str(value).strip(" \0")
    except MALFORMED:
        return ""
    return "".join(f"\\x{ord(c):02x}" if unicodedata.category(c) == "Cc" else c for c in text)


def words_to_match(dataset: Dataset, keyword: str) -> str:
    """Everything that a text element may say, for matching against known words, never for showing.

    Args:
        dataset: A header, or an item of one.
        keyword: Keyword of the element.

    Returns:
        Its values, and where its character set is not certain all their readings, one after the
        other between bars; at most 2048 characters.
    """
    try:
        tag = _tag_of(keyword)
        raw: Any = dataset.get_item(tag) if tag in dataset else None
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
            value = raw.value[:MAX_VALUE_BYTES]
            names = () if is_plain(value) else texts(dataset, "SpecificCharacterSet")
            found: Sequence[str] = readings(value, names)
        else:
            value = _value(dataset, keyword)
            is_many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
            found = [str(v) for v in (value if is_many else [value]) if v is not None]
    except MALFORMED:
        return ""
    text = " | ".join(found).replace("\\", " | ")
    return "".join(c for c in text if c.isprintable()).strip()[:2048]


def without_accents(text: str) -> str:
    """Text with its letters bare: "Tórax" is "Torax"."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", bare)


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """All values of an element as stripped text; empty when absent or malformed."""
    try:
        value = _value(dataset, keyword)
        if value is None:
            return ()
        values = [value] if isinstance(value, str | bytes) else list(value)
        return tuple(str(v).strip()[:64] for v in values[:16])
    except MALFORMED:
        return ()


def numbers(dataset: Dataset, keyword: str | int) -> tuple[float, ...]:
    """All values of a numeric element; empty when any is absent, malformed or not finite."""
    try:
        value = _value(dataset, keyword)
        if value is None or (isinstance(value, str | bytes) and not value):
            return ()
        is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        converted = tuple(float(v) for v in (list(value)[:64] if is_list else [value]))
    except MALFORMED:
        return ()
    return converted if all(math.isfinite(v) for v in converted) else ()


def decimals(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """All values of a decimal string, each on its own; NaN where one is malformed or not finite.

    A decimal comma is read as a point: some makers write it.
    """
    try:
        raw: Any = dataset.get_item(keyword) if keyword in dataset else None
        value = raw.value if isinstance(raw, RawDataElement) else _value(dataset, keyword)
        if value is None or (isinstance(value, str | bytes) and not value.strip()):
            return ()
        if isinstance(value, bytes):
            value = value[:MAX_VALUE_BYTES].decode("latin-1").split("\\")
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return tuple(_decimal(str(v)) for v in (list(value)[:64] if is_list else [value]))
    except MALFORMED:
        return ()


def _decimal(text: str) -> float:
    try:
        value = float(text.strip(" \0").replace(",", "."))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def number(dataset: Dataset, keyword: str | int) -> float | None:
    """First value of a numeric element, or None."""
    values = numbers(dataset, keyword)
    return values[0] if values else None


def integer(dataset: Dataset, keyword: str | int) -> int | None:
    """First value of a numeric element when it is a whole number, or None."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value == int(value) else None


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Items of a sequence; empty when absent or malformed."""
    try:
        value = _value(dataset, keyword, MAX_TABLE_BYTES)
        return tuple(item for item in value if isinstance(item, Dataset))[:64] if value else ()
    except MALFORMED:
        return ()


def words(dataset: Dataset, keyword: str, *, little_endian: bool) -> NDArray[np.uint16] | None:
    """Value of an OW, US or SS element as unsigned 16-bit words.

    Args:
        dataset: A header or a sequence item.
        keyword: Keyword of the element, for example ``"LUTData"``.
        little_endian: Byte order of the file, for values that are still bytes.

    Returns:
        uint16 array of shape (n,), or None when absent or malformed.
    """
    try:
        value = _value(dataset, keyword, MAX_TABLE_BYTES)
        if value is None:
            return None
        if isinstance(value, bytes | bytearray):
            even = bytes(value[: len(value) // 2 * 2])
            array = np.frombuffer(even, dtype="<u2" if little_endian else ">u2")
        else:
            array = np.atleast_1d(np.asarray(value, dtype=np.int64))
    except MALFORMED:
        return None
    return array.astype(np.uint16) if array.size else None
