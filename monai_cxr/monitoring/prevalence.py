"""Prevalence without labels: by expectation maximisation, and whether it may have changed.

Calibrated probabilities hold at the prevalence that they were calibrated at. What scores say of the
prevalence now is little: a rare finding that is hard to see may be three times as frequent without
a trace. So the interval is wide, and it is the interval that decides, never the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_matrix

from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.evaluation.statistics.logits import sigmoid, to_logits
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

SMALL_CHANGE = 1.25
"""A prevalence that changed by less than this factor harms no estimate much."""

_BINS, _ROUNDS, _DRAWS = 400, 200, 200


@dataclass(frozen=True, slots=True)
class PrevalenceNow:
    """What scores say of a prevalence.

    Attributes:
        now: By expectation maximisation, with a 95 % interval.
        reference: At which the probabilities were calibrated; NaN where it is not known.
        changed: Whether it seems to have changed by more than :data:`SMALL_CHANGE`.
        extremes: The lowest and the highest of all draws: about a 99 % interval.
    """

    now: Interval
    reference: float
    changed: bool
    extremes: tuple[float, float]


def prevalence_now(
    probabilities: Floats,
    reference: float | None,
    *,
    patients: ArrayLike | None = None,
    reference_probabilities: Floats | None = None,
    spreads: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
) -> PrevalenceNow:
    """Estimate a prevalence, and hold it against the reference.

    Args:
        probabilities: Shape (N,), of films of now, calibrated at the reference prevalence.
        reference: That prevalence, in (0, 1); None where it is not known.
        patients: Shape (N,); films of a patient are drawn together.
        reference_probabilities: Shape (M,), of the films that the reference is of: their own chance
            is then in the interval.
        spreads: Standard deviations of the calibration's error, in logits, and of its slope; they
            are the same for both kinds of films.
        seed: Seed of the draws.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if reference is None or not 0.0 < reference < 1.0:
        mean = float(p.mean())
        return PrevalenceNow(Interval(mean, mean, mean), math.nan, False, (mean, mean))
    estimate = em_prevalence(p, reference)
    generator = np.random.default_rng(seed)
    errors = tuple(generator.normal(m, s, _DRAWS) for m, s in zip((0.0, 1.0), spreads, strict=True))
    found, means = _draws(p, patients, reference, errors, seed)
    mean_before = reference
    if reference_probabilities is not None and len(reference_probabilities):
        before = np.asarray(reference_probabilities, dtype=np.float64)
        mean_before = float(before.mean())
        old, old_means = _draws(before, None, reference, errors, seed + 1)
        found = found - (old - em_prevalence(before, reference))
        means = means - (old_means - mean_before)
    low, high = (float(np.clip(q, 0.0, 1.0)) for q in np.quantile(found, [0.025, 0.975]))
    now = Interval(estimate, min(low, estimate), max(high, estimate))
    mean_low, mean_high = np.quantile(means, [0.025, 0.975])
    # The mean probability moves with the prevalence, though less, and is known better.
    is_other = not (low <= reference <= high and mean_low <= mean_before <= mean_high)
    is_large = not reference / SMALL_CHANGE <= estimate <= reference * SMALL_CHANGE
    lowest = min(max(float(found.min()), 0.0), estimate)
    highest = max(min(float(found.max()), 1.0), estimate)
    return PrevalenceNow(now, reference, is_other and is_large, (lowest, highest))


def em_prevalence(probabilities: Floats, reference: float | None) -> float:
    """Prevalence by expectation maximisation (Saerens, Latinne and Decaestecker 2002).

    Args:
        probabilities: Shape (N,), calibrated at the reference prevalence.
        reference: That prevalence; None takes the mean probability.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if reference is None or not 0.0 < reference < 1.0:
        return float(p.mean())
    return float(_em(p[:, None], np.ones((len(p), 1)), reference)[0])


def at_prevalence(probabilities: Floats, reference: float, prevalence: float | Floats) -> Floats:
    """What probabilities that were calibrated at one prevalence are at another; same shape.

    Args:
        probabilities: In [0, 1].
        reference: Prevalence of the calibration, in (0, 1).
        prevalence: The other one, in [0, 1].
    """
    up = probabilities * prevalence / reference
    down = (1.0 - probabilities) * (1.0 - prevalence) / (1.0 - reference)
    made: Floats = up / np.maximum(up + down, 1e-300)
    return made


def _draws(
    p: Floats, patients: ArrayLike | None, reference: float, errors: tuple[Floats, ...], seed: int
) -> tuple[Floats, Floats]:
    """Prevalences and mean probabilities of draws of patients, each shape (R,)."""
    codes, n = patient_codes(np.arange(len(p)) if patients is None else np.asarray(patients))
    edges = np.unique(np.quantile(p, np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, p, side="left")
    sizes = np.bincount(bins, minlength=len(edges) + 1)
    values = np.bincount(bins, weights=p, minlength=len(sizes)) / np.maximum(sizes, 1)
    films = csc_matrix((np.ones(len(p)), (bins, codes)), shape=(len(sizes), n))
    films.sum_duplicates()
    plan = BootstrapPlan(n, _DRAWS, seed)
    counts = np.concatenate([films @ block for block in plan.blocks()], axis=1).astype(np.float64)
    moved = sigmoid(errors[1] * to_logits(values)[:, None] + errors[0])
    return _em(moved, counts, reference), (moved * counts).sum(axis=0) / counts.sum(axis=0)


def _em(values: Floats, counts: Floats, reference: float) -> Floats:
    """Prevalences, shape (R,), of values (B, 1 or R) that come so often (B, R)."""
    total = counts.sum(axis=0)
    prior = np.full(counts.shape[1], reference)
    for _ in range(_ROUNDS):
        positive = at_prevalence(values, reference, prior[None, :])
        new = (positive * counts).sum(axis=0) / total
        step = float(np.abs(new - prior).max())
        prior = new
        if step < 1e-9:
            break
    return prior
