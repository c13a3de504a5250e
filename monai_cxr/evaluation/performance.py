"""Performance: every number about a model's predictions, with its interval and its n."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.calibration.calibrator import Calibrator
from monai_cxr.evaluation.classification import classify
from monai_cxr.evaluation.curves import finding_curves
from monai_cxr.evaluation.decisions.conformal import ConformalRule, check_conformal
from monai_cxr.evaluation.decisions.decision_rules import DecisionRules
from monai_cxr.evaluation.decisions.operating_points import (
    CheckedOperatingPoint,
    check_operating_points,
    prevalence_what_if,
)
from monai_cxr.evaluation.gaps import (
    calibration_overlap,
    finding_gaps,
    rules_overlap,
    too_few_for_intervals,
)
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.results import (
    Aggregate,
    AnyFinding,
    EvaluationIdentity,
    FindingPerformance,
    Performance,
)
from monai_cxr.evaluation.statistics import discrimination, reliability
from monai_cxr.evaluation.statistics.blas_threads import one_blas_thread
from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import clusters_of, patient_codes, rarer_class
from monai_cxr.evaluation.statistics.delong import delong
from monai_cxr.evaluation.statistics.intervals import (
    Resampled,
    error_interval,
    mean_error_interval,
    mean_interval,
    mean_of,
    patient_interval,
)
from monai_cxr.evaluation.statistics.logits import sigmoid
from monai_cxr.evaluation.statistics.replicates import (
    Statistic,
    compile_calibration_errors,
    compile_ranking,
    in_threads,
    replicate,
)
from monai_cxr.evaluation.subgroups import DEFAULT_DIMENSIONS, plan_subgroups, subgroups_of
from monai_cxr.prediction import Interval, OperatingPoint

Floats = NDArray[np.float64]

MAX_FPR = 0.1
"""Partial AUROC is taken up to this false positive rate."""


class _Drawn(NamedTuple):
    """The statistics of a finding that are drawn again."""

    auroc: Resampled
    average_precision: Resampled
    ece: Resampled
    ece_equal_width: Resampled
    brier: Resampled


@one_blas_thread()
def evaluate(
    predictions: PredictionSet,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    calibrator: Calibrator | None = None,
    allow_overlap: bool = False,
    operating_points: Sequence[OperatingPoint] = (),
    conformal: Sequence[ConformalRule] = (),
    rules: DecisionRules | None = None,
    prevalences: Sequence[tuple[str, float]] = (),
    subgroups: bool | Sequence[tuple[str, ...]] = True,
    identity: EvaluationIdentity | None = None,
    n_threads: int | None = None,
) -> Performance:
    """Evaluate predictions.

    Args:
        predictions: Scores and truth of the same images.
        n_bootstrap: Patient bootstrap replicates; 0 gives no intervals.
        seed: Seed of the bootstrap.
        calibrator: Applied to the logits first.
        allow_overlap: Go on, with a warning in every output, when patients of these data also
            fitted the calibrator.
        operating_points: Thresholds to check.
        conformal: Rules for absent, uncertain and present to check.
        rules: Both, as a file of ``thresholds`` holds them; patients that chose them are marked.
        prevalences: (finding, prevalence) at which PPV and NPV are wanted too; an empty finding
            means all.
        subgroups: Whether, or which tuples of facts, to look at.
        identity: Names of data, split, labels and model; counts and digests are filled in here.
        n_threads: Number of threads of the bootstrap; the numbers do not depend on it.

    Returns:
        The performance.

    Raises:
        InvalidTable: If patients also fitted the calibrator, and that is not allowed.
    """
    overlap: list[str] = []
    raw = _uncalibrated(predictions, calibrator)
    if calibrator is not None:
        overlap = calibration_overlap(predictions, calibrator, allow_overlap)
        predictions = calibrator.apply_to(predictions)
    if rules is not None:
        operating_points = [*operating_points, *rules.points]
        conformal = [*conformal, *rules.conformal]
        overlap += rules_overlap(predictions, rules)
    warnings = [*predictions.notes, *overlap]
    patients, n_patients = patient_codes(predictions.patient_ids)
    warnings += too_few_for_intervals(n_patients, n_bootstrap)
    plan = BootstrapPlan(n_patients, n_bootstrap if n_patients > 1 else 0, seed)
    dimensions = DEFAULT_DIMENSIONS if subgroups is True else subgroups or ()
    groups = plan_subgroups(predictions, patients, n_patients, dimensions)
    statistics = _statistics(predictions, patients, n_patients)
    flat: list[Statistic] = [*statistics, *(r for group in groups for r in group.rankings)]
    replicates = replicate(flat, plan, n_threads=n_threads)
    findings, macro = _findings(predictions, raw, patients, replicates)
    curves = in_threads(
        lambda i: finding_curves(*_columns(predictions, i), patients),
        range(len(predictions.findings)),
    )
    warnings += [f"{item.finding}: {gap}" for item in findings for gap in item.gaps]
    return Performance(
        identity=_identity(identity, predictions, plan, calibrator),
        findings=findings,
        macro=macro,
        any_finding=_any_finding(predictions, patients, replicates[len(statistics) - 1]),
        classification=classify(predictions, plan),
        operating_points=_operating_points(operating_points, predictions, plan, prevalences),
        subgroups=subgroups_of(
            groups,
            _by_group([len(g.rankings) for g in groups], replicates[len(statistics) :], plan),
            predictions,
        ),
        curves=dict(zip(predictions.findings, curves, strict=True)),
        conformal=check_conformal(
            conformal,
            predictions.probabilities,
            predictions.labels,
            patients,
            findings=predictions.findings,
        ),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _operating_points(
    points: Sequence[OperatingPoint],
    predictions: PredictionSet,
    plan: BootstrapPlan,
    prevalences: Sequence[tuple[str, float]],
) -> tuple[CheckedOperatingPoint, ...]:
    checked = check_operating_points(
        points,
        predictions.probabilities,
        predictions.labels,
        predictions.patient_ids,
        findings=predictions.findings,
        n_bootstrap=plan.n_replicates,
    )
    return tuple(
        replace(
            point,
            what_if=prevalence_what_if(
                point, [value for name, value in prevalences if name in ("", point.point.finding)]
            ),
        )
        for point in checked
    )


def _statistics(
    predictions: PredictionSet, patients: NDArray[np.intp], n_patients: int
) -> list[Statistic]:
    """Two statistics a finding, ranking and calibration errors, then the ranking of any finding."""
    compiled: list[Statistic] = []
    for i in range(len(predictions.findings)):
        scores, labels = _columns(predictions, i)
        compiled += [
            compile_ranking(scores, labels, patients, n_patients, with_precision=True),
            compile_calibration_errors(scores, labels, patients, n_patients),
        ]
    scores, labels = discrimination.any_finding(predictions.probabilities, predictions.labels)
    return [*compiled, compile_ranking(scores, labels, patients, n_patients)]


def _columns(predictions: PredictionSet, i: int) -> tuple[Floats, Floats]:
    return predictions.probabilities[:, i], predictions.labels[:, i]


def _uncalibrated(predictions: PredictionSet, calibrator: Calibrator | None) -> Floats | None:
    """The model's own outputs as probabilities, shape (N, F), or None where they are unknown."""
    if predictions.logits is not None:
        return sigmoid(predictions.logits)
    return predictions.probabilities if calibrator is not None else None


def _findings(
    predictions: PredictionSet,
    raw: Floats | None,
    patients: NDArray[np.intp],
    replicates: Sequence[Floats],
) -> tuple[tuple[FindingPerformance, ...], Aggregate]:
    def one(i: int) -> tuple[FindingPerformance, _Drawn]:
        p, y = _columns(predictions, i)
        drawn = _drawn(p, y, patients, np.concatenate(replicates[2 * i : 2 * i + 2]))
        data = (p, y, None if raw is None else raw[:, i])
        return _finding(predictions.findings[i], data, patients, drawn), drawn

    made = in_threads(one, range(len(predictions.findings)))
    findings = tuple(finding for finding, _ in made)
    return findings, _aggregate(findings, [drawn for _, drawn in made])


def _drawn(p: Floats, y: Floats, patients: NDArray[np.intp], replicates: Floats) -> _Drawn:
    """Statistics of a finding with their replicates, shape (5, B)."""
    counts = discrimination.cumulative_counts(p, y)
    rarer = rarer_class(patients, y)
    labelled = rarer if len(rarer.codes) else clusters_of(patients[~np.isnan(y)])
    ece = reliability.expected_calibration_error
    return _Drawn(
        Resampled(discrimination.auroc_of(counts), replicates[0], rarer),
        Resampled(discrimination.average_precision_of(counts), replicates[1], rarer),
        Resampled(ece(p, y), replicates[2], labelled),
        Resampled(ece(p, y, binning="equal_width"), replicates[3], labelled),
        Resampled(reliability.brier_score(p, y), replicates[4], labelled),
    )


def _finding(
    name: str, data: tuple[Floats, Floats, Floats | None], patients: NDArray[np.intp], drawn: _Drawn
) -> FindingPerformance:
    p, y, raw = data
    slope, intercept = reliability.calibration_slope_and_intercept(p, y)
    counts = discrimination.cumulative_counts(p, y)
    auroc = patient_interval(drawn.auroc, of_area=True)
    return FindingPerformance(
        finding=name,
        n=int((~np.isnan(y)).sum()),
        n_positive=int((y == 1.0).sum()),
        n_positive_patients=len(np.unique(patients[y == 1.0])),
        auroc=auroc,
        auroc_delong=delong(p, y),
        partial_auroc=discrimination.partial_auroc_of(counts, max_fpr=MAX_FPR),
        average_precision=patient_interval(drawn.average_precision, of_area=True),
        brier=patient_interval(drawn.brier),
        ece=error_interval(drawn.ece),
        ece_equal_width=error_interval(drawn.ece_equal_width),
        ece_floor=reliability.calibration_error_floor(p, y),
        log_loss=reliability.log_loss(p, y),
        calibration_slope=slope,
        calibration_intercept=intercept,
        brier_parts=reliability.brier_decomposition(p, y),
        ece_uncalibrated=(
            math.nan if raw is None else reliability.expected_calibration_error(raw, y)
        ),
        gaps=finding_gaps(
            p, y, auroc, drawn.auroc.clusters, wanted=len(drawn.auroc.replicates) > 0
        ),
    )


def _aggregate(findings: Sequence[FindingPerformance], drawn: Sequence[_Drawn]) -> Aggregate:
    """Means over findings: of those with both classes, and of all with labels."""
    rows = [i for i, item in enumerate(findings) if not math.isnan(item.auroc.estimate)]
    labelled = [i for i, item in enumerate(findings) if item.n]
    nothing = Interval(math.nan)
    areas = [drawn[i].auroc for i in rows]
    brier = [drawn[i].brier for i in labelled]
    raw = [findings[i].ece_uncalibrated for i in labelled]
    return Aggregate(
        findings=tuple(findings[i].finding for i in rows),
        auroc=mean_interval(areas) if rows else nothing,
        auroc_weighted=(
            mean_interval(areas, [findings[i].n_positive for i in rows]) if rows else nothing
        ),
        average_precision=(
            mean_interval([drawn[i].average_precision for i in rows]) if rows else nothing
        ),
        brier=patient_interval(mean_of(brier)) if brier else nothing,
        ece=mean_error_interval([drawn[i].ece for i in labelled]) if labelled else nothing,
        ece_uncalibrated=float(np.mean(raw)) if raw else math.nan,
    )


def _any_finding(
    predictions: PredictionSet, patients: NDArray[np.intp], replicates: Floats
) -> AnyFinding:
    scores, labels = discrimination.any_finding(predictions.probabilities, predictions.labels)
    area = Resampled(
        discrimination.auroc(scores, labels), replicates[0], rarer_class(patients, labels)
    )
    return AnyFinding(
        int((~np.isnan(labels)).sum()),
        int((labels == 1.0).sum()),
        patient_interval(area, of_area=True),
    )


def _by_group(
    sizes: Sequence[int], replicates: Sequence[Floats], plan: BootstrapPlan
) -> list[Floats]:
    """Cut the flat list of (1, B) replicates into one (findings, B) array a group."""
    rows = iter(replicates)
    empty = np.empty((0, plan.n_replicates))
    return [np.concatenate([empty, *(next(rows) for _ in range(size))]) for size in sizes]


def _identity(
    stated: EvaluationIdentity | None,
    predictions: PredictionSet,
    plan: BootstrapPlan,
    calibrator: Calibrator | None,
) -> EvaluationIdentity:
    return replace(
        stated or EvaluationIdentity(),
        n_images=len(predictions),
        n_patients=plan.n_patients,
        data_digest=predictions.digest,
        n_bootstrap=plan.n_replicates,
        seed=plan.seed,
        calibration={c.finding: c.method for c in calibrator.findings} if calibrator else {},
    )
