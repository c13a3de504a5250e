"""Probe: what a network's frozen features know, by linear models on growing shares of patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from monai_cxr.bundle.learning.linear_head import embedded, features_of, fit_head
from monai_cxr.bundle.model import BundleModel
from monai_cxr.data.splits import assert_no_leakage
from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.labels.budget import CURVE_COLUMNS
from monai_cxr.prediction import Interval
from monai_cxr.tables import normalise_index, own_label_columns, read_table

Floats = NDArray[np.float64]

SHARES = (0.01, 0.05, 0.2, 1.0)
_MOST_VALUES = 3


@dataclass(frozen=True, slots=True)
class Probed:
    """One target at one number of patients.

    Attributes:
        target: A finding, or ``view=AP``, ``manufacturer=NAME``.
        n: Training patients.
        auroc: Mean over draws, with Student's 95 % interval of the mean; no interval of one draw.
            The draws of all training patients are the same: they draw the patients judged.
    """

    target: str
    n: int
    auroc: Interval


def probe(
    bundle: Path | str,
    index: Path,
    *,
    shares: Sequence[float] = SHARES,
    draws: int = 5,
    seed: int = 0,
    workers: int | None = None,
) -> tuple[pd.DataFrame, tuple[Probed, ...]]:
    """Fit linear models on shares of the train patients, and judge them on val, or else on test.

    Args:
        bundle: Folder of a bundle or run whose network has an embedding.
        index: An index with splits.
        shares: Shares of patients in (0, 1]; the draws of a seed are nested.
        draws: Draws of training patients; where all of them train, of the patients judged.
        seed: Seed of the draws.
        workers: Processes that read films.

    Returns:
        The learning curve (:data:`monai_cxr.labels.budget.CURVE_COLUMNS`) and its means.

    Raises:
        InvalidTable: If a patient is in two splits, or train, or val and test, are empty.
        InvalidBundle: If the network has no embedding.
    """
    raw = read_table(index)
    table = normalise_index(raw, (*FINDING_NAMES, *own_label_columns(raw)))
    assert_no_leakage(table)
    held = "val" if (table["split"] == "val").any() else "test"
    for split in ("train", held):
        if not (table["split"] == split).any():
            raise InvalidTable(
                f"No film belongs to split {split}. Make splits with: monai-cxr split.",
                reason="no_split",
            )
    used = table[table["split"].isin(["train", held])].reset_index(drop=True)
    rows = embedded(BundleModel.load(bundle, runtime="torch", encoder=True), used, workers)
    features, targets = features_of(rows), _targets(rows)
    training = (rows["split"] == "train").to_numpy()
    patients = rows["patient_id"].to_numpy()
    everyone = np.unique(patients[training])
    made: list[tuple[str, int, int, float]] = []
    for draw in range(draws):
        order = np.random.default_rng([seed, draw]).permutation(everyone)
        for share in sorted(shares):
            n = max(2, round(share * len(everyone)))
            counted = (~training).astype(np.float64)
            if n == len(everyone):
                counted = counted * _resampled(patients, ~training, seed, draw)
            chosen = training & np.isin(patients, order[:n])
            for target, labels in targets.items():
                value = _judged(features, labels, patients, chosen, counted)
                if not math.isnan(value):
                    made.append((target, n, draw, value))
    curve = pd.DataFrame(made, columns=list(CURVE_COLUMNS))
    return curve, tuple(
        Probed(str(target), int(str(n)), _mean(part["auroc"].to_numpy(np.float64)))
        for (target, n), part in curve.groupby(["finding", "n"], sort=False)
    )


def _targets(rows: pd.DataFrame) -> dict[str, Floats]:
    """Labels, shape (N,), by target: findings that have both classes; common views and makers."""
    made = {
        name: rows[name].where(rows[name].isin([0, 1])).to_numpy(np.float64)
        for name in (*FINDING_NAMES, *own_label_columns(rows.drop(columns="embedding")))
        if name in rows
    }
    for fact in ("view", "manufacturer"):
        known = rows[fact].fillna("").astype(str)
        common = known[known != ""].value_counts().index
        for value in common[:_MOST_VALUES] if len(common) > 1 else ():
            labels = (known == value).to_numpy(np.float64)
            made[f"{fact}={value}"] = np.where((known == "").to_numpy(), np.nan, labels)
    return made


def _judged(
    features: Floats,
    labels: Floats,
    patients: NDArray[np.object_],
    chosen: NDArray[np.bool_],
    counted: NDArray[np.float64],
) -> float:
    """AUROC on films that count more than 0; NaN where a side has one class alone."""
    known = ~np.isnan(labels)
    fit, judge = chosen & known, (counted > 0) & known
    if len(set(labels[fit])) < 2 or len(set(labels[judge])) < 2:
        return math.nan
    head = fit_head(features[fit], labels[fit], patients[fit])
    return auroc(head.logits(features[judge]), labels[judge], counted[judge])


def _resampled(
    patients: NDArray[np.object_], held: NDArray[np.bool_], seed: int, draw: int
) -> NDArray[np.float64]:
    """How often each film counts when patients are drawn with replacement; draw 0 is all once."""
    if draw == 0:
        return np.ones(len(patients))
    judged = np.unique(patients[held])
    drawn = np.random.default_rng([seed, draw, 1]).choice(judged, len(judged))
    return np.array([np.count_nonzero(drawn == patient) for patient in patients], dtype=np.float64)


def _mean(values: Floats) -> Interval:
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(student.ppf(0.975, len(values) - 1)) * error
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))
