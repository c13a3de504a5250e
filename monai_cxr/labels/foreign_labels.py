"""Foreign labels: what CheXbert, the CheXpert labeller or a language model wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from monai_cxr.errors import InvalidTable
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.labels.report_sources import read_text_table

_STATES: Mapping[str, int] = {
    **dict.fromkeys(("1", "1.0", "positive", "present", "yes", "y", "true"), 1),
    **dict.fromkeys(("0", "0.0", "negative", "absent", "no", "n", "false"), 0),
    **dict.fromkeys(("-1", "-1.0", "uncertain", "maybe", "possible", "ambiguous", "u"), -1),
}
_UNMENTIONED = frozenset({"", "nan", "none", "null", "blank", "not mentioned", "unmentioned", "na"})
_NAME_COLUMNS = ("id", "study_id", "report_id", "accession", "accession_number", "path", "reports")


@dataclass(frozen=True, slots=True)
class ForeignLabels:
    """Labels that another labeller wrote.

    Attributes:
        table: ``id`` and one column a finding, as :class:`ReportLabels` has it.
        used: Our finding by the column that it was taken from.
        ignored: Columns that are none of ours: parents without a child, devices, text.
    """

    table: pd.DataFrame
    used: Mapping[str, str]
    ignored: tuple[str, ...]


def read_foreign_labels(path: Path, *, id_column: str = "") -> ForeignLabels:
    """Read labels that another labeller wrote.

    CheXpert's conventions: 1, 0, -1 and blank; words such as "positive", "uncertain" or "yes" are
    taken as well. A parent of several of our findings (CheXpert's "Lung Lesion", "Pleural Other")
    says only that they are absent: which of them is present it does not say.

    Args:
        path: CSV, TSV or parquet.
        id_column: Column that names the report; found by its name when empty, else the row's
            number.

    Raises:
        InvalidTable: If no column is a finding, or a cell is none of the states.
    """
    table = read_text_table(path)
    names = [str(name) for name in table]
    key = id_column or next((n for n in names if n.strip().casefold() in _NAME_COLUMNS), "")
    if id_column and id_column not in table:
        raise InvalidTable(
            f"'{path.name}' has no column '{id_column}'; it has {', '.join(names)}.",
            reason="missing_column",
        )
    ids = table[key].astype(str) if key else pd.Series([str(i) for i in range(len(table))])
    made = pd.DataFrame({"id": ids.to_numpy()})
    used: dict[str, str] = {}
    for name in names:
        if name == key:
            continue
        if name in FINDINGS:
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
    ignored = tuple(name for name in names if name not in used and name != key)
    return ForeignLabels(made[["id", *FINDING_NAMES]], used, ignored)


def _states(column: pd.Series, name: str, path: Path) -> pd.Series:
    words = ["" if pd.isna(value) else str(value).strip().casefold() for value in column]
    unknown = sorted({word for word in words if word not in _STATES and word not in _UNMENTIONED})
    if unknown:
        raise InvalidTable(
            f"Column '{name}' of '{path.name}' holds '{unknown[0][:40]}'; expected 1, 0, -1 or "
            "blank, or words such as present, absent, uncertain.",
            reason="bad_label",
        )
    return pd.Series(pd.array([_STATES.get(word) for word in words], dtype="Int8"))
