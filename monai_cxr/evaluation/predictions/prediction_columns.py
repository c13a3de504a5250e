"""Prediction columns: scores, labels, patients and facts of a table as checked arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.predictions.column_names import (
    FACT_ALIASES,
    PATIENT_COLUMNS,
    canonical_finding,
    columns_named,
    logit_columns,
    probability_columns,
)
from monai_cxr.evaluation.predictions.image_names import patients_in_names
from monai_cxr.evaluation.statistics.logits import sigmoid
from monai_cxr.label_policy import LabelPolicy
from monai_cxr.tables import FACT_COLUMNS, label_numbers

Floats = NDArray[np.float64]

_SOFTMAX_TOLERANCE = 1e-3  # stored as float32 or with a few digits

_ROUNDING = 1e-6
"""How far beyond [0, 1] rounding to float32 may take a probability."""

UNCALIBRATED = "The model is not calibrated: probabilities are the sigmoid of its logits."
"""What a reader must know of logits without probabilities; a calibration takes it away."""


def scored_findings(
    table: pd.DataFrame, *, bare: bool = False
) -> dict[str, tuple[str | None, str | None]]:
    """Finding -> (its probability column, its logit column), in column order.

    Args:
        table: The predictions.
        bare: See :func:`~monai_cxr.evaluation.predictions.column_names.probability_columns`.

    Raises:
        InvalidTable: If there is no such column.
    """
    probabilities, logits = probability_columns(table, bare=bare), logit_columns(table)
    names = list(dict.fromkeys([*probabilities, *logits]))
    if not names:
        raise InvalidTable(
            "The predictions have no scores. Expected columns named probability_<finding>, "
            f"prob_<finding> or logit_<finding>, but got {', '.join(map(str, table.columns[:8]))}. "
            "Those of an encoder have none: add a finding to it with monai-cxr few-shot.",
            reason="no_probabilities",
        )
    return {name: (probabilities.get(name), logits.get(name)) for name in names}


def common_findings(
    scored: tuple[str, ...], labelled: tuple[str, ...], wanted: Sequence[str] | None
) -> tuple[str, ...]:
    """Findings that have scores and labels, in the order of the scores or as wanted.

    Raises:
        InvalidTable: If there is none, or a wanted one has no scores.
    """
    known = set(labelled)
    names = scored if wanted is None else tuple(canonical_finding(name) for name in wanted)
    missing = [name for name in names if name not in scored]
    common = tuple(name for name in names if name in known)
    if missing or not common:
        raise InvalidTable(
            f"No labels for the scored findings {', '.join(scored[:14])}"
            + (f" and no scores for {', '.join(missing)}" if missing else "")
            + ". Expected label_<finding> columns in the predictions, or a labels table.",
            reason="no_labels",
        )
    return common


def scores_of(
    table: pd.DataFrame, columns: Sequence[tuple[str | None, str | None]]
) -> tuple[Floats | None, Floats, list[str]]:
    """Logits, probabilities and notes of the findings.

    Args:
        table: The predictions, N rows.
        columns: (probability column, logit column) of each of F findings.

    Returns:
        Logits, shape (N, F), or None; probabilities, shape (N, F), in [0, 1]; notes.

    Raises:
        InvalidTable: If values are missing, not finite, or not probabilities.
    """
    with_logits = all(logit is not None for _, logit in columns)
    logits = label_numbers(table, [str(logit) for _, logit in columns]) if with_logits else None
    if logits is not None and not np.isfinite(logits).all():
        raise InvalidTable(
            f"{int((~np.isfinite(logits)).sum())} logits are not finite. Predict these images "
            "again.",
            reason="bad_logits",
        )
    named = [name for name, _ in columns if name is not None]
    probabilities = label_numbers(table, named) if len(named) == len(columns) else None
    if logits is not None and (probabilities is None or np.isnan(probabilities).all()):
        return logits, sigmoid(logits), [UNCALIBRATED]
    if probabilities is None:
        raise InvalidTable(
            "Some findings have probabilities, others only logits. Expected one kind for all.",
            reason="no_probabilities",
        )
    _check_probabilities(probabilities, named)
    n_rounded = int(((probabilities < 0.0) | (probabilities > 1.0)).sum())
    probabilities = np.clip(probabilities, 0.0, 1.0)
    decisions = [
        name
        for name, column in zip(named, probabilities.T, strict=True)
        if column.any() and np.isin(column, (0.0, 1.0)).all()
    ]
    notes = (
        [f"{', '.join(decisions)} hold only 0 and 1: decisions, not probabilities."]
        if decisions
        else []
    )
    if n_rounded:
        notes.append(f"{n_rounded} probabilities lie outside [0, 1] by rounding and are cut to it.")
    return logits, probabilities, notes


def _check_probabilities(probabilities: Floats, columns: Sequence[str]) -> None:
    missing = np.isnan(probabilities)
    if missing.any():
        column = columns[int(np.argmax(missing.any(axis=0)))]
        raise InvalidTable(
            f"{int(missing.sum())} probabilities are empty, the first in '{column}'. Expected a "
            "number for each image and finding: drop the images that could not be predicted.",
            reason="missing_probabilities",
        )
    outside = (probabilities < -_ROUNDING) | (probabilities > 1.0 + _ROUNDING)
    if outside.any():
        column = columns[int(np.argmax(outside.any(axis=0)))]
        low, high = float(probabilities.min()), float(probabilities.max())
        raise InvalidTable(
            f"{int(outside.sum())} values in '{column}' and others lie outside [0, 1] (range "
            f"{low:.3g} to {high:.3g}): these {_likely(probabilities)}.",
            reason="not_probabilities",
        )


def _likely(values: Floats) -> str:
    low, high = float(values.min()), float(values.max())
    if low < 0.0:
        return "look like logits. Name such columns logit_<finding>, or apply a sigmoid first"
    if low >= 0.0 and 2.0 < high <= 100.0:
        return "look like percentages. Divide them by 100"
    return "are not probabilities. Name logits logit_<finding>, or apply a sigmoid first"


def sum_to_one(scores: Floats) -> bool:
    """Whether the scores of each film, shape (N, F), add up to one, as those of a softmax do."""
    return bool(np.abs(scores.sum(axis=1) - 1.0).max(initial=0.0) <= _SOFTMAX_TOLERANCE)


def labels_of(
    table: pd.DataFrame,
    columns: Sequence[str],
    *,
    findings: Sequence[str] | None = None,
    policy: LabelPolicy | None = None,
) -> tuple[Floats, list[str]]:
    """Labels, float64, shape (N, F): 0, 1 or NaN; and what a reader must know of them.

    Args:
        table: N rows.
        columns: Columns of the F findings.
        findings: Their names, for the notes.
        policy: What -1 and blank count as; None refuses -1, and leaves blank unknown.

    Raises:
        InvalidTable: If another value is there, or nothing at all.
    """
    policy = policy or LabelPolicy()
    given = label_numbers(table, columns)
    values = policy.apply(given)
    notes = []
    n_uncertain, n_blank = int((given == -1.0).sum()), int(np.isnan(given).sum())
    if policy.uncertain != "refuse" and n_uncertain:
        notes.append(f"{n_uncertain} uncertain labels (-1) count as {policy.uncertain}.")
    if policy.blank != "unknown" and n_blank:
        notes.append(f"{n_blank} blank labels count as {policy.blank}.")
    wrong = ~(np.isnan(values) | (values == 0.0) | (values == 1.0))
    if wrong.any():
        first = values[wrong][0]
        remedy = (
            "Map uncertain labels by a named policy first (--uncertain unknown, absent or present)."
            if first == -1.0
            else "Give each film 1 or 0, by a threshold of your own where the labels are shares."
        )
        raise InvalidTable(
            f"{int(wrong.sum())} labels are neither 0, 1 nor empty (the first is {first:g}). "
            f"{remedy}",
            reason="bad_labels",
        )
    unknown = np.isnan(values)
    if unknown.all():
        raise InvalidTable(
            "All labels are empty, so nothing can be evaluated. Give a labels table.",
            reason="no_labels",
        )
    n_unknown = dict(zip(findings or columns, map(int, unknown.sum(axis=0)), strict=True))
    never = [name for name, n in n_unknown.items() if n == len(values)]
    notes += [f"No film has a label of {', '.join(never)}."] if never else []
    notes += [
        f"{name}: {n} of {len(values)} films have no label and are left out."
        for name, n in n_unknown.items()
        if 0 < n < len(values)
    ]
    return values, notes


def patients_of(
    truth: pd.DataFrame, table: pd.DataFrame, images: NDArray[np.str_], one_each: bool
) -> tuple[NDArray[np.str_], list[str]]:
    """Patients of the images, from the labels first, from the images' names last.

    Returns:
        str, shape (N,), and what a reader must know of it.

    Raises:
        InvalidTable: If nothing names the patient of every image.
    """
    if one_each:
        return images, ["It was stated that no patient has two images."]
    gaps = []
    for source in (truth, table):
        for name in columns_named(source, PATIENT_COLUMNS):
            patients = source[name].astype(object).where(source[name].notna(), "").astype(str)
            n_blank = int((patients.str.strip() == "").sum())
            if not n_blank:
                return patients.to_numpy(dtype=np.str_), []
            gaps.append(f"{n_blank} of {len(patients)} images have no patient in '{name}'")
    for source in (table, truth):
        named = patients_in_names(source)
        if named is not None:
            return named[0], [f"Patients are taken from the images' names, as {named[1]} has them."]
    if gaps:
        raise InvalidTable(
            f"{' and '.join(dict.fromkeys(gaps))}, and intervals are by patients. Fill these "
            "cells, or leave the images out.",
            reason="no_patients",
        )
    raise InvalidTable(
        "The images have no patients, and intervals are by patient. Add a patient_id column to "
        "the predictions or the labels; only if no patient has two images, say so with "
        "one_image_a_patient (--one-image-a-patient).",
        reason="no_patients",
    )


def facts_of(truth: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Facts that subgroups are made of, from the labels first; empty where unknown."""
    columns: dict[str, object] = {}
    for fact in FACT_COLUMNS:
        found = (
            source[column]
            for source in (truth, table)
            for column in columns_named(source, FACT_ALIASES[fact])
            if not source[column].isna().all()
        )
        values = next(found, None)
        if fact in ("age", "follow_up"):
            columns[fact] = np.full(len(truth), np.nan) if values is None else _amounts(values)
        else:
            columns[fact] = (
                np.full(len(truth), "", dtype=object)
                if values is None
                else values.astype(object).where(values.notna(), "").astype(str).to_numpy()
            )
    return pd.DataFrame(columns)


def _amounts(values: pd.Series) -> Floats:
    """Numbers, and DICOM's ages in years such as 061Y; NaN for anything else."""
    if values.dtype == object or values.dtype == "string":
        values = values.astype(str).str.replace(r"(?<=\d)[Yy]$", "", regex=True)
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
