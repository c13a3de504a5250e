"""Prediction sets: probabilities, labels and patients of the same images, checked once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.findings import FINDINGS
from monai_cxr.tables import FACT_COLUMNS, findings_in, read_table

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


@dataclass(frozen=True, slots=True, eq=False)
class PredictionSet:
    """Scores and truth of N images for F findings.

    Attributes:
        image_ids: str, shape (N,).
        patient_ids: str, shape (N,).
        findings: F names, the order of the columns below.
        logits: float64, shape (N, F), or None when only probabilities are known.
        probabilities: float64, shape (N, F), in [0, 1].
        labels: float64, shape (N, F): 0, 1, or NaN where unknown.
        facts: N rows of view, age, sex, follow_up, manufacturer.
        notes: What a reader must know, in sentences: images left out, sources of columns.
    """

    image_ids: NDArray[np.str_]
    patient_ids: NDArray[np.str_]
    findings: tuple[str, ...]
    logits: Floats | None
    probabilities: Floats
    labels: Floats
    facts: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.image_ids)

    @property
    def n_patients(self) -> int:
        """How many patients there are."""
        return len(np.unique(self.patient_ids))

    @property
    def digest(self) -> str:
        """SHA-256 over images and labels, in image order: the identity of the data."""
        order = np.argsort(self.image_ids)
        state = hashlib.sha256("\n".join(self.image_ids[order]).encode())
        state.update("\n".join(self.findings).encode())
        state.update(np.nan_to_num(self.labels[order], nan=2.0).astype(np.uint8).tobytes())
        return state.hexdigest()

    def where(self, chosen: NDArray[np.bool_]) -> PredictionSet:
        """The images where ``chosen`` (bool, shape (N,)) is true."""
        return replace(
            self,
            image_ids=self.image_ids[chosen],
            patient_ids=self.patient_ids[chosen],
            logits=None if self.logits is None else self.logits[chosen],
            probabilities=self.probabilities[chosen],
            labels=self.labels[chosen],
            facts=self.facts.loc[chosen].reset_index(drop=True),
        )

    def with_probabilities(self, probabilities: Floats, *notes: str) -> PredictionSet:
        """The same images with other probabilities, float64, shape (N, F), in [0, 1]."""
        return replace(self, probabilities=probabilities, notes=(*self.notes, *notes))


def load_predictions(
    source: Path | str | pd.DataFrame,
    *,
    labels: pd.DataFrame | None = None,
    findings: Sequence[str] | None = None,
    one_image_a_patient: bool = False,
) -> PredictionSet:
    """Read predictions, ours or anybody's, and align them with labels.

    Args:
        source: A parquet or CSV file, or its table: an image column (:data:`IMAGE_COLUMNS`) and
            ``probability_<finding>`` or ``prob_<finding>`` (and, optionally, ``logit_<finding>``).
        labels: Rows with an image column, a column a finding (0, 1 or empty), the patient, and
            facts; None takes ``label_<finding>`` and ``patient_id`` from the predictions.
        findings: Findings to keep; all that have both scores and labels by default.
        one_image_a_patient: State that no patient has two images, so that none need be named.

    Returns:
        The aligned set; images without labels are left out and counted in its notes.

    Raises:
        InvalidTable: If columns are missing, values are impossible, images are repeated, no
            patients are known, or no image has labels.
    """
    table = source if isinstance(source, pd.DataFrame) else read_table(source)
    table, refusals = _scored_rows(table)
    image_ids = _image_ids(table, what="predictions")
    scored = _scored_findings(table)
    truth = table if labels is None else labels
    label_columns = _label_columns(truth)
    names = _common_findings(tuple(scored), tuple(label_columns), findings)
    rows, label_rows, notes = _matched_rows(image_ids, table, labels)
    truth = truth.iloc[label_rows]
    kept = table.iloc[rows]
    logits, probabilities, score_notes = _scores(kept, [scored[name] for name in names])
    label_values = _labels(truth, [label_columns[name] for name in names])
    notes += refusals + score_notes + _disagreement(kept, names, label_values, labels is not None)
    return PredictionSet(
        image_ids=image_ids[rows],
        patient_ids=_patients(truth, kept, image_ids[rows], one_image_a_patient),
        findings=names,
        logits=logits,
        probabilities=probabilities,
        labels=label_values,
        facts=_facts(truth, kept),
        notes=tuple(notes),
    )


def _scored_rows(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the images that predict refused; its ``reason`` column says which."""
    if "reason" not in table.columns:
        return table, []
    scored = table["reason"].fillna("") == ""
    n_refused = int((~scored).sum())
    notes = [f"{n_refused} of {len(table)} images were not scored and are left out."]
    return table[scored].reset_index(drop=True), notes if n_refused else []


def _image_ids(table: pd.DataFrame, *, what: str) -> NDArray[np.str_]:
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


def _scored_findings(table: pd.DataFrame) -> dict[str, tuple[str | None, str | None]]:
    """Finding -> (its probability column, its logit column), in column order."""
    probabilities: dict[str, str] = {}
    for prefix in PROBABILITY_PREFIXES:
        for name in findings_in(table, prefix):
            probabilities.setdefault(_canonical(name), f"{prefix}{name}")
    logits = {_canonical(name): f"logit_{name}" for name in findings_in(table, "logit_")}
    names = list(dict.fromkeys([*probabilities, *logits]))
    if not names:
        raise InvalidTable(
            "The predictions have no scores. Expected columns named probability_<finding>, "
            f"prob_<finding> or logit_<finding>, but got {', '.join(map(str, table.columns[:8]))}.",
            reason="no_probabilities",
        )
    return {name: (probabilities.get(name), logits.get(name)) for name in names}


def _label_columns(table: pd.DataFrame) -> dict[str, str]:
    prefixed = {_canonical(name): f"label_{name}" for name in findings_in(table, "label_")}
    if prefixed:
        return prefixed
    return {_canonical(str(name)): str(name) for name in table.columns}


def _canonical(name: str) -> str:
    return FINDINGS[name].name if name in FINDINGS else name


def _common_findings(
    scored: tuple[str, ...], labelled: tuple[str, ...], wanted: Sequence[str] | None
) -> tuple[str, ...]:
    known = set(labelled)
    names = scored if wanted is None else tuple(_canonical(name) for name in wanted)
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


def _matched_rows(
    image_ids: NDArray[np.str_], table: pd.DataFrame, labels: pd.DataFrame | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], list[str]]:
    if labels is None:
        rows = np.arange(len(table))
        return rows, rows, []
    keys = pd.Index(_image_ids(labels, what="labels"))
    found = keys.get_indexer(pd.Index(image_ids))
    rows = np.flatnonzero(found >= 0)
    if not len(rows):
        example = image_ids[0] if len(image_ids) else "nothing"
        raise InvalidTable(
            f"None of the {len(image_ids)} predicted images is in the labels (predicted: "
            f"'{example}', labelled: '{keys[0] if len(keys) else 'nothing'}'). Give the labels of "
            "these images, keyed by the same name.",
            reason="no_overlap",
        )
    absent = len(image_ids) - len(rows)
    note = f"{absent} of {len(image_ids)} predicted images have no labels and are left out."
    return rows, found[rows], [note] if absent else []


def _scores(
    table: pd.DataFrame, columns: Sequence[tuple[str | None, str | None]]
) -> tuple[Floats | None, Floats, list[str]]:
    with_logits = all(logit is not None for _, logit in columns)
    logits = _numbers(table, [str(logit) for _, logit in columns]) if with_logits else None
    if logits is not None and not np.isfinite(logits).all():
        raise InvalidTable(
            f"{int((~np.isfinite(logits)).sum())} logits are not finite. Predict these images "
            "again.",
            reason="bad_logits",
        )
    named = [name for name, _ in columns if name is not None]
    probabilities = _numbers(table, named) if len(named) == len(columns) else None
    if logits is not None and (probabilities is None or np.isnan(probabilities).all()):
        note = "The model is not calibrated: probabilities are the sigmoid of its logits."
        return logits, sigmoid(logits), [note]
    if probabilities is None:
        raise InvalidTable(
            "Some findings have probabilities, others only logits. Expected one kind for all.",
            reason="no_probabilities",
        )
    _check_probabilities(probabilities, named)
    return logits, probabilities, []


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)), without overflow; same shape, in [0, 1]."""
    half: Floats = 0.5 * (1.0 + np.tanh(0.5 * logits))
    small = logits < -30.0  # tanh has lost its digits there
    if small.any():
        half = np.where(small, np.exp(np.minimum(logits, 0.0)), half)
    return half


def _numbers(table: pd.DataFrame, columns: Sequence[str]) -> Floats:
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


def _labels(table: pd.DataFrame, columns: Sequence[str]) -> Floats:
    values = _numbers(table, columns)
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


def _disagreement(
    table: pd.DataFrame, names: Sequence[str], labels: Floats, given: bool
) -> list[str]:
    own = [f"label_{name}" for name in names]
    if not given or not set(own) <= set(table.columns):
        return []
    theirs = _numbers(table, own)
    known = ~np.isnan(theirs) & ~np.isnan(labels)
    different = int((theirs[known] != labels[known]).sum())
    return (
        [
            f"{different} of {int(known.sum())} labels differ from those stored with the "
            "predictions: the labels are of another version. The given ones are used."
        ]
        if different
        else []
    )


def _patients(
    truth: pd.DataFrame, table: pd.DataFrame, images: NDArray[np.str_], one_each: bool
) -> NDArray[np.str_]:
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


def _facts(truth: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
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
