"""Intervals: patient-cluster bootstrap (the default), DeLong (image level), Wilson (a share)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.discrimination import known
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

BLOCK = 32
"""Replicates that are drawn and counted together; a block of weights stays in the cache."""

MOST_EMPTY_REPLICATES = 0.05
"""Above this share of replicates without a class, no interval is given."""

FEWEST_REPLICATES = 20
"""With fewer replicates no interval is given: its ends would be single draws."""


@dataclass(frozen=True, slots=True)
class BootstrapPlan:
    """How replicates are drawn: whole patients, with replacement.

    Attributes:
        n_patients: Patients to draw from, and drawn in each replicate.
        n_replicates: How many replicates.
        seed: The same seed gives the same replicates, whatever the number of threads.
    """

    n_patients: int
    n_replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse plans that draw nothing."""
        if self.n_patients < 1 or self.n_replicates < 0:
            raise SettingsError(
                f"Expected at least one patient and no negative number of replicates, but got "
                f"{self.n_patients} and {self.n_replicates}."
            )

    @property
    def n_blocks(self) -> int:
        """Number of blocks of at most :data:`BLOCK` replicates."""
        return -(-self.n_replicates // BLOCK)

    def block(self, number: int) -> NDArray[np.float32]:
        """Draw one block of multiplicity weights.

        Args:
            number: In [0, n_blocks).

        Returns:
            float32, shape (n_patients, B): how often each patient is in each replicate. Each
            column sums to n_patients.
        """
        size = min(BLOCK, self.n_replicates - number * BLOCK)
        generator = np.random.default_rng([self.seed, number])
        weights = np.empty((size, self.n_patients), dtype=np.float32)
        for row in weights:
            drawn = generator.integers(0, self.n_patients, self.n_patients, dtype=np.int32)
            row[:] = np.bincount(drawn, minlength=self.n_patients)
        return np.ascontiguousarray(weights.T)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """All blocks in order."""
        return (self.block(number) for number in range(self.n_blocks))


def patient_codes(patient_ids: ArrayLike) -> tuple[NDArray[np.intp], int]:
    """Number the patients.

    Args:
        patient_ids: Shape (N,), any sortable values.

    Returns:
        Codes, shape (N,), in [0, P), and P.
    """
    names, codes = np.unique(np.asarray(patient_ids), return_inverse=True)
    return codes.reshape(-1), len(names)


def effective_patients(patients: NDArray[np.intp], labels: Floats) -> int:
    """How many patients of the rarer class the data are worth (Kish 1965).

    Where a few patients hold most of a class's images, that class is worth fewer patients than it
    has: (sum m)^2 / sum m^2, with m the images of each patient.

    Args:
        patients: Shape (N,), codes from 0.
        labels: Shape (N,), 0, 1 or NaN.

    Returns:
        The smaller of the two classes' numbers, rounded down; 0 without one of them.
    """
    worth = []
    for value in (0.0, 1.0):
        images = np.bincount(patients[labels == value]).astype(np.float64)
        total = float(images.sum())
        worth.append(total**2 / float(images @ images) if total else 0.0)
    return int(min(worth) + 1e-9)


def percentile_interval(
    estimate: float,
    replicates: ArrayLike,
    *,
    level: float = 0.95,
    n_clusters: int | None = None,
) -> Interval:
    """Percentile bootstrap interval, widened for few clusters (Hesterberg 2015).

    Resampling n clusters understates the variance by (n - 1) / n and takes the normal for Student's
    t. So the quantiles are taken further out: at Phi(t_{n-1} sqrt(n / (n - 1))).

    Args:
        estimate: The statistic of the data itself.
        replicates: Shape (B,); NaN where a replicate lacked a class.
        level: Coverage in (0, 1).
        n_clusters: See :func:`effective_patients`; None does not widen.

    Returns:
        The interval; its bounds are NaN with fewer than 20 replicates or 2 clusters, and where
        more than 5 % of the replicates are NaN, because what is left would be too narrow.
    """
    values = np.asarray(replicates, dtype=np.float64)
    valid = values[~np.isnan(values)]
    enough = max(FEWEST_REPLICATES, (1 - MOST_EMPTY_REPLICATES) * len(values))
    if math.isnan(estimate) or len(valid) < enough or (n_clusters is not None and n_clusters < 2):
        return Interval(estimate)
    tail = (1.0 - level) / 2.0
    if n_clusters is not None:
        n = n_clusters
        # Heavy, and served models have no use for it: imported where intervals are computed.
        from scipy.stats import norm
        from scipy.stats import t as student_t

        tail = float(norm.cdf(student_t.ppf(tail, n - 1) * math.sqrt(n / (n - 1))))
    low, high = np.quantile(valid, [tail, 1.0 - tail])
    return Interval(estimate, float(low), float(high))


def centred_interval(
    estimate: float, replicates: ArrayLike, *, least: float = 0.0, level: float = 0.95
) -> Interval:
    """Bootstrap interval freed of the resampling bias, for calibration errors.

    Binned errors grow when data are resampled (their floor is noise), so plain percentiles would
    lie above the estimate. The replicates are moved by their own bias, and clipped at ``least``.

    Args:
        estimate: The statistic of the data itself.
        replicates: Shape (B,).
        least: Smallest possible value.
        level: Coverage in (0, 1).

    Returns:
        The interval around the estimate.
    """
    values = np.asarray(replicates, dtype=np.float64)
    valid = values[~np.isnan(values)]
    if not len(valid):
        return Interval(estimate)
    moved = np.maximum(values - (float(valid.mean()) - estimate), least)
    return percentile_interval(estimate, moved, level=level)


def wilson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927).

    Args:
        successes: Count, at most n.
        n: Trials.
        level: Coverage in (0, 1).

    Returns:
        Interval in [0, 1]; NaN without trials.
    """
    if not n > 0:
        return Interval(math.nan)
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def share_interval(estimate: float, replicates: Floats, n_patients: int) -> Interval:
    """Percentile interval of a share; Wilson's over patients where it is 0 or 1.

    No resampling can move a share of 0 or 1, so its percentiles would claim certainty.

    Args:
        estimate: In [0, 1].
        replicates: Shape (B,); empty gives no interval.
        n_patients: Patients behind the share.

    Returns:
        The interval.
    """
    if estimate in (0.0, 1.0) and len(replicates):
        return wilson(estimate * n_patients, n_patients)
    return percentile_interval(estimate, replicates)


def delong_covariance(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """AUROCs of M models on the same images and their covariance (Sun & Xu 2014).

    Images count as independent: with several images a patient the variance is too small.

    Args:
        scores: Shape (M, N), finite.
        labels: Shape (N,), 0 or 1, both present.

    Returns:
        AUROCs, shape (M,), and covariance, shape (M, M).
    """
    score = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    present = np.asarray(labels) == 1
    m, n = int(present.sum()), int((~present).sum())
    from scipy.stats import rankdata

    pooled = rankdata(score, axis=1)
    among_positives = rankdata(score[:, present], axis=1)
    among_negatives = rankdata(score[:, ~present], axis=1)
    positive_parts = (pooled[:, present] - among_positives) / n
    negative_parts = 1.0 - (pooled[:, ~present] - among_negatives) / m
    areas = positive_parts.mean(axis=1)
    covariance = _covariance(positive_parts) / m + _covariance(negative_parts) / n
    return areas, covariance


def delong(scores: ArrayLike, labels: ArrayLike, *, level: float = 0.95) -> Interval:
    """AUROC with DeLong's image-level interval, on the logit scale so that it stays in [0, 1].

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.
        level: Coverage in (0, 1).

    Returns:
        The interval; bounds are NaN with fewer than two of a class, or at an area of 0 or 1.
    """
    score, label, _ = known(scores, labels)
    n_positive = int(label.sum())
    if n_positive < 1 or len(label) - n_positive < 1:
        return Interval(math.nan)
    areas, covariance = delong_covariance(score, label)
    area, variance = float(areas[0]), float(covariance[0, 0])
    if not (0.0 < area < 1.0) or not variance > 0.0:
        return Interval(area)
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    logit = math.log(area / (1.0 - area))
    half = z * math.sqrt(variance) / (area * (1.0 - area))
    low, high = (1.0 / (1.0 + math.exp(-(logit + side * half))) for side in (-1.0, 1.0))
    return Interval(area, low, high)


def _covariance(parts: Floats) -> Floats:
    if parts.shape[1] < 2:
        return np.full((len(parts), len(parts)), np.nan)
    return np.atleast_2d(np.cov(parts))
