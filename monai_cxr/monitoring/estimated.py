"""Estimated performance: what calibrated probabilities alone say of a model that nobody labels.

Confidence-based estimates (Guo et al. 2022; Garg et al. 2022) take each probability at its word: a
film with probability p counts as p of a positive. They hold while calibration holds. A changed
prevalence breaks it, so nothing is estimated where prevalence seems to have changed; nothing here
ever changes a score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]
FEWEST = 200
_DRAWS = 200


@dataclass(frozen=True, slots=True)
class EstimatedPerformance:
    """Estimates without labels, each with an interval that also holds what calibration leaves open.

    Attributes:
        finding: Name of the finding.
        n: Films.
        auroc: Area under the ROC curve.
        sensitivity: Sensitivity at the operating point; not estimable without one.
        ppv: PPV at the operating point; not estimable without one.
        prevalence: By expectation maximisation (Saerens et al. 2002).
        reason: Why nothing is estimated; ``""`` where it is.
    """

    finding: str
    n: int
    auroc: Interval
    sensitivity: Interval
    ppv: Interval
    prevalence: Interval
    reason: str = ""


def estimate(
    finding: str,
    probabilities: ArrayLike,
    *,
    threshold: float | None = None,
    reference_prevalence: float | None = None,
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
        calibration_spread: Standard deviation of the calibration's error in logits, between
            places or times: what an interval must hold besides chance.
        slope_spread: Standard deviation of the calibration's slope around 1, likewise.
        patients: Shape (N,); films of a patient are drawn together.
        seed: Seed of the draws.

    Returns:
        Estimates; silent with few films, or where the prevalence seems to have changed.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    keep = ~np.isnan(p)
    p = p[keep]
    n = len(p)
    nothing = Interval(math.nan)
    if n < FEWEST:
        reason = f"{n} films; at least {FEWEST} are needed"
        return EstimatedPerformance(finding, n, nothing, nothing, nothing, nothing, reason)
    groups = (
        np.arange(n)
        if patients is None
        else np.unique(np.asarray(patients)[keep], return_inverse=True)[1].reshape(-1)
    )
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    generator = np.random.default_rng(seed)
    draws: list[tuple[float, ...]] = []
    for _ in range(_DRAWS):
        rows = np.concatenate(
            [members[i] for i in generator.integers(0, len(members), len(members))]
        )
        slope = generator.normal(1.0, slope_spread)
        moved = _sigmoid(slope * _logit(p[rows]) + generator.normal(0.0, calibration_spread))
        truth = (generator.random(len(rows)) < moved).astype(np.float64)
        draws.append(
            (
                *_measures(p[rows], truth, threshold),
                em_prevalence(p[rows], reference_prevalence),
                float(moved.mean()),
            )
        )
    spread = np.array(draws)
    prevalence = _interval(em_prevalence(p, reference_prevalence), spread[:, 3])
    # The mean probability moves with the prevalence, though less, and is known better.
    mean = _interval(float(p.mean()), spread[:, 4])
    if reference_prevalence is not None and not (
        prevalence.low <= reference_prevalence <= prevalence.high
        and mean.low <= reference_prevalence <= mean.high
    ):
        reason = (
            f"the prevalence seems to have changed (about {prevalence.estimate:.1%}, was "
            f"{reference_prevalence:.1%}), which breaks the estimate"
        )
        return EstimatedPerformance(finding, n, nothing, nothing, nothing, prevalence, reason)
    points = _expected(p, threshold)
    intervals = [_interval(point, spread[:, i]) for i, point in enumerate(points)]
    return EstimatedPerformance(finding, n, intervals[0], intervals[1], intervals[2], prevalence)


def em_prevalence(probabilities: Floats, reference: float | None) -> float:
    """Prevalence by expectation maximisation (Saerens, Latinne and Decaestecker 2002).

    Args:
        probabilities: Shape (N,), calibrated at the reference prevalence.
        reference: That prevalence; None takes the mean probability.
    """
    mean = float(probabilities.mean())
    if reference is None or not 0.0 < reference < 1.0:
        return mean
    prior = reference
    for _ in range(200):
        up = probabilities * prior / reference
        down = (1 - probabilities) * (1 - prior) / (1 - reference)
        new = float(np.mean(up / np.maximum(up + down, 1e-300)))
        if abs(new - prior) < 1e-9:
            break
        prior = new
    return prior


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


def _measures(p: Floats, truth: Floats, threshold: float | None) -> tuple[float, float, float]:
    area = auroc(p, truth) if 0 < truth.sum() < len(truth) else math.nan
    if threshold is None:
        return area, math.nan, math.nan
    flagged = p >= threshold
    hits = float(truth[flagged].sum())
    sensitivity = hits / float(truth.sum()) if truth.sum() else math.nan
    return area, sensitivity, hits / float(flagged.sum()) if flagged.any() else math.nan


def _interval(estimate: float, draws: Floats) -> Interval:
    known = draws[~np.isnan(draws)]
    if math.isnan(estimate) or len(known) < _DRAWS // 2:
        return Interval(estimate)
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-9, 1 - 1e-9)
    made: Floats = np.log(clipped / (1 - clipped))
    return made


def _sigmoid(x: Floats) -> Floats:
    made: Floats = 1 / (1 + np.exp(-x))
    return made
