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
from monai_cxr.evaluation.predictions.column_names import label_columns, sums_up
from monai_cxr.evaluation.predictions.image_names import (
    image_identifiers,
    matched_rows,
    numbering_of,
)
from monai_cxr.evaluation.predictions.prediction_columns import (
    UNCALIBRATED,
    common_findings,
    facts_of,
    labels_of,
    patients_of,
    scored_findings,
    scores_of,
    sum_to_one,
)
from monai_cxr.evaluation.statistics.logits import sigmoid
from monai_cxr.findings import FINDINGS
from monai_cxr.label_policy import LabelPolicy
from monai_cxr.tables import CORRECTED_BY, label_numbers, read_table

Floats = NDArray[np.float64]


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
    def numbering(self) -> str:
        """Whose patient numbers these are, such as ``"NIH"``, where the images' names tell."""
        return numbering_of(self.image_ids)

    @property
    def digest(self) -> str:
        """SHA-256 over images and labels, in image order: the identity of the data."""
        order = np.argsort(self.image_ids)
        state = hashlib.sha256("\n".join(self.image_ids[order]).encode())
        state.update("\n".join(self.findings).encode())
        state.update(np.nan_to_num(self.labels[order], nan=2.0).astype(np.uint8).tobytes())
        return state.hexdigest()

    def where(self, chosen: NDArray[np.bool_]) -> PredictionSet:
        """The images where ``chosen`` (bool, shape (N,)) is true.

        Raises:
            TypeError: If ``chosen`` are rows; they are for :meth:`select`.
        """
        if chosen.dtype != np.bool_:
            raise TypeError(f"Expected a mask of bool, got {chosen.dtype}. Give rows to select().")
        return self.select(np.flatnonzero(chosen), self.findings)

    def select(self, rows: NDArray[np.intp], findings: Sequence[str]) -> PredictionSet:
        """Some images, by row, and some findings, both in the order given."""
        columns = np.array([self.findings.index(name) for name in findings], dtype=np.intp)
        cells = np.ix_(rows, columns)
        return replace(
            self,
            image_ids=self.image_ids[rows],
            patient_ids=self.patient_ids[rows],
            findings=tuple(findings),
            logits=None if self.logits is None else self.logits[cells],
            probabilities=self.probabilities[cells],
            labels=self.labels[cells],
            facts=self.facts.iloc[rows].reset_index(drop=True),
        )

    def with_probabilities(self, probabilities: Floats, *notes: str) -> PredictionSet:
        """The same images with calibrated probabilities, float64, shape (N, F), in [0, 1]."""
        kept = tuple(note for note in self.notes if note != UNCALIBRATED)
        return replace(self, probabilities=probabilities, notes=(*kept, *notes))


def load_predictions(
    source: Path | str | pd.DataFrame,
    *,
    labels: pd.DataFrame | None = None,
    findings: Sequence[str] | None = None,
    uncertain: str = "refuse",
    blank: str = "unknown",
    one_image_a_patient: bool = False,
) -> PredictionSet:
    """Read predictions, ours or anybody's, and align them with labels.

    Args:
        source: A parquet or CSV file, or its table: an image column such as ``sop_uid``,
            ``Image Index`` or ``path``, and ``probability_<finding>`` or ``prob_<finding>`` (and,
            optionally, ``logit_<finding>``); any known spelling of a finding.
        labels: Rows with an image column, a column per finding (0, 1 or empty), the patient, and
            facts; None takes ``label_<finding>`` and ``patient_id`` from the predictions. Patients
            that neither table names are read from NIH's, CheXpert's or MIMIC-CXR's file names.
        findings: Findings to keep; all that have both scores and labels by default.
        uncertain: What a label of -1 counts as: ``"refuse"``, ``"unknown"``, ``"absent"`` or
            ``"present"``.
        blank: What an empty label counts as: ``"unknown"`` or ``"absent"``.
        one_image_a_patient: State that no patient has two images, so that none need be named.

    Returns:
        The aligned set; images without labels are left out and counted in its notes.

    Raises:
        InvalidTable: If columns are missing, values are impossible, images are repeated, no
            patients are known, or no image has labels.
    """
    table, refusals = _scored_rows(
        source if isinstance(source, pd.DataFrame) else read_table(source)
    )
    image_ids = image_identifiers(table, what="predictions")
    scored = scored_findings(table, bare=labels is not None)
    truth = table if labels is None else labels
    labelled = label_columns(truth)
    names = common_findings(tuple(scored), tuple(labelled), findings)
    rows, label_rows, notes = _matched_rows(table, labels)
    truth = truth.iloc[label_rows]
    kept = table.iloc[rows]
    logits, probabilities, score_notes = scores_of(kept, [scored[name] for name in names])
    if findings is None:
        chosen, more = _single_findings(names, _unit(logits, probabilities))
        names = tuple(names[i] for i in chosen)
        logits = None if logits is None else logits[:, chosen]
        probabilities, score_notes = probabilities[:, chosen], [*score_notes, *more]
    columns, policy = [labelled[name] for name in names], LabelPolicy(uncertain, blank)
    label_values, label_notes = labels_of(truth, columns, findings=names, policy=policy)
    patients, patient_notes = patients_of(truth, kept, image_ids[rows], one_image_a_patient)
    notes += refusals + score_notes + label_notes + patient_notes + _label_sets(truth)
    notes += _disagreement(kept, names, label_values, labels is not None)
    notes += _left_out(scored, names) if findings is None else []
    numbers = (logits, probabilities, label_values)
    facts = facts_of(truth, kept)
    return PredictionSet(image_ids[rows], patients, names, *numbers, facts, tuple(notes))


def _unit(logits: Floats | None, probabilities: Floats) -> Floats:
    return probabilities if logits is None else sigmoid(logits)


def _single_findings(names: Sequence[str], scores: Floats) -> tuple[list[int], list[str]]:
    """Columns of one finding each, without those that sum up the film, as "No Finding" does.

    Such a column has no place in a mean over findings or in "any finding". It is kept where it
    stands alone, and where the classes exclude each other, as those of a softmax.
    """
    everything = list(range(len(names)))
    chosen = [i for i in everything if not sums_up(names[i])]
    if not chosen or len(chosen) == len(names) or sum_to_one(scores):
        return everything, []
    named = ", ".join(name for name in names if sums_up(name))
    return chosen, [
        f"{named}: says something of the whole film and is no finding, so it is left out of the "
        "findings, their means and 'any finding'. To evaluate it alone, give its column alone."
    ]


def _scored_rows(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the images that predict refused; its ``reason`` column says which."""
    if table.empty:
        raise InvalidTable("The predictions hold no images.", reason="empty_table")
    if "reason" not in table.columns:
        return table.reset_index(drop=True), []
    scored = table["reason"].fillna("") == ""
    n_refused = int((~scored).sum())
    if not scored.any():
        raise InvalidTable(
            f"None of the {len(table)} images was scored; the column 'reason' says why.",
            reason="nothing_scored",
        )
    notes = [f"{n_refused} of {len(table)} images were not scored and are left out."]
    return table[scored].reset_index(drop=True), notes if n_refused else []


def _matched_rows(
    table: pd.DataFrame, labels: pd.DataFrame | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], list[str]]:
    if labels is None:
        rows = np.arange(len(table))
        return rows, rows, []
    rows, label_rows = matched_rows(table, labels)
    absent = len(table) - len(rows)
    note = f"{absent} of {len(table)} predicted images have no labels and are left out."
    return rows, label_rows, [note] if absent else []


def _left_out(scored: Mapping[str, object], names: Sequence[str]) -> list[str]:
    absent = [name for name in scored if name in FINDINGS and name not in names]
    return [f"No labels, so not evaluated: {', '.join(absent)}."] if absent else []


def _label_sets(truth: pd.DataFrame) -> list[str]:
    """Which labels were used, where an overlay of corrections was applied to the index."""
    if CORRECTED_BY not in truth:
        return []
    counts = truth[CORRECTED_BY].fillna("").value_counts()
    parts = [
        f"{n} films with labels corrected by {name}" if name else f"{n} with original labels"
        for name, n in counts.items()
    ]
    return [f"Labels: {', '.join(parts)}."]


def _disagreement(
    table: pd.DataFrame, names: Sequence[str], labels: Floats, given: bool
) -> list[str]:
    own = [f"label_{name}" for name in names]
    if not given or not set(own) <= set(table.columns):
        return []
    theirs = label_numbers(table, own)
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
