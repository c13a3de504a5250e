"""Join: several indexes as one, so that a network trains on several data sets at once."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from monai_cxr.data.splits import assert_no_leakage
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.label_policy import LabelPolicy
from monai_cxr.tables import normalise_index


def join_indexes(
    indexes: Mapping[str, pd.DataFrame], *, policy: LabelPolicy | None = None
) -> pd.DataFrame:
    """Put indexes below each other.

    Patients and studies get their set's name as a prefix (``nih:00000001``), because each set
    counts its own from 1. A film keeps its ``sop_uid``, unless another set has the same. Labels,
    splits and facts stay as they are. That two sets hold the same film under two names (RSNA's
    films are NIH's) cannot be seen here: do not join such sets.

    Args:
        indexes: Index by name of the set; two or more.
        policy: What -1 and blank count as; None refuses -1. A finding that one set has no column of
            stays unknown there.

    Returns:
        One index.

    Raises:
        SettingsError: If there are fewer than two.
        InvalidTable: If two sets name the same file, or an index is not one.
    """
    if len(indexes) < 2:
        raise SettingsError(f"Expected two or more indexes to join, but got {len(indexes)}.")
    tables = {name: normalise_index(table, policy=policy) for name, table in indexes.items()}
    joined = pd.concat(tables, names=["set"]).reset_index(level="set").reset_index(drop=True)
    n_twice = int(joined["path"].duplicated().sum())
    if n_twice:
        raise InvalidTable(
            f"{n_twice} films are in more than one of {', '.join(indexes)}. Give each film once.",
            reason="duplicated_images",
        )
    for column in ("patient_id", "study_uid"):
        known = joined[column] != ""
        joined.loc[known, column] = joined["set"] + ":" + joined[column]
    clash = joined["sop_uid"].duplicated(keep=False)
    joined.loc[clash, "sop_uid"] = joined["set"] + ":" + joined["sop_uid"]
    result = normalise_index(joined.drop(columns="set"))
    policies = {name: one.attrs["label_policy"] for name, one in tables.items() if one.attrs}
    if policies:
        result.attrs["label_policy"] = policies
    assert_no_leakage(result)
    return result
