"""Foreign labels: what CheXbert, the CheXpert labeller or a language model wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from monai_cxr.errors import InvalidTable
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.labels.report_sources import read_reports, read_text_table

_STATES: Mapping[str, int] = {
    **dict.fromkeys(("1", "1.0", "positive", "present", "yes", "y", "true"), 1),
    **dict.fromkeys(("0", "0.0", "negative", "absent", "no", "n", "false"), 0),
    **dict.fromkeys(("-1", "-1.0", "uncertain", "maybe", "possible", "ambiguous", "u"), -1),
}
_UNMENTIONED = frozenset({"", "nan", "none", "null", "blank", "not mentioned", "unmentioned", "na"})
_NAME_COLUMNS = ("id", "study_id", "report_id", "accession", "accession_number", "path")
_TEXT_COLUMNS = ("report impression", "reports", "report", "text")
"""Where CheXbert, the CheXpert labeller and others repeat the report that they read."""


@dataclass(frozen=True, slots=True)
class ForeignLabels:
    """Labels that another labeller wrote.

    Attributes:
        table: ``id`` and one column per finding, as :class:`ReportLabels` has it.
        used: Our finding by the column that it was taken from.
        ignored: Columns that are none of ours: parents without a child, devices, text.
        has_ids: Whether the ids name reports; else they are numbers of rows.
    """

    table: pd.DataFrame
    used: Mapping[str, str]
    ignored: tuple[str, ...]
    has_ids: bool = True


def read_foreign_labels(
    path: Path, *, id_column: str = "", reports: Path | None = None, text: str = ""
) -> ForeignLabels:
    """Read labels that another labeller wrote.

    CheXpert's conventions: 1, 0, -1 and blank; words such as "positive", "uncertain" or "yes" are
    taken as well. A parent of several of our findings (CheXpert's "Lung Lesion", "Pleural Other")
    says only that they are absent: which of them is present it does not say.

    CheXbert and the CheXpert labeller repeat the reports that they read, in their order, and drop
    their ids. ``reports`` gives the ids back.

    Args:
        path: CSV, TSV or parquet.
        id_column: Column that names the report, in ``reports`` if they are given, else in ``path``;
            found by its name when empty. Without one the id is the row's number, from 0.
        reports: The table that was given to the labeller, one row for each of its labels.
        text: Column of ``reports`` that holds the report; found by its name when empty.

    Raises:
        InvalidTable: If no column is a finding, a cell is none of the states, a report has no id or
            an id has two different rows, or the reports are not those that were labelled.
    """
    table = read_text_table(path)
    names = [str(name) for name in table]
    if reports is not None:
        key, ids = "", _ids_of(reports, table, path, text=text, id_column=id_column)
    else:
        key, ids = _own_ids(table, path, id_column)
    made = pd.DataFrame({"id": ids})
    used: dict[str, str] = {}
    for name in names:
        if name != key and name in FINDINGS:
            made[FINDINGS[name].name] = _states(table[name], name, path)
            used[name] = FINDINGS[name].name
    for name in names:
        children = [f.name for f in FINDINGS if f.chexpert == name and f.name not in made]
        if not children or name in used:
            continue
        states = _states(table[name], name, path)
        only_one = len([f for f in FINDINGS if f.chexpert == name]) == 1 and name != "Pleural Other"
        for child in children:
            made[child] = states if only_one else states.where(states == 0)
            used[name] = child if only_one else f"{', '.join(children)} (absent only)"
    if not used:
        raise InvalidTable(
            f"No column of '{path.name}' is a finding; it has {', '.join(names)}.",
            reason="missing_column",
        )
    for finding in FINDING_NAMES:
        if finding not in made:
            made[finding] = pd.array([None] * len(made), dtype="Int8")
    made = made[["id", *FINDING_NAMES]].drop_duplicates(ignore_index=True)
    repeated = made["id"][made["id"].duplicated()].unique()
    if len(repeated):
        raise InvalidTable(
            f"Ids that occur in '{path.name}' with different labels: {len(repeated)}. Expected one "
            "row for each report: keep one of them.",
            reason="duplicate_ids",
        )
    ignored = tuple(name for name in names if name not in used and name != key)
    return ForeignLabels(made, used, ignored, has_ids=bool(key) or reports is not None)


def _own_ids(table: pd.DataFrame, path: Path, id_column: str) -> tuple[str, list[str]]:
    """The column of the labels that names the reports, ``""`` for none, and the ids."""
    names = [str(name) for name in table]
    if id_column and id_column not in names:
        raise InvalidTable(
            f"'{path.name}' has no column '{id_column}'; it has {', '.join(names)}.",
            reason="missing_column",
        )
    key = id_column or next((n for n in names if n.strip().casefold() in _NAME_COLUMNS), "")
    if not key:
        return "", [str(row) for row in range(len(table))]
    ids = ["" if pd.isna(value) else str(value).strip() for value in table[key]]
    if "" in ids:
        raise InvalidTable(
            f"Rows of '{path.name}' without '{key}': {ids.count('')}, the first is row "
            f"{ids.index('') + 1}. Expected a name in each row: fill it in, or take the row out.",
            reason="missing_ids",
        )
    return key, ids


def _ids_of(
    reports: Path, table: pd.DataFrame, path: Path, *, text: str, id_column: str
) -> list[str]:
    """The ids of the reports that were labelled, in their order.

    A labeller may have been given a section only, so its text is looked for in the report's.
    """
    given = list(read_reports(reports, text=text, id_column=id_column))
    if len(given) != len(table):
        raise InvalidTable(
            f"'{path.name}' has {len(table)} rows and '{reports.name}' {len(given)} reports. "
            "Expected the table that was given to the labeller, row for row.",
            reason="other_reports",
        )
    read = next((n for n in table if str(n).strip().casefold() in _TEXT_COLUMNS), None)
    if read is not None:
        for row, (one, words) in enumerate(zip(given, table[read], strict=True), start=1):
            if not pd.isna(words) and _plain(str(words)) not in _plain(one.text):
                raise InvalidTable(
                    f"Row {row} of '{path.name}' labels another report than row {row} of "
                    f"'{reports.name}'. Expected the table that was given to the labeller, row "
                    "for row.",
                    reason="other_reports",
                )
    return [one.id for one in given]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _states(column: pd.Series, name: str, path: Path) -> pd.Series:
    words = ["" if pd.isna(value) else str(value).strip().casefold() for value in column]
    unknown = sorted({word for word in words if word not in _STATES and word not in _UNMENTIONED})
    if unknown:
        raise InvalidTable(
            f"Column '{name}' of '{path.name}' holds '{unknown[0][:40]}'; expected 1, 0, -1 or "
            "blank, or words such as present, absent, uncertain. (CheXbert's class numbers are "
            "0 blank, 1 present, 2 absent, 3 uncertain: map them first.)",
            reason="bad_label",
        )
    return pd.Series(pd.array([_STATES.get(word) for word in words], dtype="Int8"))
