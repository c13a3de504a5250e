"""Folder: DICOM files or images anywhere below a folder, with a labels table, as an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from monai_cxr.data.folder_labels import with_labels
from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.scope import for_presentation
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import InputError, InvalidTable
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.label_policy import LabelPolicy
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.plain_images import is_nifti, is_plain_image
from monai_cxr.tables import INDEX_COLUMNS, normalise_index, read_table

IMAGE_SUFFIXES = frozenset(
    {".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".gz", ""}
)
"""Suffixes that may be a film; PACS exports often have none. Content decides."""


@dataclass(frozen=True, slots=True)
class FolderSummary:
    """What indexing a folder found.

    Attributes:
        n_images: Films that are in the index.
        n_patients: Patients in the index.
        n_labelled: Films with at least one known label.
        skipped: (file name, reason code) of what was left out.
        n_labels_without_film: Rows of the labels table whose film is not here.
        own_labels: Label columns kept beyond the 14 findings.
        columns_left_out: Columns of the labels table that hold neither labels nor known facts.
    """

    n_images: int
    n_patients: int
    n_labelled: int
    skipped: tuple[tuple[str, str], ...] = field(default=())
    n_labels_without_film: int = 0
    own_labels: tuple[str, ...] = ()
    columns_left_out: tuple[str, ...] = ()


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
    policy: LabelPolicy | None = None,
    one_image_a_patient: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, FolderSummary]:
    """Index the films of a folder.

    Args:
        directory: Searched with all its subfolders.
        labels: A CSV or parquet with one row a film: a column that names it, in any spelling that
            :func:`monai_cxr.data.folder_labels.with_labels` knows; one 0/1 column a finding, also
            of names of one's own; and the patient where the films do not carry it.
        policy: What -1 and blank count as in the labels; None refuses -1.
        one_image_a_patient: State that no patient has two films, so that none need be named.
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
    # Pictures have no UID: where file names repeat, the path below the folder is the identity.
    repeated = table["sop_uid"].duplicated(keep=False) & ~table["sop_uid"].str.fullmatch(r"[\d.]+")
    table["sop_uid"] = table["sop_uid"].where(~repeated, table["relative_path"])
    n_without = 0
    dropped: tuple[str, ...] = ()
    if labels is not None:
        table, n_without, dropped = with_labels(table, read_table(labels))
    if one_image_a_patient:
        table["patient_id"] = table["sop_uid"]
    index = normalise_index(table.drop(columns="relative_path"), policy=policy)
    findings = index.columns[len(INDEX_COLUMNS) :]
    return index, FolderSummary(
        n_images=len(index),
        n_patients=index["patient_id"].nunique(),
        n_labelled=int(index[findings].notna().any(axis=1).sum()),
        skipped=tuple(skipped),
        n_labels_without_film=n_without,
        own_labels=tuple(findings[len(FINDING_NAMES) :]),
        columns_left_out=dropped,
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
