"""Tables: the index and the predictions, their columns, checks, and safe reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from monai_cxr.atomic import write_atomically
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.label_policy import LabelPolicy
from monai_cxr.radiograph import QUALITY_MEASURES, FilmFacts

KEY_COLUMNS = ("patient_id", "study_uid", "series_uid", "sop_uid")
"""Identity of an image."""

FACT_COLUMNS = ("view", "age", "sex", "follow_up", "manufacturer")
"""What subgroups are made of; each may be empty."""

INDEX_COLUMNS = ("path", *KEY_COLUMNS, *FACT_COLUMNS, "split")
"""Columns of an index, before one label column per finding (0, 1 or NaN = unknown)."""

SPLITS = ("train", "val", "test")

CORRECTED_BY = "corrected_by"
"""Optional column of both tables: the overlay that a film's labels were corrected by, or empty."""

_GROUP_BYTES = 4 << 20
"""Of a row group at least, but for the last: some 4,700 predictions, or 840 with embeddings."""


def without_formula(text: str) -> str:
    """A text that no spreadsheet runs: one that begins like a formula gets an apostrophe."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def _with_formula(text: str) -> str:
    """Undoes :func:`without_formula`."""
    return text[1:] if text[:1] == "'" and without_formula(text[1:]) == text else text


_FROM_FILMS = (*KEY_COLUMNS, "manufacturer")
"""Text columns that repeat what a film's header says, which anybody may have written."""


def _for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """The table with :func:`without_formula` on what films say; :func:`read_table` undoes it."""
    return _changed(table, without_formula)


def _changed(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with a change of the texts that films said."""
    said = [name for name in _FROM_FILMS if name in table and not is_numeric_dtype(table[name])]
    return table.assign(
        **{name: [change(v) if isinstance(v, str) else v for v in table[name]] for name in said}
    )


def label_column(finding: str) -> str:
    """Name of a finding's label in the predictions table."""
    return f"label_{finding}"


def logit_column(finding: str) -> str:
    """Name of a finding's raw network output in the predictions table."""
    return f"logit_{finding}"


def probability_column(finding: str) -> str:
    """Name of a finding's probability in the predictions table."""
    return f"probability_{finding}"


def quality_column(measure: str) -> str:
    """Name of a quality measure in the predictions table."""
    return f"quality_{measure}"


QUALITY_COLUMNS = tuple(quality_column(measure) for measure in QUALITY_MEASURES)
"""How the picture was, beside what the model said of it; for the report and for drift."""


def fact_values(facts: FilmFacts) -> dict[str, str | float | None]:
    """A film's facts as columns; a measure of the picture is NaN where it was not taken."""
    return {
        **facts.columns,
        "flags": ";".join(facts.flags),
        **{quality_column(name): facts.quality.get(name, np.nan) for name in QUALITY_MEASURES},
    }


EMBEDDING_COLUMN = "embedding"
"""Column of the predictions table with a film's pooled features, float32 of shape (C,)."""


def disagreement_column(finding: str) -> str:
    """Column of how far the members of an ensemble are from each other, in log odds."""
    return f"disagreement_{finding}"


def cam_column(finding: str) -> str:
    """Name of a finding's class activation map, float32 of shape (r * k,), row by row."""
    return f"cam_{finding}"


def normalise_index(
    table: pd.DataFrame, findings: Sequence[str] | None = None, *, policy: LabelPolicy | None = None
) -> pd.DataFrame:
    """Bring an index to its columns and dtypes.

    Args:
        table: At least ``path``, ``patient_id`` and ``sop_uid``; others are filled when absent.
        findings: Label columns to keep; absent ones become unknown. None keeps the 14 findings and
            every label column of one's own.
        policy: What -1 and blank count as; None refuses -1, and leaves blank unknown.

    Returns:
        A table of :data:`INDEX_COLUMNS` and one float label column per finding. The policy stays
        with it, as ``attrs["label_policy"]``, which parquet keeps.

    Raises:
        InvalidTable: If a required column is missing, a patient is unknown, a key is repeated,
            or a label is neither 0, 1 nor empty.
    """
    require_columns(table, ("path", "patient_id", "sop_uid"), what="index")
    if findings is None:
        findings = (*FINDING_NAMES, *own_label_columns(table))
    columns: dict[str, object] = {}
    for name in INDEX_COLUMNS:
        if name in ("age", "follow_up"):
            columns[name] = (
                pd.to_numeric(table[name], errors="coerce").astype("float64")
                if name in table
                else np.full(len(table), np.nan)
            )
        else:
            source = table[name] if name in table else pd.Series("", index=table.index)
            columns[name] = source.fillna("").astype(str)
    for finding in findings:
        given = finding in table
        values = label_numbers(table, [finding])[:, 0] if given else np.full(len(table), np.nan)
        columns[finding] = policy.apply(values) if given and policy is not None else values
    if CORRECTED_BY in table:
        columns[CORRECTED_BY] = table[CORRECTED_BY].fillna("").astype(str)
    result = pd.DataFrame(columns, index=table.index).reset_index(drop=True)
    _check_index(result, findings)
    if policy is not None or "label_policy" in table.attrs:
        result.attrs["label_policy"] = (
            table.attrs["label_policy"] if policy is None else policy.to_json()
        )
    return result


def own_label_columns(table: pd.DataFrame) -> tuple[str, ...]:
    """Columns of an index beyond the known ones that hold labels: 0, 1, -1 or nothing."""
    known = {*INDEX_COLUMNS, *FINDING_NAMES}
    return tuple(
        str(name) for name in table.columns if name not in known and looks_like_labels(table[name])
    )


def columns_left_out(table: pd.DataFrame) -> tuple[str, ...]:
    """Columns of an index that :func:`normalise_index` does not keep: they hold no labels."""
    kept = {*INDEX_COLUMNS, *FINDING_NAMES, *own_label_columns(table)}
    return tuple(str(name) for name in table.columns if name not in kept)


def looks_like_labels(column: pd.Series) -> bool:
    """Whether a column has only 0, 1, -1 (uncertain) and blanks."""
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        return False
    known = values[~np.isnan(values)]
    return len(known) > 0 and bool(np.isin(known, (-1.0, 0.0, 1.0)).all())


def label_numbers(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Label or score columns as float64, shape (N, len(columns)); empty cells are NaN.

    Raises:
        InvalidTable: Naming a column that holds text.
    """
    values = np.empty((len(table), len(columns)))
    for i, column in enumerate(columns):
        try:
            values[:, i] = table[column].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise InvalidTable(
                f"Column '{column}' holds text. Expected numbers, with a point for the decimals; "
                "labels as 1, 0 or empty.",
                reason="not_numbers",
            ) from error
    return values


def _check_index(table: pd.DataFrame, findings: Sequence[str]) -> None:
    n_without = int((table["patient_id"] == "").sum())
    if n_without:
        raise InvalidTable(
            f"{n_without} of {len(table)} rows have no patient_id. Splits and intervals are by "
            "patient: give every image its patient.",
            reason="no_patients",
        )
    repeated = table["sop_uid"][table["sop_uid"].duplicated()]
    if len(repeated):
        raise InvalidTable(
            f"{len(repeated)} images are listed more than once, the first is "
            f"'{repeated.iloc[0]}'. Expected each sop_uid once.",
            reason="duplicated_images",
        )
    labels = table.loc[:, list(findings)].to_numpy(dtype=np.float64)
    wrong = ~(np.isnan(labels) | (labels == 0.0) | (labels == 1.0))
    if wrong.any():
        raise InvalidTable(
            f"{int(wrong.sum())} labels are neither 0, 1 nor empty (the first is "
            f"{labels[wrong][0]:g}). Map uncertain labels by a named policy first.",
            reason="bad_labels",
        )


def require_columns(table: pd.DataFrame, names: Iterable[str], *, what: str) -> None:
    """Refuse a table that lacks columns.

    Raises:
        InvalidTable: Naming the absent columns and those present.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        present = ", ".join(map(str, list(table.columns)[:12]))
        raise InvalidTable(
            f"The {what} lacks the column(s) {', '.join(missing)}. It has: {present}.",
            reason="missing_columns",
        )


def columns_array(table: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Columns as one float64 array of shape (rows, len(names))."""
    return table.loc[:, list(names)].to_numpy(dtype=np.float64)


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a parquet or CSV table; keys and codes stay text.

    Raises:
        InvalidTable: If the file is absent, empty or not a table.
        SettingsError: If the suffix is none of ``.parquet``, ``.csv`` and ``.tsv``.
    """
    path = Path(path)
    kind = path.suffix.casefold()
    if not path.is_file():
        raise InvalidTable(
            f"Expected a table, but '{path.name}' does not exist here.", reason="missing_file"
        )
    text = dict.fromkeys((*KEY_COLUMNS, "Image Index", "image", "Patient ID"), str)
    like: dict[str, Any] = {"dtype": text, "low_memory": False}
    try:
        if kind == ".parquet":
            return _named(pd.read_parquet(path))
        if kind in (".csv", ".tsv", ".gz"):
            table = pd.read_csv(path, sep="\t" if kind == ".tsv" else ",", **like)
            only = str(table.columns[0]) if len(table.columns) == 1 else ""
            if ";" in only:  # as spreadsheets export
                table = pd.read_csv(path, sep=";", decimal=",", **like)
            elif "\t" in only:
                table = pd.read_csv(path, sep="\t", **like)
            return _changed(_named(table), _with_formula)
    except pd.errors.EmptyDataError:
        raise InvalidTable(
            f"'{path.name}' is not a readable table: it is empty.", reason="empty_table"
        ) from None
    except UnicodeDecodeError:
        raise InvalidTable(
            f"'{path.name}' is not a readable table: it is not UTF-8. Export it as CSV UTF-8.",
            reason="unreadable_table",
        ) from None
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        raise InvalidTable(
            f"'{path.name}' is not a readable {path.suffix.lstrip('.')} table "
            f"({type(error).__name__}). Write it again.",
            reason="unreadable_table",
        ) from error
    raise SettingsError(f"Expected a .parquet or .csv table (or .tsv), but got '{path.name}'.")


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The table without spaces around its columns' names, where that makes no two alike."""
    names = [name.strip() if isinstance(name, str) else name for name in table.columns]
    return table.set_axis(names, axis=1) if len(set(names)) == len(names) else table


def write_table(table: pd.DataFrame, path: Path | str) -> None:
    """Write a parquet or CSV table whole or not at all; an older file survives a failure.

    Raises:
        SettingsError: If the suffix is neither ``.parquet`` nor ``.csv``, or writing fails.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        write_atomically(path, lambda target: table.to_parquet(target, index=False))
    elif path.suffix == ".csv":
        write_atomically(path, lambda target: _for_spreadsheets(table).to_csv(target, index=False))
    else:
        raise SettingsError(f"Expected an output ending in .parquet or .csv, got '{path.name}'.")


def write_chunks(chunks: Iterable[pd.DataFrame], path: Path | str) -> None:
    """Write a table part by part, whole or not at all; memory holds a few parts.

    Args:
        chunks: At least one part; all have the columns of the first. Arrays need parquet.
        path: A ``.parquet`` or ``.csv`` file.

    Raises:
        SettingsError: If the suffix is neither ``.parquet`` nor ``.csv``, or writing fails.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".csv"):
        raise SettingsError(f"Expected an output ending in .parquet or .csv, got '{path.name}'.")
    fill = _fill_parquet if path.suffix == ".parquet" else _fill_csv
    write_atomically(path, lambda target: fill(chunks, target))


def _fill_parquet(chunks: Iterable[pd.DataFrame], target: Path) -> None:
    from pyarrow import parquet

    groups = _row_groups(chunks)
    first = next(groups)
    with parquet.ParquetWriter(target, first.schema) as writer:
        for group in chain([first], groups):
            writer.write_table(group)


def _row_groups(chunks: Iterable[pd.DataFrame]) -> Iterator[Any]:
    """Arrow tables of some MiB each: a file's footer, which a writer holds, grows by the group."""
    import pyarrow as pa

    parts: list[Any] = []
    schema, size = None, 0
    for chunk in chunks:
        part = pa.Table.from_pandas(chunk, schema=schema, preserve_index=False)
        schema, size = part.schema, size + part.nbytes
        parts.append(part)
        if size >= _GROUP_BYTES:
            yield pa.concat_tables(parts)
            parts, size = [], 0
    if parts:
        yield pa.concat_tables(parts)


def _fill_csv(chunks: Iterable[pd.DataFrame], target: Path) -> None:
    for number, chunk in enumerate(chunks):
        _for_spreadsheets(chunk).to_csv(
            target, index=False, header=number == 0, mode="a" if number else "w"
        )
