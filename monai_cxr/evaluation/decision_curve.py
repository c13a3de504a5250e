"""Decision curves: the net benefit of acting on a probability, against acting on all or none."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.evaluation.statistics.discrimination import known
from monai_cxr.evaluation.statistics.rates import rates_at

Floats = NDArray[np.float64]


def net_benefit(scores: ArrayLike, labels: ArrayLike, threshold: float) -> float:
    """TP / N - FP / N x t / (1 - t) (Vickers and Elkin 2006).

    Args:
        scores: Calibrated probabilities, shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        threshold: t in (0, 1): the probability at which treating and not treating weigh the same.

    Returns:
        In true positives an image; NaN without labels.
    """
    rates = rates_at(scores, labels, threshold)
    n = len(known(scores, labels)[0])
    if not n:
        return math.nan
    return (rates.true_positives - rates.false_positives * threshold / (1.0 - threshold)) / n


def decision_curve(
    scores: ArrayLike, labels: ArrayLike, thresholds: ArrayLike
) -> tuple[Floats, Floats]:
    """Net benefit of the model, and of flagging every image, at each threshold probability.

    Args:
        scores: Calibrated probabilities, shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        thresholds: Shape (T,), in (0, 1).

    Returns:
        Two arrays, float64, shape (T,). Flagging nobody has net benefit 0.
    """
    score, label, _ = known(scores, labels)
    t = np.asarray(thresholds, dtype=np.float64)
    n = len(label)
    if not n:
        return np.full_like(t, np.nan), np.full_like(t, np.nan)
    positives, negatives = np.sort(score[label == 1.0]), np.sort(score[label == 0.0])
    true = (len(positives) - np.searchsorted(positives, t, side="left")) / n
    false = (len(negatives) - np.searchsorted(negatives, t, side="left")) / n
    odds = t / (1.0 - t)
    return true - false * odds, len(positives) / n - len(negatives) / n * odds
