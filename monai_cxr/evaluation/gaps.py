"""Gaps: why a number is missing or not to be trusted, in sentences that every output carries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.calibration.calibrator import Calibrator
from monai_cxr.evaluation.decisions.decision_rules import DecisionRules
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.statistics.clusters import Clusters
from monai_cxr.evaluation.statistics.intervals import FEW_PATIENTS, FEWEST_REPLICATES
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

_SETS = dict.fromkeys(("nih", "nihchestxray14", "nihcxr14", "cxr14", "chestxray8"), "chestxray14")


def too_few_for_intervals(n_patients: int, n_bootstrap: int) -> list[str]:
    """Why an evaluation has no intervals at all."""
    if n_patients < 2:
        return ["All images belong to one patient, so there are no intervals."]
    if 0 < n_bootstrap < FEWEST_REPLICATES:
        return [f"{n_bootstrap} replicates are too few for intervals; 1,000 or more are usual."]
    return []


def training_overlap(
    trained_on: Sequence[Mapping[str, object]], data: str, split: str
) -> list[str]:
    """Whether the films evaluated may be films that the weights were trained on.

    Args:
        trained_on: ``trained_on`` of a bundle's metadata: ``data``, ``split``, and in ``free`` the
            splits of that data set that trained nothing.
        data: Name of the data set evaluated; ``""`` where nobody said.
        split: Its split.

    Returns:
        One sentence a data set, none where nothing overlaps.
    """
    if trained_on and not data:
        names = ", ".join(str(part["data"]) for part in trained_on)
        return [
            f"The weights were trained on {names}, and the data set evaluated is not named "
            "(--data), so nothing tells whether these films are among them."
        ]
    return [
        f"The weights were trained on {part['data']} ({part['split']}), and these films are of "
        f"{data}, split '{split or 'not named'}': they may be films they were trained on, and the "
        "numbers too good."
        for part in trained_on
        if _same_set(data, str(part["data"])) and split not in part.get("free", ())  # type: ignore[operator]
    ]


def _same_set(name: str, other: str) -> bool:
    first, second = ("".join(filter(str.isalnum, text.casefold())) for text in (name, other))
    return _SETS.get(first, first) == _SETS.get(second, second)


def calibration_overlap(
    predictions: PredictionSet, calibrator: Calibrator, allowed: bool
) -> list[str]:
    """Patients that also fitted the calibration.

    Raises:
        InvalidTable: If there are any and that is not allowed.
    """
    sketch = calibrator.provenance.patients
    if sketch is None:
        return []
    seen = sketch.seen(predictions.patient_ids)
    if not seen.any():
        return []
    n_seen = len(np.unique(predictions.patient_ids[seen]))
    if not sketch.same_numbering(predictions.numbering):
        return [_taken_for_others(n_seen, predictions, "fitted the calibration")]
    text = (
        f"{n_seen} of {predictions.n_patients} patients also fitted the calibration, by their "
        "numbers, so the calibration errors shown are too small."
    )
    if not allowed:
        raise InvalidTable(
            f"{text} Evaluate on other patients, or allow the overlap and have it marked. Where "
            "two sets only count their patients alike, put the set's name before the number "
            "(site:00000001), as index join does.",
            reason="patient_overlap",
        )
    return [f"OVERLAP: {text}"]


def rules_overlap(predictions: PredictionSet, rules: DecisionRules) -> list[str]:
    """Patients that also chose the operating points."""
    if rules.patients is None or not rules.patients.seen(predictions.patient_ids).any():
        return []
    n_seen = len(np.unique(predictions.patient_ids[rules.patients.seen(predictions.patient_ids)]))
    if not rules.patients.same_numbering(predictions.numbering):
        return [_taken_for_others(n_seen, predictions, "chose the operating points")]
    return [
        f"OVERLAP: {n_seen} of {predictions.n_patients} patients also chose the operating points, "
        "by their numbers, so their rates here are too good."
    ]


def _taken_for_others(n_seen: int, predictions: PredictionSet, what: str) -> str:
    return (
        f"{n_seen} of {predictions.n_patients} patients have the number of a patient who {what}. "
        "They are taken for others, because the names of the films are those of another set."
    )


def finding_gaps(
    p: Floats, y: Floats, auroc: Interval, rarer: Clusters, *, wanted: bool
) -> tuple[str, ...]:
    """Why numbers of a finding are missing, in sentences."""
    labelled = y[~np.isnan(y)]
    if not len(labelled):
        return ("no labels, so it cannot be evaluated.",)
    if not labelled.any():
        return ("no positive images, so discrimination cannot be estimated.",)
    if labelled.all():
        return ("no negative images, so discrimination cannot be estimated.",)
    gaps = []
    if float(np.ptp(p[~np.isnan(y)])) == 0.0:
        gaps.append("all scores are equal, so it ranks nothing.")
    if wanted and math.isnan(auroc.low):
        gaps.append("too few patients of one class for an interval.")
    elif wanted and rarer.n_effective < FEW_PATIENTS:
        gaps.append(
            f"the rarer class is worth {rarer.n_effective} patients only: too few for an "
            "interval of the ECE, and its other intervals hold the truth less often than in 95 of "
            "100."
        )
    return tuple(gaps)
