"""Folder: DICOM files or images anywhere below a folder, with a labels table, as an index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from monai_cxr.data.folder_labels import with_labels
from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.dicom.header.scope import for_presentation
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import InputError, InvalidTable, UnreadableImage
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.folders import is_path_text, path_text, require_folder
from monai_cxr.label_policy import LabelPolicy
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading import listing
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.film_readers import same_pixels
from monai_cxr.reading.listing import is_film
from monai_cxr.tables import INDEX_COLUMNS, normalise_index, read_table


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


def film_paths(directory: Path) -> list[Path]:
    """The films below a folder, sorted; bundles of every version list theirs by this name.

    Raises:
        InvalidTable: If there is no such folder, or it holds no film.
    """
    require_folder(directory, "a folder of films as dataset_dir")
    paths = sorted(listing.film_paths(directory))
    if not paths:
        raise InvalidTable(
            f"No film found in '{directory.name}'. Expected DICOM, PNG, JPEG, TIFF or NIfTI files.",
            reason="no_images",
        )
    return paths


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
        labels: A CSV or parquet with one row per film: a column that names it, in any spelling that
            :func:`monai_cxr.data.folder_labels.with_labels` knows; one 0/1 column per finding, also
            of names of one's own; and the patient where the films do not carry it.
        policy: What -1 and blank count as in the labels; None refuses -1.
        one_image_a_patient: State that no patient has two films, so that none need be named.
        progress: Called with (done, total).

    Returns:
        The index and what was found. A file that is not a film is skipped with a reason, and so are
        a raw image (FOR PROCESSING) whose study shows the same view FOR PRESENTATION, a second file
        of the same image (``duplicate``), a file whose name cannot be written down (``path_name``),
        and, beside films that have one, a film without a patient (``no_patient``).

    Raises:
        InvalidTable: If the folder holds no film, no film has a patient, or two files hold
            different pixels under one SOP Instance UID.
    """
    require_folder(directory, "a folder of films")
    skipped: list[tuple[str, str]] = []
    table = pd.DataFrame(_rows(directory, skipped, progress))
    # Pictures have no UID: where file names repeat, the path below the folder is the identity.
    repeated = table["sop_uid"].duplicated(keep=False) & ~table["sop_uid"].str.fullmatch(r"[\d.]+")
    table["sop_uid"] = table["sop_uid"].where(~repeated, table["relative_path"])
    n_without = 0
    dropped: tuple[str, ...] = ()
    if labels is not None:
        table, n_without, dropped = with_labels(table, read_table(labels))
    if one_image_a_patient:
        table["patient_id"] = table["sop_uid"]
    table = _with_patients(table, skipped)
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


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A film of the folder: where, under which name, what its row is, and what its header says."""

    path: Path
    name: str
    row: dict[str, object]
    facts: HeaderFacts


def _name(path: Path, directory: Path) -> str:
    return path_text(path.relative_to(directory).as_posix())


def _film(path: Path, directory: Path) -> _Found:
    data, name = read_bytes(path)
    if not is_path_text(path):
        raise UnreadableImage(
            "The file's name holds bytes that are not UTF-8, so no table can name it. Rename "
            "the file.",
            reason="path_name",
        )
    relative = _name(path, directory)
    where: dict[str, object] = {"path": str(path.resolve()), "relative_path": relative}
    if not is_dicom(data):
        if not is_film(data):
            raise UnreadableImage("The content is not that of a film.", reason="not_an_image")
        key = InstanceKey("", "", "", name)
        return _Found(
            path, relative, {**where, "patient_id": "", "sop_uid": name}, HeaderFacts(key)
        )
    dicom = open_dicom(data)
    facts = dicom.facts
    if dicom.parsed.pixels is None and not dicom.parsed.has_float_pixels:
        raise UnreadableImage("The file holds no pixels.", reason="no_pixels")
    row = {**where, **facts.film.columns, "sop_uid": facts.key.sop_uid or name}
    return _Found(path, relative, row, facts)


def _rows(
    directory: Path, skipped: list[tuple[str, str]], progress: Callable[[int, int], None] | None
) -> list[dict[str, object]]:
    """A row per image of a folder; what is left out is added to ``skipped``."""
    paths = sorted(listing.film_paths(directory))
    found: list[_Found] = []
    for done, path in enumerate(paths, start=1):
        try:
            found.append(_film(path, directory))
        except InputError as error:
            skipped.append((_name(path, directory), error.reason))
        if progress is not None:
            progress(done, len(paths))
    found = _each_once(found, skipped)
    shown = {id(facts) for facts in for_presentation([film.facts for film in found])}
    skipped += [(film.name, "for_processing") for film in found if id(film.facts) not in shown]
    if not shown:
        raise InvalidTable(
            f"No film found in '{directory.name}' ({len(paths)} candidate files). Expected DICOM, "
            "PNG, JPEG, TIFF or NIfTI.",
            reason="no_images",
        )
    return [film.row for film in found if id(film.facts) in shown]


def _each_once(found: list[_Found], skipped: list[tuple[str, str]]) -> list[_Found]:
    """Keep the first of several files of one image; pictures without a header have no UID.

    Raises:
        InvalidTable: ``"duplicated_images"`` if two files hold different pixels under one UID.
    """
    kept: dict[str, _Found] = {}
    once: list[_Found] = []
    for film in found:
        uid = film.facts.key.sop_uid if "study_uid" in film.row else ""
        first = kept.setdefault(uid, film) if uid else film
        if first is film:
            once.append(film)
        elif _is_same_image(first, film):
            skipped.append((f"{film.name} (the same image as {first.name})", "duplicate"))
        else:
            raise InvalidTable(
                f"'{first.name}' and '{film.name}' hold different images under one SOP Instance "
                "UID. Expected each image once: take one of them out.",
                reason="duplicated_images",
            )
    return once


def _is_same_image(first: _Found, second: _Found) -> bool:
    one, other = first.path.read_bytes(), second.path.read_bytes()
    return one == other or (
        is_dicom(one) and is_dicom(other) and same_pixels(first.path, second.path)
    )


def _with_patients(table: pd.DataFrame, skipped: list[tuple[str, str]]) -> pd.DataFrame:
    """Leave out films without a patient beside films that have one; splits are by patient."""
    is_nobody = table["patient_id"].fillna("").astype(str).str.strip() == ""
    if is_nobody.all() or not is_nobody.any():
        return table  # all or none: the index says so
    skipped += [(str(name), "no_patient") for name in table.loc[is_nobody, "relative_path"]]
    return table[~is_nobody].reset_index(drop=True)
