"""Image names: matching images of two tables, and patients that names give away."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
        table: With one of :data:`~monai_cxr.evaluation.predictions.column_names.IMAGE_COLUMNS`.
        what: What the table holds, for messages.

    Raises:
        InvalidTable: If there is no such column, or an image is repeated or has no name.
    """
    values = _names_in(table, _image_columns(table, what)[0])
    if (values == "").any():
        raise InvalidTable(
            f"{int((values == '').sum())} of the {what} name no image.", reason="missing_images"
        )
    files = values.str.rsplit("/", n=1).str[-1]
    repeated = values[values.duplicated()]
    if len(repeated):
        raise InvalidTable(
            f"The {what} list {len(repeated)} images more than once, the first is "
            f"'{files[repeated.index[0]]}'. Expected each image once: average or drop the repeats.",
            reason="duplicated_images",
        )
    return (values if files.duplicated().any() else files).to_numpy(dtype=np.str_)


def matched_rows(
    predictions: pd.DataFrame, labels: pd.DataFrame
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the same images in two tables, found by whichever name both have.

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
    known = [pd.Index(names) for names in _forms(labels, "labels")]
    best, matched = np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    for names in _forms(predictions, "predictions"):
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


def _forms(table: pd.DataFrame, what: str) -> Iterator[Names]:
    """Names of the images, from the most to the least exact, as long as they tell them apart."""
    columns = _image_columns(table, what)
    for shorten in (str, _file_of, _stem_of):
        for column in columns:
            names = _names_in(table, column)
            names = names if shorten is str else names.map(shorten)
            if not names.duplicated().any() and not (names == "").any():
                yield names.to_numpy(dtype=np.str_)


def _file_of(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _stem_of(name: str) -> str:
    return _SUFFIX.sub("", _file_of(name))


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
