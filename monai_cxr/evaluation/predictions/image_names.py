"""Image names: matching images of two tables, and patients that names give away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.predictions.column_names import IMAGE_COLUMNS, columns_named

Names = NDArray[np.str_]

_SUFFIX = re.compile(r"\.(?:dcm|dicom|png|jpe?g|tiff?|nii(?:\.gz)?)$", re.IGNORECASE)
_PATIENT_IN_NAME = (
    ("NIH", re.compile(r"(?:^|/)(\d{8})_\d{3}(?:\.\w+)?$")),
    ("CheXpert", re.compile(r"(?:^|/)(patient\d+)/")),
    ("MIMIC-CXR", re.compile(r"(?:^|/)(p\d{8})/s\d{8}/")),
)


def image_identifiers(table: pd.DataFrame, *, what: str) -> Names:
    """Identifiers of the images, str, shape (N,): file names, or paths where names repeat.

    Args:
        table: With one of :data:`~monai_cxr.evaluation.predictions.column_names.IMAGE_COLUMNS`;
            the first that tells the images apart is taken. UIDs must: an image whose UID repeats is
            the same image, whatever its path.
        what: What the table holds, for messages.

    Raises:
        InvalidTable: If there is no such column, or an image is repeated or has no name.
    """
    first: InvalidTable | None = None
    for column in _image_columns(table, what):
        values = _names_in(table, column)
        if (values == "").any():
            first = first or InvalidTable(
                f"{int((values == '').sum())} of the {what} name no image.", reason="missing_images"
            )
            continue
        files = values.str.rsplit("/", n=1).str[-1]
        repeated = values[values.duplicated()]
        if not len(repeated):
            return (values if files.duplicated().any() else files).to_numpy(dtype=np.str_)
        first = first or InvalidTable(
            f"The {what} list {len(repeated)} images more than once, the first is "
            f"'{files[repeated.index[0]]}'. Expected each image once: average or drop the repeats.",
            reason="duplicated_images",
        )
        if repeated.str.fullmatch(r"[\d.]+").any():
            break
    assert first is not None
    raise first


def matched_rows(
    predictions: pd.DataFrame, labels: pd.DataFrame
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the same images in two tables, by the full name or else by the longest unique tail.

    Tables name images by UID, by file name or by a path that begins in somebody's own folder, with
    a suffix or without. Of all columns and tails, those count that tell every image of their table
    apart, and of these the ones that find most images.

    Args:
        predictions: N rows.
        labels: M rows.

    Returns:
        Row numbers of ``predictions``, increasing, and of ``labels``; both shape (K,).

    Raises:
        InvalidTable: If they share no image, or an image column is missing or repeats.
    """
    images, keys = (
        image_identifiers(table, what=what)
        for table, what in ((predictions, "predictions"), (labels, "labels"))
    )
    best, matched = np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    mine, theirs = (
        [_names_in(table, column) for column in _image_columns(table, what)]
        for table, what in ((predictions, "predictions"), (labels, "labels"))
    )
    for shorten in _shortenings((*mine, *theirs)):
        known = [pd.Index(names) for names in _telling(theirs, shorten)]
        for names in _telling(mine, shorten):
            for index in known:
                found = index.get_indexer(pd.Index(names))
                rows = np.flatnonzero(found >= 0)
                if len(rows) > len(best):
                    best, matched = rows, found[rows]
                if len(best) == len(predictions):
                    return best, matched
    if len(best):
        return best, matched
    raise InvalidTable(
        f"None of the {len(images)} predicted images is in the labels (predicted: "
        f"'{images[0] if len(images) else 'nothing'}', labelled: "
        f"'{keys[0] if len(keys) else 'nothing'}'). Give the labels of these images, keyed by the "
        "same name.",
        reason="no_overlap",
    )


def numbering_of(names: Iterable[str]) -> str:
    """Whose scheme every name follows: NIH, CheXpert or MIMIC-CXR; empty where some follow none."""
    found = patients_in_names(pd.DataFrame({"path": list(names)}))
    return "" if found is None else found[1]


def patients_in_names(table: pd.DataFrame) -> tuple[Names, str] | None:
    """Patients that every image's name holds, as NIH, CheXpert and MIMIC-CXR name their files.

    Returns:
        str, shape (N,), and whose scheme it is; None where some name holds no patient.
    """
    for column in columns_named(table, IMAGE_COLUMNS):
        values = _names_in(table, column)
        for scheme, pattern in _PATIENT_IN_NAME:
            patients = values.str.extract(pattern, expand=False)
            if len(patients) and not patients.isna().any():
                return patients.to_numpy(dtype=np.str_), scheme
    return None


def _shortenings(columns: Iterable[pd.Series[str]]) -> Iterator[Callable[[str], str]]:
    """From the full name over ever shorter tails to the file's name without its suffix."""
    depth = max((int(names.str.count("/").max()) for names in columns if len(names)), default=0)
    yield str
    for bare in (False, True):
        for parts in range(depth + 1, 0, -1):
            yield partial(_tail, parts=parts, bare=bare)


def _tail(name: str, *, parts: int, bare: bool) -> str:
    tail = "/".join(name.rsplit("/", parts)[-parts:])
    return _SUFFIX.sub("", tail) if bare else tail


def _telling(
    columns: Iterable[pd.Series[str]], shorten: Callable[[str], str]
) -> Iterator[pd.Series[str]]:
    """The columns, shortened, that still tell the images apart."""
    for names in columns:
        shortened = names if shorten is str else names.map(shorten)
        if not shortened.duplicated().any() and not (shortened == "").any():
            yield shortened


def _image_columns(table: pd.DataFrame, what: str) -> list[str]:
    columns = columns_named(table, IMAGE_COLUMNS)
    if not columns:
        raise InvalidTable(
            f"The {what} have no image column. Expected one of {', '.join(IMAGE_COLUMNS)}, but got "
            f"{', '.join(map(str, list(table.columns)[:8]))}.",
            reason="missing_columns",
        )
    return columns


def _names_in(table: pd.DataFrame, column: str) -> pd.Series[str]:
    text: pd.Series[str] = table[column].astype(object).where(table[column].notna(), "").astype(str)
    return text.str.strip().str.replace("\\", "/", regex=False).reset_index(drop=True)
