"""Estimated performance: what calibrated probabilities alone say of a model that nobody labels.

Confidence-based estimates (Guo et al. 2022; Garg et al. 2022) take each probability at its word: a
film with probability p counts as p of a positive. They hold while calibration holds. A changed
prevalence breaks it, so nothing is estimated where prevalence seems to have changed, and the PPV,
which hangs on it, only where scores show that it has not changed much. Nothing here ever changes a
score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.evaluation.statistics.intervals import interval_of_draws
from monai_cxr.evaluation.statistics.logits import sigmoid, to_logits
from monai_cxr.monitoring.drift import drift, reference_of
from monai_cxr.monitoring.prevalence import PrevalenceNow, at_prevalence, prevalence_now
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]
FEWEST = 200
WIDEST_PPV = 0.4
"""A PPV that is known less well than this is not shown."""

_DRAWS = 200


@dataclass(frozen=True, slots=True)
class EstimatedPerformance:
    """Estimates without labels, each with an interval that also holds what calibration leaves open.

    Attributes:
        finding: Name of the finding.
        n: Films.
        auroc: Area under the ROC curve.
        sensitivity: Sensitivity at the operating point; not estimable without one.
        ppv: PPV at the operating point; not estimable without one. Its interval also holds what the
            prevalence may be.
        prevalence: By expectation maximisation (Saerens et al. 2002).
        reason: Why nothing is estimated; ``""`` where something is.
        ppv_reason: Why the PPV alone is withheld; ``""`` where it is not.
    """

    finding: str
    n: int
    auroc: Interval
    sensitivity: Interval
    ppv: Interval
    prevalence: Interval
    reason: str = ""
    ppv_reason: str = ""


def estimate(
    finding: str,
    probabilities: ArrayLike,
    *,
    threshold: float | None = None,
    reference_prevalence: float | None = None,
    reference_probabilities: ArrayLike | None = None,
    calibration_spread: float = 0.15,
    slope_spread: float = 0.1,
    patients: ArrayLike | None = None,
    seed: int = 0,
) -> EstimatedPerformance:
    """Estimate the performance of a finding.

    Args:
        finding: Name of the finding.
        probabilities: Shape (N,), calibrated, in [0, 1].
        threshold: Operating point.
        reference_prevalence: Prevalence that the calibration was fitted at.
        reference_probabilities: Shape (M,), of the films that it was fitted on, or of a baseline:
            what was scored otherwise then silences the estimate now.
        calibration_spread: Standard deviation of the calibration's error in logits, between
            places or times: what an interval must hold besides chance.
        slope_spread: Standard deviation of the calibration's slope around 1, likewise.
        patients: Shape (N,); films of a patient are drawn together.
        seed: Seed of the draws.

    Returns:
        Estimates; silent with few films, where scores are distributed otherwise than they were, or
        where the prevalence seems to have changed. The PPV alone is withheld where the prevalence
        may have changed so much that nothing is known of it.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    keep = ~np.isnan(p)
    p = p[keep]
    n = len(p)
    nothing = Interval(math.nan)
    if n < FEWEST:
        reason = f"{n} films; at least {FEWEST} are needed"
        return EstimatedPerformance(finding, n, nothing, nothing, nothing, nothing, reason)
    names = np.arange(n) if patients is None else np.asarray(patients)[keep]
    before = _known(reference_probabilities)
    found = prevalence_now(
        p,
        reference_prevalence,
        patients=names,
        reference_probabilities=before,
        spreads=(calibration_spread, slope_spread),
        seed=seed,
    )
    reason = _why_silent(found, p, before)
    if reason:
        return EstimatedPerformance(finding, n, nothing, nothing, nothing, found.now, reason)
    draws = _draws(p, names, threshold, (calibration_spread, slope_spread), seed)
    points = _expected(p, threshold)
    auroc_, sensitivity, ppv = (
        interval_of_draws(point, draws[i]) for i, point in enumerate(points)
    )
    ppv, why = _with_prevalence(ppv, p, threshold, found)
    return EstimatedPerformance(finding, n, auroc_, sensitivity, ppv, found.now, "", why)


def _known(values: ArrayLike | None) -> Floats | None:
    if values is None:
        return None
    given = np.asarray(values, dtype=np.float64)
    return given[~np.isnan(given)]


def _why_silent(found: PrevalenceNow, p: Floats, before: Floats | None) -> str:
    """Why nothing can be estimated; ``""`` where nothing speaks against it."""
    if found.changed:
        return (
            f"the prevalence seems to have changed (about {found.now.estimate:.1%}, was "
            f"{found.reference:.1%}), which breaks the estimate"
        )
    if before is None or len(before) < FEWEST:
        return ""
    reference = reference_of("score", to_logits(before))
    if reference is not None and drift(reference, to_logits(p)).differs:
        return (
            "the scores are distributed otherwise than in the baseline, so calibration may not hold"
        )
    return ""


def _draws(
    p: Floats, names: NDArray[Any], threshold: float | None, spreads: tuple[float, float], seed: int
) -> Floats:
    """Measures of draws of patients, with a calibration that errs; shape (3, draws)."""
    order = np.argsort(p, kind="stable")
    p, (codes, n_patients) = p[order], patient_codes(names[order])
    starts = np.flatnonzero(np.append(True, np.diff(p) > 0.0))  # equal scores are one step
    logits = to_logits(p)[:, None]
    flagged = p >= (math.inf if threshold is None else threshold)
    generator = np.random.default_rng(seed)
    made = []
    for weights in BootstrapPlan(n_patients, _DRAWS, seed).blocks():
        times = weights[codes].astype(np.int64)
        slopes = generator.normal(1.0, spreads[1], times.shape[1])
        moved = sigmoid(slopes * logits + generator.normal(0.0, spreads[0], times.shape[1]))
        positive = generator.binomial(times, moved).astype(np.float64)
        negative = times - positive
        ups, downs = (np.add.reduceat(one, starts) for one in (positive, negative))
        hits = positive[flagged].sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            won = (ups * (np.cumsum(downs, axis=0) - 0.5 * downs)).sum(axis=0)
            area = won / (ups.sum(axis=0) * downs.sum(axis=0))
            shares = hits / positive.sum(axis=0), hits / times[flagged].sum(axis=0)
        made.append(np.stack([area, *shares]))
    return np.concatenate(made, axis=1)


def _with_prevalence(
    ppv: Interval, p: Floats, threshold: float | None, found: PrevalenceNow
) -> tuple[Interval, str]:
    """Widen the PPV's interval by what the prevalence may be, or withhold it as not known.

    All draws of the prevalence count, not 95 % of them: an estimate is shown where the prevalence
    looks unchanged, and among changed ones these are the draws that look least changed.
    """
    if math.isnan(ppv.estimate) or math.isnan(found.reference) or threshold is None:
        return ppv, ""
    flagged = p[p >= threshold]
    ends = [at_prevalence(flagged, found.reference, e).mean() for e in found.extremes]
    middle, *sides = to_logits(np.array([ppv.estimate, ppv.low, ppv.high, *ends]))
    below = np.hypot(sides[0] - middle, min(sides[2] - middle, 0.0))
    above = np.hypot(sides[1] - middle, max(sides[3] - middle, 0.0))
    low, high = sigmoid(middle + np.array([-below, above])).tolist()
    if high - low > WIDEST_PPV:
        why = (
            f"scores leave the prevalence open between {found.extremes[0]:.1%} and "
            f"{found.extremes[1]:.1%}, and so the PPV between {low:.0%} and {high:.0%}"
        )
        return Interval(math.nan), why
    return Interval(ppv.estimate, low, high), ""


def _expected(p: Floats, threshold: float | None) -> tuple[float, float, float]:
    """AUROC, sensitivity and PPV with each film counted as p of a positive."""
    both = np.concatenate([p, p])
    labels = np.concatenate([np.ones(len(p)), np.zeros(len(p))])
    area = auroc(both, labels, np.concatenate([p, 1 - p]))
    if threshold is None:
        return area, math.nan, math.nan
    flagged = p >= threshold
    positive, hits = float(p.sum()), float(p[flagged].sum())
    ppv = hits / float(flagged.sum()) if flagged.any() else math.nan
    return area, hits / positive if positive else math.nan, ppv
