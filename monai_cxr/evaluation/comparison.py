"""Comparison: two models on the same images, finding by finding, corrected for 14 looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.atomic import write_json
from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.json_values import json_of
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.statistics.blas_threads import one_blas_thread
from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import patient_codes, rarer_class
from monai_cxr.evaluation.statistics.delong import delong_p
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.evaluation.statistics.intervals import (
    Resampled,
    difference_interval,
    mean_of,
    patient_interval,
)
from monai_cxr.evaluation.statistics.replicates import compile_ranking, replicate
from monai_cxr.evaluation.statistics.significance import bootstrap_p, holm
from monai_cxr.prediction import Interval
from monai_cxr.tables import write_table

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FindingComparison:
    """Model B against model A for one finding.

    Attributes:
        finding: Name.
        n: Images with a known label.
        n_positive: Of these, the positive ones.
        auroc_a: AUROC of model A.
        auroc_b: AUROC of model B.
        difference: B minus A, with the paired patient bootstrap interval.
        p_patient: Two-sided p from the paired patient bootstrap; at least 1 / (B + 1).
        p_delong: Two-sided p of DeLong's paired test, which takes images for independent.
        p_adjusted: ``p_patient`` after Holm's correction over the findings.
    """

    finding: str
    n: int
    n_positive: int
    auroc_a: Interval
    auroc_b: Interval
    difference: Interval
    p_patient: float
    p_delong: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        names: Names of model A and model B.
        findings: One per finding.
        macro: Difference of the macro AUROCs, B minus A.
        macro_p: Two-sided p of that difference.
        n_images: Images that both scored.
        n_patients: Their patients.
        n_bootstrap: Replicates.
        seed: Seed of the bootstrap.
        warnings: What a reader must know, in sentences.
    """

    names: tuple[str, str]
    findings: tuple[FindingComparison, ...]
    macro: Interval
    macro_p: float
    n_images: int
    n_patients: int
    n_bootstrap: int
    seed: int
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The value of ``comparison.json``; what is not known is null."""
        return {
            "format": "monai_cxr comparison",
            "schema_version": "1.0",
            "a": self.names[0],
            "b": self.names[1],
            "n_images": self.n_images,
            "n_patients": self.n_patients,
            "method": {
                "interval": "paired patient bootstrap, percentile, 95 %",
                "correction": "Holm over findings",
                "n_bootstrap": self.n_bootstrap,
                "seed": self.seed,
            },
            "macro": json_of({"difference": self.macro, "p": self.macro_p}),
            "findings": {entry.pop("finding"): entry for entry in json_of(self.findings)},
            "warnings": list(self.warnings),
        }

    def table(self) -> pd.DataFrame:
        """One row per finding, then the macro difference."""
        rows = [
            {
                **{name: getattr(item, name) for name in ("finding", "n", "n_positive")},
                "auroc_a": item.auroc_a.estimate,
                "auroc_b": item.auroc_b.estimate,
                **_difference(item.difference, item.p_patient),
                "p_delong": item.p_delong,
                "p_adjusted": item.p_adjusted,
            }
            for item in self.findings
        ]
        macro = {"finding": "macro", "n": self.n_images, **_difference(self.macro, self.macro_p)}
        return pd.DataFrame([*rows, macro]).astype({"n": "Int64", "n_positive": "Int64"})


def _difference(difference: Interval, p: float) -> dict[str, float]:
    estimate, low, high = difference.estimate, difference.low, difference.high
    keys = ("difference", "difference_low", "difference_high", "p_patient")
    return dict(zip(keys, (estimate, low, high, p), strict=True))


@one_blas_thread()
def compare(
    a: PredictionSet,
    b: PredictionSet,
    *,
    names: tuple[str, str] = ("A", "B"),
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the images that both scored.

    Args:
        a: Predictions of model A.
        b: Predictions of model B.
        names: What to call them.
        n_bootstrap: Patient replicates, the same for both models.
        seed: Seed of the bootstrap.

    Returns:
        Differences B minus A.

    Raises:
        InvalidTable: If they share no image or finding, or disagree about labels or patients.
    """
    a, b, warnings = _paired(a, b)
    codes, n_patients = patient_codes(a.patient_ids)
    if n_patients < 2:
        raise InvalidTable(
            "All images belong to one patient, so models cannot be compared by patient.",
            reason="too_few_patients",
        )
    areas = areas_of((a, b), a.labels, codes, BootstrapPlan(n_patients, n_bootstrap, seed))
    differences = [second.minus(first) for first, second in zip(*areas, strict=True)]
    intervals = [[patient_interval(area, of_area=True) for area in model] for model in areas]
    p_values = [bootstrap_p(difference) for difference in differences]
    adjusted = holm(p_values)
    findings = tuple(
        FindingComparison(
            finding=name,
            n=int((~np.isnan(a.labels[:, i])).sum()),
            n_positive=int((a.labels[:, i] == 1.0).sum()),
            auroc_a=intervals[0][i],
            auroc_b=intervals[1][i],
            difference=difference_interval(differences[i], (intervals[1][i], intervals[0][i])),
            p_patient=p_values[i],
            p_delong=delong_p(a.probabilities[:, i], b.probabilities[:, i], a.labels[:, i]),
            p_adjusted=float(adjusted[i]),
        )
        for i, name in enumerate(a.findings)
    )
    macro, macro_p = _macro(differences)
    return Comparison(
        names, findings, macro, macro_p, len(a), n_patients, n_bootstrap, seed, tuple(warnings)
    )


def areas_of(
    models: Sequence[PredictionSet], labels: Floats, codes: NDArray[np.intp], plan: BootstrapPlan
) -> list[list[Resampled]]:
    """AUROCs of each model, finding by finding, on the same replicates.

    Args:
        models: Predictions of the same N images and F findings.
        labels: Shape (N, F), 0, 1 or NaN.
        codes: Shape (N,), patients, from 0.
        plan: How patients are drawn.
    """
    columns = range(labels.shape[1])
    compiled = [
        compile_ranking(model.probabilities[:, i], labels[:, i], codes, plan.n_patients)
        for model in models
        for i in columns
    ]
    drawn = iter(replicate(compiled, plan))
    behind = [rarer_class(codes, labels[:, i]) for i in columns]
    return [
        [
            Resampled(auroc(model.probabilities[:, i], labels[:, i]), next(drawn)[0], behind[i])
            for i in columns
        ]
        for model in models
    ]


def write_comparison(comparison: Comparison, directory: Path | str) -> tuple[Path, Path]:
    """Write ``comparison.json`` and ``comparison.csv``; each whole or not at all."""
    folder = Path(directory)
    target = folder / "comparison.json"
    write_json(target, comparison.to_json(), indent=1)
    write_table(comparison.table(), folder / "comparison.csv")
    return target, folder / "comparison.csv"


def _paired(a: PredictionSet, b: PredictionSet) -> tuple[PredictionSet, PredictionSet, list[str]]:
    rows = pd.Index(b.image_ids).get_indexer(pd.Index(a.image_ids))
    both = rows >= 0
    names = [name for name in a.findings if name in b.findings]
    if not both.any() or not names:
        raise InvalidTable(
            f"The models share {int(both.sum())} images and {len(names)} findings. Predict the "
            "same images with both.",
            reason="no_overlap",
        )
    left_out = len(a) + len(b) - 2 * int(both.sum())
    first = a.select(np.flatnonzero(both), names)
    second = b.select(rows[both], names)
    if not (first.patient_ids == second.patient_ids).all():
        raise InvalidTable(
            "The two predictions disagree about the patients of some images. Take patients from "
            "one labels table for both.",
            reason="patients_differ",
        )
    if not np.array_equal(first.labels, second.labels, equal_nan=True):
        raise InvalidTable(
            "The two predictions come with different labels for the same images. Give one labels "
            "table for both.",
            reason="labels_differ",
        )
    warnings = [*a.notes, *b.notes]
    if left_out:
        warnings.append(f"{left_out} images were scored by one model only and are left out.")
    return first, second, list(dict.fromkeys(warnings))


def _macro(differences: Sequence[Resampled]) -> tuple[Interval, float]:
    there = [item for item in differences if not math.isnan(item.estimate)]
    if not there:
        return Interval(math.nan), math.nan
    mean = mean_of(there)
    return patient_interval(mean), bootstrap_p(mean)
