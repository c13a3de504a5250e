"""Splits: by patient, stratified by finding, or from official lists; leakage is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import SPLITS, columns_array, own_label_columns, require_columns


def assert_no_leakage(index: pd.DataFrame) -> None:
    """Refuse an index in which a patient is in two splits.

    Raises:
        InvalidTable: Naming how many patients are on both sides, not who.
    """
    require_columns(index, ("patient_id", "split"), what="index")
    used = index[index["split"] != ""]
    n_splits = used.groupby("patient_id")["split"].nunique()
    n_leaking = int((n_splits > 1).sum())
    if n_leaking:
        raise InvalidTable(
            f"{n_leaking} of {len(n_splits)} patients are in more than one split, so results would "
            "be too good. Split by patient: monai-cxr split.",
            reason="split_leaks",
        )


def rows_of_split(index: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of a split.

    Raises:
        InvalidTable: If there is none.
    """
    rows = index[index["split"] == split].reset_index(drop=True)
    if rows.empty:
        present = sorted(set(index["split"]) - {""}) or "no split"
        raise InvalidTable(
            f"The index has no row of split '{split}'; it has {present}. Make splits with: "
            "monai-cxr split.",
            reason="no_split",
        )
    return rows


def split_by_patient(
    index: pd.DataFrame,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    *,
    seed: int = 0,
    within: str | None = None,
    stratify: bool = True,
) -> pd.DataFrame:
    """Assign patients to train, val and test, keeping each finding's share of patients.

    CheXNet's split is ``(0.7, 0.1, 0.2)`` without stratification: patients at random by seed (its
    own lists were not published). With it: greedy iterative stratification (Sechidis et al., ECML
    PKDD 2011) over patients: the rarest finding first, each patient to the split that still lacks
    most of it.

    Args:
        index: The index.
        fractions: Shares of train, val and test; they add up to 1.
        seed: Order among equals.
        within: Only rows of this split are assigned again (used to cut train into train and val).
        stratify: Keep each finding's share; else patients are drawn at random.

    Returns:
        The index with its ``split`` column set.

    Raises:
        SettingsError: If the fractions are not three shares that add up to 1.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.shape != (3,) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
        raise SettingsError(
            f"Expected three fractions that add up to 1 (train, val, test), but got "
            f"{[float(share) for share in shares]}."
        )
    chosen = index["split"] == within if within is not None else pd.Series(True, index=index.index)
    rows = index[chosen]
    findings = [name for name in FINDING_NAMES if name in rows.columns]
    findings += own_label_columns(rows)
    patients = rows.groupby("patient_id", sort=True)[findings].max().fillna(0.0)
    rng = np.random.default_rng(seed)
    if stratify:
        assigned = _stratify(columns_array(patients, findings), shares, rng)
    else:
        ends = np.round(np.cumsum(shares) * len(patients))
        assigned = np.searchsorted(ends, rng.permutation(len(patients)), side="right")
    by_patient = dict(zip(patients.index, np.array(SPLITS)[assigned], strict=True))
    result = index.copy()
    result.loc[chosen, "split"] = [by_patient[patient] for patient in rows["patient_id"]]
    assert_no_leakage(result)
    return result


def _stratify(
    labels: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    shares: np.ndarray[tuple[int], np.dtype[np.float64]],
    rng: np.random.Generator,
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    n_patients = len(labels)
    order = rng.permutation(n_patients)
    assigned = np.full(n_patients, -1, dtype=np.int64)
    room = shares * n_patients
    room_by_finding = np.outer(shares, labels.sum(axis=0))
    rarest_first = np.argsort(labels.sum(axis=0), kind="stable")
    groups = [order[labels[order, finding] > 0] for finding in rarest_first] + [order]
    wanted = [*rarest_first, None]
    for finding, group in zip(wanted, groups, strict=True):
        for patient in group[assigned[group] < 0]:
            lack = room if finding is None else room_by_finding[:, finding]
            eligible = (shares > 0) & (room > 0)
            best = int(np.lexsort((room, lack, eligible, shares > 0))[-1])
            assigned[patient] = best
            room[best] -= 1
            room_by_finding[best] -= labels[patient]
    return assigned


def split_official(
    index: pd.DataFrame,
    directory: Path,
    *,
    val_fraction: float = 0.125,
    seed: int = 0,
    val_list: Path | None = None,
) -> pd.DataFrame:
    """Assign the official lists of ChestX-ray14.

    NIH publishes train_val and test, no cut between train and val. A cut that others published
    (medical_mae's 75,312 / 11,212 images, for example) comes by ``val_list``; otherwise it is made
    here, by patient, stratified and repeatable by seed.

    Args:
        index: An index with image names in ``sop_uid``.
        directory: Holds ``train_val_list.txt`` and ``test_list.txt``; where ``train_list.txt``
            and ``val_list.txt`` stand beside them, these cut train from val, and listed images of
            train_val outside both are left unassigned.
        val_fraction: Share of train_val patients that become val where no such lists exist.
        val_list: A list of the images of train_val that are val, one per line; what follows the
            name on a line (labels, in some lists) is passed over. The rest of train_val is train.
        seed: For that cut.

    Returns:
        The index with ``split`` set; images in no list keep an empty split.

    Raises:
        InvalidTable: If a list is absent, or lists put one patient on both sides.
    """
    lists = {name: _read_list(directory / f"{name}_list.txt") for name in ("train_val", "test")}
    result = index.copy()
    names = result["sop_uid"]
    result["split"] = ""
    result.loc[names.isin(lists["test"]), "split"] = "test"
    cut = [directory / f"{name}_list.txt" for name in ("train", "val")]
    if val_list is not None:
        val = names.isin(_read_list(val_list))
        n_test = int((val & (result["split"] == "test")).sum())
        if n_test or not val.any():
            raise InvalidTable(
                f"{int(val.sum())} images of '{val_list.name}' are indexed, {n_test} of them in "
                "test_list.txt. Expected train_val images such as 00000001_000.png, one on each "
                "line.",
                reason="split_leaks" if n_test else "labels_do_not_match",
            )
        result.loc[names.isin(lists["train_val"]), "split"] = "train"
        result.loc[val, "split"] = "val"
    elif all(path.is_file() for path in cut):
        for path, split in zip(cut, ("train", "val"), strict=True):
            result.loc[names.isin(_read_list(path)), "split"] = split
    else:
        result.loc[names.isin(lists["train_val"]), "split"] = "train"
        result = split_by_patient(
            result, (1 - val_fraction, val_fraction, 0.0), seed=seed, within="train"
        )
    assert_no_leakage(result)
    return result


def _read_list(path: Path) -> frozenset[str]:
    if not path.is_file():
        raise InvalidTable(
            f"Expected the list '{path.name}', but it is not in that folder.", reason="missing_file"
        )
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return frozenset(Path(line.split()[0]).name for line in lines if line.strip())
