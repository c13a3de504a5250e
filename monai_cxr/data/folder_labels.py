"""Folder labels: a table of labels, ours or anybody's, laid beside the films of a folder."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.predictions.column_names import (
    FACT_ALIASES,
    IMAGE_COLUMNS,
    PATIENT_COLUMNS,
    columns_named,
    label_columns,
)
from monai_cxr.evaluation.predictions.image_names import image_identifiers, matched_rows
from monai_cxr.findings import FINDINGS
from monai_cxr.tables import KEY_COLUMNS, label_numbers, looks_like_labels

Rows = NDArray[np.intp]

_FACTS = {**FACT_ALIASES, "patient_id": PATIENT_COLUMNS, "split": ("split",)}


def with_labels(
    films: pd.DataFrame, labels: pd.DataFrame
) -> tuple[pd.DataFrame, int, tuple[str, ...]]:
    """The films with their labels and facts.

    Args:
        films: Rows with ``sop_uid``, ``relative_path`` below the folder, and what headers say.
        labels: A row per film: an image column in any spelling that ``evaluate`` takes, one 0/1
            column per finding, of any name, and facts such as the patient.

    Returns:
        The films, how many rows of the labels have no film here, and the columns of the labels that
        are neither labels nor known facts.

    Raises:
        InvalidTable: If no column names the films, a film is listed twice, none is here, or a known
            finding is not labelled in numbers.
    """
    rows, label_rows = _matched(films, labels)
    result = films.copy()
    used: set[str] = set(columns_named(labels, IMAGE_COLUMNS))
    for fact, spellings in _FACTS.items():
        column = next(iter(columns_named(labels, spellings)), None)
        if column is not None:
            used.add(column)
            result[fact] = _preferred(result, fact, labels[column], rows, label_rows)
    for key in KEY_COLUMNS[1:3]:
        if key in labels.columns:
            used.add(key)
            result[key] = _preferred(result, key, labels[key], rows, label_rows)
    dropped: list[str] = []
    for finding, column in label_columns(labels).items():
        if column in used:
            continue
        if finding in FINDINGS or looks_like_labels(labels[column]):
            values = np.full(len(films), np.nan)
            values[rows] = label_numbers(labels, [column])[label_rows, 0]
            result[finding] = values
            used.add(column)
        else:
            dropped.append(column)
    return result, len(labels) - len(label_rows), tuple(dropped)


def _matched(films: pd.DataFrame, labels: pd.DataFrame) -> tuple[Rows, Rows]:
    image_identifiers(labels, what="labels")
    names = pd.DataFrame({"path": films["relative_path"], "sop_uid": films["sop_uid"]})
    try:
        return matched_rows(names, labels)
    except InvalidTable as error:
        if error.reason != "no_overlap":
            raise
        column = columns_named(labels, IMAGE_COLUMNS)[0]
        raise InvalidTable(
            f"None of the {len(labels)} labelled films is in the folder ({len(films)} films). "
            f"Expected column '{column}' to hold paths below the folder, file names or SOP "
            "Instance UIDs.",
            reason="labels_do_not_match",
        ) from None


def _preferred(
    films: pd.DataFrame, name: str, given: pd.Series, rows: Rows, label_rows: Rows
) -> pd.Series:
    """A column as the labels state it, and as the film does where they are silent."""
    own = films[name] if name in films else pd.Series([None] * len(films), dtype=object)
    result = own.astype(object).reset_index(drop=True)
    stated = given.iloc[label_rows].to_numpy(dtype=object)
    known = pd.notna(stated) & (stated != "")
    result.iloc[rows[known]] = stated[known]
    return result
