"""De-identified export: a folder of films becomes a folder that names nobody, and its index."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cxr.dicom.deidentified.deidentification import (
    DeidentificationPolicy,
    Deidentified,
    deidentify,
)
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import InputError, SettingsError, UnreadableImage
from monai_cxr.folders import files_below
from monai_cxr.picture.bounds import MAX_FILE_BYTES

INDEX_NAME = "index.csv"
_COLUMNS = ("path", "patient_id", "study_uid", "sop_uid", "modality", "view")


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export did.

    Attributes:
        n_written: Films in the export.
        n_patients: Pseudonyms among them.
        refused: Number of refused files by reason code.
        refused_numbers: For each reason, the places of these files in the sorted list of files,
            counted from 1; names of files may name patients.
    """

    n_written: int
    n_patients: int
    refused: Mapping[str, int]
    refused_numbers: Mapping[str, Sequence[int]]


def read_key(path: Path) -> bytes:
    """The project's key; if there is none, a new one is written that only its owner can read.

    Raises:
        SettingsError: If the file cannot be read, or is no key.
    """
    try:
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise SettingsError(f"The key file cannot be used: {error.strerror}.") from None
    except ValueError:
        raise SettingsError(
            "The key file holds no key. Expected hexadecimal digits, as written where there is "
            "no file yet."
        ) from None


def export(
    source: Path,
    out: Path,
    policy: DeidentificationPolicy,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ExportSummary:
    """De-identify a file, or every file of a folder.

    Args:
        source: A file or a folder.
        out: Folder to write ``<patient>/<study>/<image>.dcm`` and ``index.csv`` into. Repeating an
            export writes the same files again.
        policy: Key and choices.
        progress: Told (done, total).

    Returns:
        What was written, and what was refused for which reason.

    Raises:
        SettingsError: If the source does not exist, or the export lies within it.
    """
    if not source.exists():
        raise SettingsError("The source does not exist. Give a DICOM file or a folder.")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise SettingsError("The export must not lie within its source. Choose another --out.")
    files = sorted(files_below(source)) if source.is_dir() else [source]
    rows: dict[str, tuple[str, ...]] = {}
    refused: dict[str, list[int]] = {}
    for number, path in enumerate(files, start=1):
        try:
            made = deidentify(_read(path), policy)
            row = _write(out, made)
            rows[row[0]] = row
        except InputError as error:
            refused.setdefault(error.reason, []).append(number)
        if progress is not None:
            progress(number, len(files))
    _write_index(out, rows)
    counts = Counter({reason: len(numbers) for reason, numbers in refused.items()})
    return ExportSummary(len(rows), len({row[1] for row in rows.values()}), dict(counts), refused)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableImage("The file is larger than the limit.", reason="too_large")
        return path.read_bytes()
    except OSError:
        raise UnreadableImage("The file cannot be read.", reason="unreadable") from None


def _write(out: Path, made: Deidentified) -> tuple[str, ...]:
    instance = made.instance
    name = Path(made.patient) / instance.study_uid / f"{instance.sop_uid}.dcm"
    target = out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(instance.data)
    part.replace(target)
    facts = open_dicom(instance.data).facts
    return (
        name.as_posix(),
        made.patient,
        instance.study_uid,
        instance.sop_uid,
        facts.modality,
        facts.view.value,
    )


def _write_index(out: Path, rows: Mapping[str, tuple[str, ...]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows[name] for name in sorted(rows))
    out.mkdir(parents=True, exist_ok=True)
    part = out / f"{INDEX_NAME}.part"
    part.write_text(stream.getvalue(), encoding="utf-8")
    part.replace(out / INDEX_NAME)
