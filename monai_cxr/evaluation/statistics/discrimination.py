"""Discrimination: ROC, AUROC, precision and recall.

Each statistic takes scores, labels and optional weights of one finding, validates, groups equal
scores, and computes from cumulative weights. Unknown labels (NaN) are left out. A statistic that
the data cannot give (no positives, no negatives) is NaN, never a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import InvalidTable

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CumulativeCounts:
    """True and false positives at each distinct score, from the highest down.

    Attributes:
        thresholds: float64, shape (K,), decreasing distinct scores; positive means >= threshold.
        true_positives: float64, shape (K,), weight of positives at or above.
        false_positives: float64, shape (K,), weight of negatives at or above.
    """

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats

    @property
    def n_positive(self) -> float:
        """Total weight of the positives."""
        return float(self.true_positives[-1]) if len(self.true_positives) else 0.0

    @property
    def n_negative(self) -> float:
        """Total weight of the negatives."""
        return float(self.false_positives[-1]) if len(self.false_positives) else 0.0


def known(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """Validate one finding and leave unknown labels out.

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.
        weights: Shape (N,), non-negative; ones by default.

    Returns:
        Scores, labels and weights, float64, of the M images with a label.

    Raises:
        InvalidTable: If shapes differ, a score is not finite, or a label is not 0, 1 or NaN.
    """
    score, label = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    weight = np.ones_like(label) if weights is None else np.asarray(weights, dtype=np.float64)
    if score.ndim != 1 or not score.shape == label.shape == weight.shape:
        raise InvalidTable(
            f"Expected scores, labels and weights of one shape (N,), but got {score.shape}, "
            f"{label.shape} and {weight.shape}."
        )
    keep = ~np.isnan(label)
    score, label, weight = score[keep], label[keep], weight[keep]
    if not np.isfinite(score).all():
        raise InvalidTable(f"{int((~np.isfinite(score)).sum())} scores are not finite.")
    if not np.isin(label, (0.0, 1.0)).all():
        raise InvalidTable("Expected labels 0, 1 or NaN, but got others.", reason="bad_labels")
    if (weight < 0.0).any():
        raise InvalidTable(f"Expected weights >= 0, but got {weight.min():g}.")
    return score, label, weight


def cumulative_counts(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> CumulativeCounts:
    """Cumulate positives and negatives from the highest score down; equal scores are one step.

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.
        weights: Shape (N,), non-negative; a weight k counts like k repetitions.

    Returns:
        Counts at K distinct scores.
    """
    score, label, weight = known(scores, labels, weights)
    order = np.argsort(-score, kind="stable")
    score, label, weight = score[order], label[order], weight[order]
    changes = np.append(np.diff(score) != 0.0, np.ones(min(1, len(score)), dtype=bool))
    last_of_group = np.flatnonzero(changes)
    return CumulativeCounts(
        thresholds=score[last_of_group],
        true_positives=np.cumsum(weight * label)[last_of_group],
        false_positives=np.cumsum(weight * (1.0 - label))[last_of_group],
    )


def roc_curve_of(counts: CumulativeCounts) -> tuple[Floats, Floats, Floats]:
    """Receiver operating characteristic, starting at (0, 0).

    Args:
        counts: Counts at K distinct scores.

    Returns:
        False positive rate, true positive rate and thresholds, each shape (K + 1,); a rate is NaN
        where its class is absent.
    """
    return (
        np.append(0.0, _shares(counts.false_positives)),
        np.append(0.0, _shares(counts.true_positives)),
        np.append(np.inf, counts.thresholds),
    )


def auroc(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC: P(score of a positive > score of a negative) + P(equal) / 2.

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.
        weights: Shape (N,), non-negative.

    Returns:
        In [0, 1]; NaN without positives or without negatives.

    Example:
        >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        0.75
    """
    return auroc_of(cumulative_counts(scores, labels, weights))


def auroc_of(counts: CumulativeCounts) -> float:
    """:func:`auroc` of counts that are already made."""
    if not (counts.n_positive > 0.0 and counts.n_negative > 0.0):
        return math.nan
    below = counts.n_negative - counts.false_positives
    ties = np.diff(counts.false_positives, prepend=0.0)
    gained = np.diff(counts.true_positives, prepend=0.0)
    return float(gained @ (below + 0.5 * ties) / (counts.n_positive * counts.n_negative))


def partial_auroc_of(counts: CumulativeCounts, *, max_fpr: float) -> float:
    """Area under the ROC up to ``max_fpr``, standardised to 0.5 (chance) .. 1 (McClish 1989).

    Args:
        counts: Counts at K distinct scores.
        max_fpr: In (0, 1].

    Returns:
        In [0, 1]; NaN without positives or without negatives.

    Raises:
        InvalidTable: If ``max_fpr`` is not in (0, 1].
    """
    if not 0.0 < max_fpr <= 1.0:
        raise InvalidTable(f"Expected max_fpr in (0, 1], but got {max_fpr}.")
    if not (counts.n_positive > 0.0 and counts.n_negative > 0.0):
        return math.nan
    fpr, tpr, _ = roc_curve_of(counts)
    inside = fpr <= max_fpr
    x = np.append(fpr[inside], max_fpr)
    y = np.append(tpr[inside], np.interp(max_fpr, fpr, tpr))
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2.0)
    least = 0.5 * max_fpr**2
    return 0.5 * (1.0 + (area - least) / (max_fpr - least))


def precision_recall_curve_of(counts: CumulativeCounts) -> tuple[Floats, Floats, Floats]:
    """Precision and recall at each distinct score, from the highest down.

    Args:
        counts: Counts at K distinct scores.

    Returns:
        Precision, recall and thresholds, each shape (K,).
    """
    flagged = counts.true_positives + counts.false_positives
    precision = np.divide(
        counts.true_positives, flagged, out=np.zeros_like(flagged), where=flagged > 0.0
    )
    return precision, _shares(counts.true_positives), counts.thresholds


def average_precision(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Average precision: sum over thresholds of (gain in recall) x precision.

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.
        weights: Shape (N,), non-negative.

    Returns:
        In [0, 1]; NaN without positives. Chance is the prevalence.
    """
    return average_precision_of(cumulative_counts(scores, labels, weights))


def average_precision_of(counts: CumulativeCounts) -> float:
    """:func:`average_precision` of counts that are already made."""
    precision, recall, _ = precision_recall_curve_of(counts)
    if not len(recall) or np.isnan(recall[-1]):
        return math.nan
    return float(np.diff(recall, prepend=0.0) @ precision)


def any_finding(probabilities: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Put all findings of an image into one: is anything there?

    Args:
        probabilities: Shape (N, F), in [0, 1].
        labels: Shape (N, F), 0, 1 or NaN.

    Returns:
        Noisy-or score ``1 - prod(1 - p)`` and label, each shape (N,); a label is 1 if any finding
        is present, NaN if none is known to be present and one is unknown, else 0.
    """
    score = 1.0 - np.prod(1.0 - probabilities, axis=1)
    present = (labels == 1.0).any(axis=1)
    unknown = np.isnan(labels).any(axis=1) & ~present
    return score, np.where(unknown, np.nan, present.astype(np.float64))


def _shares(cumulative: Floats) -> Floats:
    total = cumulative[-1] if len(cumulative) else 0.0
    return cumulative / total if total > 0.0 else np.full_like(cumulative, np.nan)
