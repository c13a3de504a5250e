"""Rates: what a threshold gets right and wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from monai_cxr.evaluation.statistics.discrimination import known


@dataclass(frozen=True, slots=True)
class Rates:
    """What a threshold does; a rate without a denominator is NaN.

    Attributes:
        threshold: Positive means probability >= threshold.
        true_positives: Count.
        false_positives: Count.
        true_negatives: Count.
        false_negatives: Count.
    """

    threshold: float
    true_positives: float
    false_positives: float
    true_negatives: float
    false_negatives: float

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN)."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP)."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def ppv(self) -> float:
        """TP / (TP + FP), at the prevalence of the data."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def npv(self) -> float:
        """TN / (TN + FN), at the prevalence of the data."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_negatives)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all, at the prevalence of the data."""
        right = self.true_positives + self.true_negatives
        return _ratio(right, right + self.false_positives + self.false_negatives)

    @property
    def likelihood_ratio_positive(self) -> float:
        """Sensitivity / (1 - specificity)."""
        return _ratio(self.sensitivity, 1.0 - self.specificity)

    @property
    def likelihood_ratio_negative(self) -> float:
        """(1 - sensitivity) / specificity."""
        return _ratio(1.0 - self.sensitivity, self.specificity)

    def ppv_at(self, prevalence: float) -> float:
        """PPV by Bayes' rule at a stated prevalence in (0, 1)."""
        hits = self.sensitivity * prevalence
        return _ratio(hits, hits + (1.0 - self.specificity) * (1.0 - prevalence))

    def npv_at(self, prevalence: float) -> float:
        """NPV by Bayes' rule at a stated prevalence in (0, 1)."""
        correct = self.specificity * (1.0 - prevalence)
        return _ratio(correct, correct + (1.0 - self.sensitivity) * prevalence)


def rates_at(scores: ArrayLike, labels: ArrayLike, threshold: float) -> Rates:
    """Count what ``score >= threshold`` gets right and wrong.

    Args:
        scores: Shape (N,), finite.
        labels: Shape (N,), 0, 1 or NaN.
        threshold: A score.

    Returns:
        The four counts, and every rate made of them.
    """
    score, label, _ = known(scores, labels)
    positive, present = score >= threshold, label == 1.0
    return Rates(
        threshold=float(threshold),
        true_positives=float((positive & present).sum()),
        false_positives=float((positive & ~present).sum()),
        true_negatives=float((~positive & ~present).sum()),
        false_negatives=float((~positive & present).sum()),
    )


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0.0 else math.nan
