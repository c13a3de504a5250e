"""Overlay: corrections of labels, keyed to the index they were made for; the index is never edited.

An overlay is a table with a row per correction. Applied, it gives an index with the corrected
labels and, beside them, the original ones. The test split keeps its original labels unless told
otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.errors import InvalidTable
from monai_cxr.tables import CORRECTED_BY, require_columns

OVERLAY_COLUMNS = (
    *("index_digest", "sop_uid", "finding", "old", "new"),
    *("reader", "at", "model_digest", "reason"),
)
"""Columns of an overlay; ``old`` and ``new`` are 0, 1 or empty (unknown)."""

ORIGINAL, CORRECTED = "original_", "corrected_"
"""Prefixes of the columns that stand beside a finding's own."""


@dataclass(frozen=True, slots=True)
class AppliedOverlay:
    """An index with corrected labels.

    Attributes:
        table: The index; :data:`monai_cxr.tables.CORRECTED_BY` says for each film which labels
            it has.
        n_corrected: Corrections by split; ``""`` where films have no split.
        n_set_aside: Corrections of the test split, which stand beside its original labels.
        digest: First twelve digits of the overlay's SHA-256.
    """

    table: pd.DataFrame
    n_corrected: dict[str, int]
    n_set_aside: int
    digest: str


def index_digest(table: pd.DataFrame, findings: Sequence[str]) -> str:
    """Digest of the labels of an index, whatever the order of its rows and the place of its films.

    Args:
        table: An index; of one that an overlay was applied to, the original labels count.
        findings: Its label columns; one without any label says nothing, and does not count.

    Returns:
        SHA-256 over film names and labels, hexadecimal.
    """
    columns = {
        name: table[ORIGINAL + name] if ORIGINAL + name in table else table[name]
        for name in findings
    }
    original = {name: column for name, column in columns.items() if column.notna().any()}
    order = np.argsort(table["sop_uid"].astype(str).to_numpy(), kind="stable")
    digest = hashlib.sha256("\n".join(original).encode())
    digest.update("\n".join(table["sop_uid"].astype(str).to_numpy()[order]).encode())
    for column in original.values():
        values = np.asarray(column, dtype=np.float64)[order]
        digest.update(np.where(np.isnan(values), -9, values).astype(np.int8).tobytes())
    return digest.hexdigest()


def apply_overlay(
    table: pd.DataFrame,
    overlay: pd.DataFrame,
    findings: Sequence[str],
    *,
    correct_test: bool = False,
) -> AppliedOverlay:
    """Apply corrections.

    Args:
        table: The index they were made for.
        overlay: Rows of :data:`OVERLAY_COLUMNS`.
        findings: Label columns of the index.
        correct_test: Also correct the test split; its original labels then stand beside.

    Raises:
        InvalidTable: If the overlay is for another index, names a film or finding that is not
            there, states an old label that is not the index's, or contradicts itself.
    """
    require_columns(overlay, ("index_digest", "sop_uid", "finding", "old", "new"), what="overlay")
    _require_this_index(table, overlay, findings)
    chosen = _without_contradictions(overlay)
    rows = pd.Series(np.arange(len(table)), index=table["sop_uid"].astype(str))
    made = revert_overlay(table, findings)
    is_test = (made["split"] == "test").to_numpy() if "split" in made else np.zeros(len(made), bool)
    digest = overlay_digest(overlay)
    counts: dict[str, int] = {}
    n_aside = 0
    for finding, part in chosen.groupby("finding", sort=False):
        name = str(finding)
        films = part["sop_uid"].astype(str)
        missing = [uid for uid in films if uid not in rows.index]
        if name not in findings or missing:
            what = f"film '{missing[0]}'" if missing else f"finding '{name}'"
            raise InvalidTable(f"The overlay corrects the {what}, which is not in the index.")
        places = rows.loc[list(films)].to_numpy()
        original = np.asarray(made[name], dtype=np.float64)
        old, new = (np.asarray(part[column], dtype=np.float64) for column in ("old", "new"))
        _require_old(original[places], old, films, name)
        corrected = original.copy()
        corrected[places] = new
        aside = is_test & (not correct_test)
        if (corrected != original)[aside & ~(np.isnan(corrected) & np.isnan(original))].any():
            made[CORRECTED + name] = corrected
        made[ORIGINAL + name] = original
        made[name] = np.where(aside, original, corrected)
        n_aside += int(aside[places].sum())
        for place in places[~aside[places]]:
            split = str(made["split"].iloc[place]) if "split" in made else ""
            counts[split] = counts.get(split, 0) + 1
    overlay_name = np.full(len(made), f"overlay {digest}", dtype=object)
    made[CORRECTED_BY] = np.where(is_test & (not correct_test), "", overlay_name)
    return AppliedOverlay(made, counts, n_aside, digest)


def revert_overlay(table: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """The index as it was before an overlay was applied."""
    made = table.copy()
    for name in findings:
        if ORIGINAL + name in made:
            made[name] = made[ORIGINAL + name]
        made = made.drop(columns=[ORIGINAL + name, CORRECTED + name], errors="ignore")
    return made.drop(columns=[CORRECTED_BY], errors="ignore")


def overlay_digest(overlay: pd.DataFrame) -> str:
    """Twelve digits that name a set of corrections, whatever their order."""
    columns = ["sop_uid", "finding", "old", "new"]
    lines = sorted(",".join(map(str, row)) for row in overlay[columns].itertuples(index=False))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def read_overlay(path: Path) -> pd.DataFrame:
    """Read an overlay; names stay text.

    Raises:
        InvalidTable: If it is not an overlay.
    """
    from monai_cxr.tables import read_table

    table = read_table(path)
    require_columns(table, ("index_digest", "sop_uid", "finding", "old", "new"), what="overlay")
    table["sop_uid"] = table["sop_uid"].astype(str)
    for name in ("old", "new"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype("float64")
        wrong = table[name].notna() & ~table[name].isin([0.0, 1.0])
        if wrong.any():
            raise InvalidTable(
                f"{int(wrong.sum())} values of '{name}' in '{path.name}' are neither 0, 1 nor "
                "empty.",
                reason="bad_labels",
            )
    return table


def _require_this_index(
    table: pd.DataFrame, overlay: pd.DataFrame, findings: Sequence[str]
) -> None:
    found = set(overlay["index_digest"].astype(str))
    own = index_digest(table, findings)
    if found - {own}:
        other = sorted(found - {own})[0]
        raise InvalidTable(
            f"The overlay was made for another index (digest {other[:12]}; this one is "
            f"{own[:12]}). Apply it to the index that was audited.",
            reason="other_index",
        )


def last_words(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """The last row of each reader for each film and finding.

    Args:
        table: ``sop_uid``, ``finding``, ``reader``, and ``at`` where it is known.
        value: Column that holds what the reader said.

    Raises:
        InvalidTable: If a reader said two things of one film and no time tells which was last.
    """
    keys = ["sop_uid", "finding", "reader"]
    when = [table["at"].fillna("").astype(str)] if "at" in table else []
    said = table.groupby([*(table[name] for name in keys), *when])[value].nunique(dropna=False)
    n_both = int((said > 1).sum())
    if n_both:
        raise InvalidTable(
            f"Rows contradict each other for {n_both} films: one reader gave two answers, and no "
            "time tells which was last. Take one of them out, or name two readers differently.",
            reason="contradictions",
        )
    ordered = table.sort_values("at", kind="stable") if "at" in table else table
    return ordered.drop_duplicates(keys, keep="last")


def _without_contradictions(overlay: pd.DataFrame) -> pd.DataFrame:
    """The last word of each reader; readers that differ are refused."""
    keys = ["sop_uid", "finding"]
    named = overlay if "reader" in overlay else overlay.assign(reader="")
    ordered = last_words(named, "new")
    differing = ordered.groupby(keys)["new"].nunique(dropna=False)
    n_differing = int((differing > 1).sum())
    if n_differing:
        raise InvalidTable(
            f"{n_differing} corrections contradict each other: readers gave the same film "
            "different labels. Adjudicate them first (labels corrections --adjudicated).",
            reason="contradictions",
        )
    return ordered.drop_duplicates(keys, keep="last")


def _require_old(present: np.ndarray, old: np.ndarray, films: pd.Series, name: str) -> None:
    same = (present == old) | (np.isnan(present) & np.isnan(old))
    if not same.all():
        place = int(np.flatnonzero(~same)[0])
        raise InvalidTable(
            f"The overlay says that the label '{name}' of film '{films.iloc[place]}' was "
            f"{old[place]:g}, but in the index it is {present[place]:g}.",
            reason="other_index",
        )
