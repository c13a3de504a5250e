"""Folder: DICOM files or images anywhere below a folder, with a labels table, as an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.scope import for_presentation
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import InputError, InvalidTable
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.plain_images import is_nifti, is_plain_image
from monai_cxr.tables import FACT_COLUMNS, KEY_COLUMNS, normalise_index, read_table

IMAGE_SUFFIXES = frozenset(
    {".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".gz", ""}
)
"""Suffixes that may be a film; PACS exports often have none. Content decides."""

_NAME_COLUMNS = ("path", "sop_uid", "Image Index", "image", "filename", "file")


@dataclass(frozen=True, slots=True)
class FolderSummary:
    """What indexing a folder found.

    Attributes:
        n_images: Films that are in the index.
        n_patients: Patients in the index.
        n_labelled: Films with at least one known label.
        skipped: (file name, reason code) of what was left out.
        n_labels_without_film: Rows of the labels table whose film is not here.
    """

    n_images: int
    n_patients: int
    n_labelled: int
    skipped: tuple[tuple[str, str], ...] = field(default=())
    n_labels_without_film: int = 0


def film_paths(directory: Path) -> Iterator[Path]:
    """Files below a folder that may be films, sorted, hidden ones left out."""
    for path in sorted(directory.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
        if path.is_file() and not hidden and path.suffix.lower() in IMAGE_SUFFIXES:
            yield path


def index_folder(
    directory: Path,
    labels: Path | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, FolderSummary]:
    """Index the films of a folder.

    Args:
        directory: Searched with all its subfolders.
        labels: A CSV or parquet with one row a film: a column that names it (``path`` relative
            to the folder, ``sop_uid``, ``Image Index``, ``image`` or ``filename``), one 0/1 column
            a finding, and ``patient_id`` where the films do not carry it.
        progress: Called with (done, total).

    Returns:
        The index and what was found; a file that is not a film is skipped with a reason, and so is
        a raw image (FOR PROCESSING) whose study shows the same view FOR PRESENTATION.

    Raises:
        InvalidTable: If the folder holds no film, or a film has no patient.
    """
    if not directory.is_dir():
        raise InvalidTable(
            f"Expected a folder, but '{directory.name}' is not one.", reason="missing_file"
        )
    paths = list(film_paths(directory))
    found: list[tuple[Path, dict[str, object], HeaderFacts]] = []
    skipped: list[tuple[str, str]] = []
    for done, path in enumerate(paths, start=1):
        try:
            found.append((path, *_row(path, directory)))
        except InputError as error:
            skipped.append((path.name, error.reason))
        if progress is not None:
            progress(done, len(paths))
    shown = {id(facts) for facts in for_presentation([facts for _, _, facts in found])}
    skipped += [(path.name, "for_processing") for path, _, facts in found if id(facts) not in shown]
    rows = [row for _, row, facts in found if id(facts) in shown]
    if not rows:
        raise InvalidTable(
            f"No film found in '{directory.name}' ({len(paths)} candidate files). Expected DICOM, "
            "PNG, JPEG, TIFF or NIfTI.",
            reason="no_images",
        )
    table = pd.DataFrame(rows)
    n_without = 0
    if labels is not None:
        table, n_without = _with_labels(table, read_table(labels))
    index = normalise_index(table.drop(columns="relative_path"))
    known = index.loc[:, list(FINDING_NAMES)].notna().any(axis=1)
    return index, FolderSummary(
        len(index), index["patient_id"].nunique(), int(known.sum()), tuple(skipped), n_without
    )


def _row(path: Path, directory: Path) -> tuple[dict[str, object], HeaderFacts]:
    relative = path.relative_to(directory).as_posix()
    data, name = read_bytes(path)
    if is_plain_image(data) or is_nifti(data):
        key = InstanceKey("", "", "", name)
        plain = {"patient_id": key.patient_id, "sop_uid": key.sop_uid}
        return {"path": str(path.resolve()), "relative_path": relative, **plain}, HeaderFacts(key)
    header = open_dicom(data).facts
    row: dict[str, object] = {
        "path": str(path.resolve()),
        "relative_path": relative,
        "patient_id": header.key.patient_id,
        "study_uid": header.key.study_uid,
        "series_uid": header.key.series_uid,
        "sop_uid": header.key.sop_uid or path.name,
        "view": header.view.value,
        "age": header.age_years,
        "sex": header.sex,
        "manufacturer": header.manufacturer,
    }
    return row, header


def _with_labels(table: pd.DataFrame, labels: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The films with their labels, and how many rows of the labels have no film."""
    name = next((column for column in _NAME_COLUMNS if column in labels.columns), None)
    if name is None:
        raise InvalidTable(
            f"The labels name no film. Expected one of the columns {', '.join(_NAME_COLUMNS)}, but "
            f"got: {', '.join(map(str, labels.columns[:10]))}.",
            reason="missing_columns",
        )
    renamed = {
        column: FINDINGS[column].name for column in map(str, labels.columns) if column in FINDINGS
    }
    labels = labels.rename(columns={**renamed, "Patient ID": "patient_id"})
    labels = labels.assign(**{name: labels[name].astype(str)})
    if labels[name].duplicated().any():
        raise InvalidTable(
            f"The labels list {int(labels[name].duplicated().sum())} films more than once.",
            reason="duplicated_images",
        )
    key = "relative_path" if name == "path" else "sop_uid"
    wanted = [
        column
        for column in (*KEY_COLUMNS, *FACT_COLUMNS, "split", *FINDING_NAMES)
        if column in labels.columns and column != name
    ]
    merged = table.merge(
        labels[[name, *wanted]], how="left", left_on=key, right_on=name, suffixes=("", "_label")
    )
    matched = int(merged[key].isin(labels[name]).sum())
    if matched == 0:
        raise InvalidTable(
            f"None of the {len(labels)} labelled films is in the folder ({len(table)} films). "
            f"Expected column '{name}' to hold {_expected(key)}.",
            reason="labels_do_not_match",
        )
    return _prefer_labels(merged, wanted), len(labels) - matched


def _expected(key: str) -> str:
    return (
        "paths relative to the folder" if key == "relative_path" else "SOP Instance UIDs or names"
    )


def _prefer_labels(merged: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    for column in columns:
        given = f"{column}_label"
        if given in merged.columns:
            own = merged[column]
            merged[column] = merged[given].where(merged[given].notna(), own)
            merged = merged.drop(columns=given)
    return merged
