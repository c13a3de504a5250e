"""Replicates: statistics of one finding, compiled once, then computed for blocks of weights.

Sorting and binning do not change when patients are drawn again; only their multiplicities do. So
each statistic becomes a sparse matrix of shape (groups, patients), made once. Its product with a
block of multiplicity weights, shape (patients, B), gives the group sums of B replicates at once,
and what is left is arithmetic on a few rows: the positives' distinct scores, or the bins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.reliability import assign_bins, bin_edges

Floats = NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")
Weights = NDArray[np.float32] | NDArray[np.float64]


class Statistic(Protocol):
    """Something that can be computed for a block of patient weights."""

    def __call__(self, weights: Weights) -> Floats:
        """From weights, shape (P, B), to values, float64, shape (k, B); NaN without a class."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """AUROC and, if asked, average precision under weights.

    Rows of ``groups``: K distinct positive scores, increasing; K + 1 rows of negatives between
    them; and one row of negatives for each positive score that negatives share. A negative that
    ties with a positive stands half below and half above it, which is what AUROC wants of it.

    Attributes:
        groups: float32, shape (2 K + 1 + T, P).
        n_scores: K.
        tied: Shape (T,): positives' scores that negatives share, as indices below K.
        with_precision: Whether a second row, average precision, is wanted.
    """

    groups: csc_matrix
    n_scores: int
    tied: NDArray[np.intp]
    with_precision: bool = False

    def __call__(self, weights: Weights) -> Floats:
        """AUROC (and average precision), shape (1 or 2, B)."""
        k = self.n_scores
        sums = self.groups @ weights
        positives, gaps, ties = sums[:k], sums[k : 2 * k + 1], sums[2 * k + 1 :]
        # Counts are whole and half numbers below 2**23, so float32 holds them exactly.
        below = np.cumsum(gaps, axis=0)
        n_positive = positives.sum(axis=0, dtype=np.float64)
        n_negative = below[-1].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            won = (positives * below[:-1]).sum(axis=0, dtype=np.float64)
            area: Floats = (won / (n_positive * n_negative))[None]
            if not self.with_precision:
                return area
            true = np.cumsum(positives[::-1], axis=0)[::-1]
            flagged = true + (below[-1] - below[:-1])
            flagged[self.tied] += 0.5 * ties
            flagged[flagged == 0.0] = 1.0
            true *= positives
            true /= flagged
            precision = true.sum(axis=0, dtype=np.float64) / n_positive
        return np.concatenate([area, precision[None]])


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationErrors:
    """ECE (adaptive, equal width) and Brier score under weights; bins are those of the data.

    Attributes:
        sums: float32, shape (bins + 2, P): sum of (p - y) by bin, of (p - y) squared, and of 1.
        n_adaptive: How many of the first rows are adaptive bins.
    """

    sums: csc_matrix
    n_adaptive: int

    def __call__(self, weights: Weights) -> Floats:
        """Adaptive ECE, equal-width ECE and Brier score, shape (3, B)."""
        sums = (self.sums @ weights).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = sums / sums[-1]
        errors = np.abs(shares[:-2])
        adaptive = errors[: self.n_adaptive].sum(axis=0)
        return np.stack([adaptive, errors[self.n_adaptive :].sum(axis=0), shares[-2]])


def compile_ranking(
    scores: Floats,
    labels: Floats,
    patients: NDArray[np.intp],
    n_patients: int,
    *,
    with_precision: bool = False,
) -> Ranking:
    """Sort once.

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.
        patients: Shape (N,), codes in [0, n_patients).
        n_patients: P.
        with_precision: Also give average precision.

    Returns:
        The compiled statistic.
    """
    keep = ~np.isnan(labels)
    score, present, patient = scores[keep], labels[keep] == 1.0, patients[keep]
    distinct = np.unique(score[present])
    k = len(distinct)
    positive_rows = np.searchsorted(distinct, score[present])
    above = np.searchsorted(distinct, score[~present], side="left")
    after = np.searchsorted(distinct, score[~present], side="right")
    shared = above != after  # a negative with exactly a positive's score
    tied, tie_rows = np.unique(above[shared], return_inverse=True)
    negative = patient[~present]
    rows = np.concatenate([positive_rows, k + above, k + after, 2 * k + 1 + tie_rows.reshape(-1)])
    patients = np.concatenate([patient[present], negative, negative, negative[shared]])
    half = np.full(2 * len(negative), 0.5)
    values = np.concatenate([np.ones(len(positive_rows)), half, np.ones(len(tie_rows))])
    shape = (2 * k + 1 + len(tied), n_patients)
    return Ranking(_sums(rows, patients, shape, values), k, tied, with_precision)


def compile_calibration_errors(
    probabilities: Floats, labels: Floats, patients: NDArray[np.intp], n_patients: int
) -> CalibrationErrors:
    """Bin once.

    Args:
        probabilities: Shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        patients: Shape (N,), codes in [0, n_patients).
        n_patients: P.

    Returns:
        The compiled statistic.
    """
    keep = ~np.isnan(labels)
    probability, patient = probabilities[keep], patients[keep]
    error = probability - labels[keep]
    adaptive = assign_bins(probability, bin_edges(probability, "adaptive"))
    equal = assign_bins(probability, bin_edges(probability, "equal_width"))
    n_adaptive = int(adaptive.max(initial=-1)) + 1
    n_bins = n_adaptive + int(equal.max(initial=-1)) + 1
    n = len(error)
    rows = np.concatenate(
        [adaptive, n_adaptive + equal, np.full(n, n_bins), np.full(n, n_bins + 1)]
    )
    values = np.concatenate([error, error, error**2, np.ones(n)])
    sums = _sums(rows, np.tile(patient, 4), (n_bins + 2, n_patients), values)
    return CalibrationErrors(sums, n_adaptive)


def replicate(
    statistics: Sequence[Statistic], plan: BootstrapPlan, *, n_threads: int | None = None
) -> list[Floats]:
    """Compute all statistics on the same replicates.

    Args:
        statistics: S compiled statistics.
        plan: How patients are drawn.
        n_threads: Blocks computed at once; the available cores, at most 8, by default. The result
            does not depend on it.

    Returns:
        S arrays, float64, shape (k, n_replicates).
    """
    if not plan.n_replicates:
        return [statistic(plan_of_ones(plan))[:, :0] for statistic in statistics]

    def one_block(number: int) -> list[Floats]:
        weights = plan.block(number)
        return [statistic(weights) for statistic in statistics]

    blocks = in_threads(one_block, range(plan.n_blocks), n_threads)
    return [np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True)]


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], n_threads: int | None = None
) -> list[Result]:
    """Results in the order of the items; sorting and sums of NumPy let other threads run.

    Args:
        work: Of one item.
        items: Any number.
        n_threads: Items worked on at once; the available cores, at most 8, by default.
    """
    with ThreadPoolExecutor(max_workers=n_threads or min(8, _available_cores())) as pool:
        return list(pool.map(work, items))


def plan_of_ones(plan: BootstrapPlan) -> Weights:
    """The weights that reproduce the data: ones, float32, shape (P, 1)."""
    return np.ones((plan.n_patients, 1), dtype=np.float32)


def _available_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def _sums(
    rows: NDArray[np.intp],
    patients: NDArray[np.intp],
    shape: tuple[int, int],
    values: Floats | None = None,
) -> csc_matrix:
    """A sparse matrix that adds an image's value to its group, patient by patient.

    Stored by patient: weights are then read in order, and the few groups stay in the cache.
    """
    data = np.ones(len(rows)) if values is None else values
    matrix = csc_matrix((data, (rows, patients)), shape=shape)
    matrix.sum_duplicates()
    return matrix.astype(np.float32)
