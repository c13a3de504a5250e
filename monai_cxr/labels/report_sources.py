"""Report sources: tables, text files, Open-i XML, HL7 v2 messages and DICOM SR, as (id, text)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from monai_cxr.dicom.results.document_text import document_text
from monai_cxr.errors import InvalidTable, UnreadableImage
from monai_cxr.labels.hl7_reports import is_hl7, reports_of
from monai_cxr.picture.bounds import MAX_FILE_BYTES

_TABLES = frozenset({".csv", ".tsv", ".parquet"})
_TEXT_COLUMNS = (
    *("report", "text", "report_text", "findings_impression", "impression", "befund"),
    "report_impression",
)
_ID_COLUMNS = (
    *("id", "study_id", "report_id", "accession_number", "accession", "study_uid"),
    *("studyid", "reportid", "accessionnumber", "studyinstanceuid", "sop_uid", "image index"),
)
_FACT_COLUMNS = ("patient_id", "study_uid", "status", "observed")


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """One report.

    Attributes:
        id: What names it: a table's id, a file's name, or an accession number.
        text: What it says; ``""`` when it is empty.
        problem: Why there is no text, as a stable code; ``""`` where there is.
        patient_id: Of HL7, or a table's column ``patient_id``; ``""`` where it is not stated.
        study_uid: Study Instance UID, or ``""``.
        status: ``"F"`` final, ``"C"`` corrected, ``"P"`` preliminary, ``"X"`` withdrawn, ``""`` not
            stated: of HL7, or a table's column ``status``.
        observed: When it was made, digits ``YYYYMMDDHHMMSS`` as far as given: of HL7, or a table's
            column ``observed``.
    """

    id: str
    text: str
    problem: str = ""
    patient_id: str = ""
    study_uid: str = ""
    status: str = ""
    observed: str = ""


def read_reports(source: Path, *, text: str = "", id_column: str = "") -> Iterator[Report]:
    """Read reports from a file or a folder.

    Args:
        source: A CSV, TSV or parquet file; a folder, searched with its subfolders for text files,
            Open-i XML, HL7 v2 messages and DICOM SR; or one such file.
        text: Column of a table that holds the report; found by its name when empty.
        id_column: Column that names it; likewise.

    Yields:
        The reports, in the order of the table or of the sorted file names. A file that holds no
        report is passed on with its problem, never left out.

    Raises:
        InvalidTable: If the source does not exist, or a table has no such column.
    """
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
            if path.is_file() and not hidden:
                name = path.relative_to(source).with_suffix("").as_posix()
                yield from _file_reports(path, name)
    elif not source.is_file():
        raise _missing(source)
    elif source.suffix.lower() in _TABLES:
        yield from _table_reports(source, text, id_column)
    else:
        yield from _file_reports(source, source.stem)


def decoded(data: bytes) -> str:
    """Text of bytes whose lines may be of different encodings: UTF-8, else Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "\n".join(_line(line) for line in data.split(b"\n"))


def _line(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


def _table_reports(path: Path, text: str, id_column: str) -> Iterator[Report]:
    table = read_text_table(path)
    text = _column(table, text, _TEXT_COLUMNS, "--text", path)
    id_column = _column(table, id_column, _ID_COLUMNS, "--id", path)
    facts = [name for name in _FACT_COLUMNS if name in table and name != id_column]
    for row in table.to_dict("records"):
        values = {name: "" if pd.isna(row[name]) else str(row[name]) for name in row}
        shown, key = values[text], values[id_column].strip()
        stated = {name: values[name].strip() for name in facts}
        yield Report(key, shown, "" if shown.strip() else "empty", **stated)


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a table whose cells stay text: an id keeps its leading zeros.

    Raises:
        InvalidTable: If it does not exist or cannot be parsed.
    """
    from io import StringIO

    if not path.is_file():
        raise _missing(path)
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        content = decoded(path.read_bytes())
        first = content.partition("\n")[0]
        separator = max(",;\t", key=first.count)
        return pd.read_csv(
            StringIO(content), sep=separator, dtype=str, keep_default_na=False, na_values=[""]
        )
    except (ValueError, OSError) as error:  # pandas' and Arrow's own are kinds of them
        raise InvalidTable(
            f"'{path.name}' is not a table that can be parsed: {error}.", reason="damaged_table"
        ) from None


def _missing(source: Path) -> InvalidTable:
    return InvalidTable(f"The source '{source.name}' does not exist.", reason="missing_file")


def _column(
    table: pd.DataFrame, asked: str, usual: tuple[str, ...], option: str, path: Path
) -> str:
    if asked:
        if asked in table:
            return asked
        raise InvalidTable(
            f"'{path.name}' has no column '{asked}'; it has {', '.join(map(str, table.columns))}.",
            reason="missing_column",
        )
    found = [name for name in table if str(name).strip().casefold().replace(" ", "_") in usual]
    found = found or [name for name in table if str(name).strip().casefold() in usual]
    if len(found) != 1:
        raise InvalidTable(
            f"'{path.name}' has {'several possible columns' if found else 'no usual column'} for "
            f"this; name one with {option}. It has {', '.join(map(str, table.columns))}.",
            reason="missing_column",
        )
    return str(found[0])


def _file_reports(path: Path, name: str) -> Iterator[Report]:
    if path.stat().st_size > MAX_FILE_BYTES:
        yield Report(name, "", "too_large")
        return
    data = path.read_bytes()
    kind = next((read for test, read in _KINDS if test(path, data)), _plain)
    yield from kind(data, name)


def _plain(data: bytes, name: str) -> Iterator[Report]:
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield Report(name, "", "not_text")
        return
    text = decoded(data)
    yield Report(name, text, "" if text.strip() else "empty")


def _openi(data: bytes, name: str) -> Iterator[Report]:
    """Open-i: the sections of ``AbstractText``, each with its label as a heading."""
    if b"<!ENTITY" in data or b"<!DOCTYPE" in data:
        yield Report(name, "", "damaged")  # no report needs one; expansions can be endless
        return
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError:
        yield Report(name, "", "damaged")
        return
    uid = root.find("uId")
    parts = [f"{part.get('Label', '')}: {part.text or ''}" for part in root.iter("AbstractText")]
    text = "\n".join(parts) if any(part.partition(": ")[2].strip() for part in parts) else ""
    key = uid.get("id", name) if uid is not None else name
    yield Report(key, text, "" if text else "empty")


def _structured(data: bytes, name: str) -> Iterator[Report]:
    try:
        accession, text = document_text(data)
    except UnreadableImage:
        yield Report(name, "", "damaged")
        return
    yield Report(accession or name, text, "" if text.strip() else "empty")


def hl7_reports(data: bytes, name: str = "") -> Iterator[Report]:
    """Reports of HL7 v2 messages.

    Args:
        data: A file or one message.
        name: Instead of an accession number that is absent.
    """
    for place, report in enumerate(reports_of(decoded(data))):
        key = report.accession_number or (f"{name}:{place + 1}" if place else name)
        yield Report(
            key,
            report.text,
            "" if report.text.strip() else "empty",
            patient_id=report.patient_id,
            study_uid=report.study_uid,
            status=report.status,
            observed=report.observed,
        )


_KINDS: tuple[
    tuple[Callable[[Path, bytes], bool], Callable[[bytes, str], Iterator[Report]]], ...
] = (
    (lambda path, data: data[128:132] == b"DICM", _structured),
    (lambda path, data: is_hl7(data), hl7_reports),
    (lambda path, data: data.lstrip()[:5] == b"<?xml" or path.suffix.lower() == ".xml", _openi),
)
