"""Prediction columns: find scores, labels, patients and facts in anybody's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.logits import sigmoid
from monai_cxr.findings import FINDINGS
from monai_cxr.tables import FACT_COLUMNS, findings_in

Floats = NDArray[np.float64]

IMAGE_COLUMNS = (
    "sop_uid",
    "Image Index",
    "image_id",
    "image",
    "Image",
    "filename",
    "file",
    "path",
    "Path",
    "id",
)
"""Spellings of the image column, in the order in which they are tried."""

PATIENT_COLUMNS = ("patient_id", "Patient ID", "patientid", "patient", "subject_id", "PatientID")
"""Spellings of the patient column."""

PROBABILITY_PREFIXES = ("probability_", "prob_", "p_")
"""Spellings of a probability column, before the finding."""

_FACT_ALIASES: Mapping[str, tuple[str, ...]] = {
    "view": ("view", "View Position", "ViewPosition"),
    "age": ("age", "Patient Age", "patient_age"),
    "sex": ("sex", "Patient Gender", "Patient Sex", "gender"),
    "follow_up": ("follow_up", "Follow-up #"),
    "manufacturer": ("manufacturer", "Manufacturer", "site"),
}

UNCALIBRATED = "The model is not calibrated: probabilities are the sigmoid of its logits."
"""What a reader must know of logits without probabilities; a calibration takes it away."""


def image_identifiers(table: pd.DataFrame, *, what: str) -> NDArray[np.str_]:
    """Identifiers of the images, str, shape (N,); file names without their folders.

    Args:
        table: With one of :data:`IMAGE_COLUMNS`.
        what: What the table holds, for messages.

    Raises:
        InvalidTable: If there is no such column, or an image is repeated.
    """
    column = next((name for name in IMAGE_COLUMNS if name in table.columns), None)
    if column is None:
        raise InvalidTable(
            f"The {what} have no image column. Expected one of {', '.join(IMAGE_COLUMNS)}, but got "
            f"{', '.join(map(str, list(table.columns)[:8]))}.",
            reason="missing_columns",
        )
    values = table[column].astype(str)
    if column in ("path", "Path", "file", "filename"):
        values = values.str.replace("\\", "/", regex=False).str.rsplit("/", n=1).str[-1]
    repeated = values[values.duplicated()]
    if len(repeated):
        raise InvalidTable(
            f"The {what} list {len(repeated)} images more than once, the first is "
            f"'{repeated.iloc[0]}'. Expected each image once: average or drop the repeats.",
            reason="duplicated_images",
        )
    return values.to_numpy(dtype=np.str_)


def scored_findings(table: pd.DataFrame) -> dict[str, tuple[str | None, str | None]]:
    """Finding -> (its probability column, its logit column), in column order."""
    probabilities: dict[str, str] = {}
    for prefix in PROBABILITY_PREFIXES:
        for name in findings_in(table, prefix):
            probabilities.setdefault(canonical_finding(name), f"{prefix}{name}")
    logits = {canonical_finding(name): f"logit_{name}" for name in findings_in(table, "logit_")}
    names = list(dict.fromkeys([*probabilities, *logits]))
    if not names:
        raise InvalidTable(
            "The predictions have no scores. Expected columns named probability_<finding>, "
            f"prob_<finding> or logit_<finding>, but got {', '.join(map(str, table.columns[:8]))}.",
            reason="no_probabilities",
        )
    return {name: (probabilities.get(name), logits.get(name)) for name in names}


def label_columns_of(table: pd.DataFrame) -> dict[str, str]:
    """Finding to label column: ``label_<finding>`` if there are any, else the finding's name."""
    prefixed = {canonical_finding(name): f"label_{name}" for name in findings_in(table, "label_")}
    if prefixed:
        return prefixed
    return {canonical_finding(str(name)): str(name) for name in table.columns}


def canonical_finding(name: str) -> str:
    """NIH's spelling of a known finding; other names stay as they are."""
    return FINDINGS[name].name if name in FINDINGS else name


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
    logits = numbers_of(table, [str(logit) for _, logit in columns]) if with_logits else None
    if logits is not None and not np.isfinite(logits).all():
        raise InvalidTable(
            f"{int((~np.isfinite(logits)).sum())} logits are not finite. Predict these images "
            "again.",
            reason="bad_logits",
        )
    named = [name for name, _ in columns if name is not None]
    probabilities = numbers_of(table, named) if len(named) == len(columns) else None
    if logits is not None and (probabilities is None or np.isnan(probabilities).all()):
        return logits, sigmoid(logits), [UNCALIBRATED]
    if probabilities is None:
        raise InvalidTable(
            "Some findings have probabilities, others only logits. Expected one kind for all.",
            reason="no_probabilities",
        )
    _check_probabilities(probabilities, named)
    return logits, probabilities, []


def numbers_of(table: pd.DataFrame, columns: Sequence[str]) -> Floats:
    """Columns as float64, shape (N, len(columns)); empty cells are NaN."""
    try:
        return table.loc[:, list(columns)].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InvalidTable(
            f"Columns {', '.join(columns[:4])} hold text. Expected numbers.", reason="not_numbers"
        ) from error


def _check_probabilities(probabilities: Floats, columns: Sequence[str]) -> None:
    missing = np.isnan(probabilities)
    if missing.any():
        column = columns[int(np.argmax(missing.any(axis=0)))]
        raise InvalidTable(
            f"{int(missing.sum())} probabilities are empty, the first in '{column}'. Expected a "
            "number for each image and finding: drop the images that could not be predicted.",
            reason="missing_probabilities",
        )
    outside = (probabilities < 0.0) | (probabilities > 1.0)
    if outside.any():
        column = columns[int(np.argmax(outside.any(axis=0)))]
        low, high = float(probabilities.min()), float(probabilities.max())
        raise InvalidTable(
            f"{int(outside.sum())} values in '{column}' and others lie outside [0, 1] (range "
            f"{low:.3g} to {high:.3g}): these look like logits. Name such columns "
            "logit_<finding>, or apply a sigmoid first.",
            reason="not_probabilities",
        )


def labels_of(table: pd.DataFrame, columns: Sequence[str]) -> Floats:
    """Labels, float64, shape (N, F): 0, 1 or NaN.

    Raises:
        InvalidTable: If another value is there, or nothing at all.
    """
    values = numbers_of(table, columns)
    wrong = ~(np.isnan(values) | (values == 0.0) | (values == 1.0))
    if wrong.any():
        raise InvalidTable(
            f"{int(wrong.sum())} labels are neither 0, 1 nor empty (the first is "
            f"{values[wrong][0]:g}). Map uncertain labels by a named policy first.",
            reason="bad_labels",
        )
    if np.isnan(values).all():
        raise InvalidTable(
            "All labels are empty, so nothing can be evaluated. Give a labels table.",
            reason="no_labels",
        )
    return values


def patients_of(
    truth: pd.DataFrame, table: pd.DataFrame, images: NDArray[np.str_], one_each: bool
) -> NDArray[np.str_]:
    """Patients of the images, str, shape (N,), from the labels first.

    Raises:
        InvalidTable: If no table names the patient of every image.
    """
    if one_each:
        return images
    for source in (truth, table):
        for name in PATIENT_COLUMNS:
            if name not in source.columns:
                continue
            empty = source[name].isna() | (source[name].astype(str) == "")
            if not empty.any():
                return source[name].astype(str).to_numpy(dtype=np.str_)
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
            source[alias]
            for source in (truth, table)
            for alias in _FACT_ALIASES[fact]
            if alias in source.columns and not source[alias].isna().all()
        )
        values = next(found, None)
        if fact in ("age", "follow_up"):
            columns[fact] = (
                np.full(len(truth), np.nan)
                if values is None
                else pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
            )
        else:
            columns[fact] = (
                np.full(len(truth), "", dtype=object)
                if values is None
                else values.astype(object).where(values.notna(), "").astype(str).to_numpy()
            )
    return pd.DataFrame(columns)
