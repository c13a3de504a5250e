"""Reliability: does a probability mean what it says? Curves, ECE, Brier and its parts, slope."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.discrimination import known
from monai_cxr.evaluation.statistics.logistic import fit_logistic
from monai_cxr.evaluation.statistics.logits import CLIP, to_logits
from monai_cxr.evaluation.statistics.shares import share_interval
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]
Binning = Literal["equal_width", "adaptive"]

N_BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityCurve:
    """Bins of probability with what happened in them; empty bins are left out.

    Attributes:
        counts: float64, shape (K,): weight in the bin.
        predicted: float64, shape (K,): mean probability.
        observed: float64, shape (K,): share of positives.
    """

    counts: Floats
    predicted: Floats
    observed: Floats


@dataclass(frozen=True, slots=True)
class BrierParts:
    """Brier score = reliability - resolution + uncertainty + within-bin remainder (Murphy 1973).

    Attributes:
        brier: Mean squared error of the probability.
        reliability: Binned calibration error, squared; smaller is better.
        resolution: Spread of the bins' outcomes; larger is better.
        uncertainty: Prevalence x (1 - prevalence).
        within_bin: What binning hides (Stephenson 2008), so that the sum is exact.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bin: float


def bin_edges(probabilities: Floats, binning: Binning = "adaptive", n_bins: int = N_BINS) -> Floats:
    """Inner edges of the bins.

    Args:
        probabilities: Shape (N,), in [0, 1].
        binning: ``equal_width`` over [0, 1], or ``adaptive``: as many images in each.
        n_bins: At least one.

    Returns:
        Increasing, shape (at most n_bins - 1,); a probability equal to an edge is in the bin above.

    Raises:
        SettingsError: If the binning is unknown or there is no bin.
    """
    if n_bins < 1:
        raise SettingsError(f"Expected at least one bin, but got {n_bins}.")
    if binning == "equal_width":
        return np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    if binning != "adaptive":
        raise SettingsError(f"Expected binning 'equal_width' or 'adaptive', but got '{binning}'.")
    if not len(probabilities):
        return np.empty(0)
    ordered = np.sort(probabilities)
    starts = (np.arange(1, n_bins) * len(ordered)) // n_bins
    return np.unique(ordered[starts])


def assign_bins(probabilities: Floats, edges: Floats) -> NDArray[np.intp]:
    """Bin of each probability, shape (N,), in [0, len(edges)]."""
    return np.searchsorted(edges, probabilities, side="right")


def reliability_curve(
    probabilities: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    binning: Binning = "adaptive",
    n_bins: int = N_BINS,
) -> ReliabilityCurve:
    """Mean probability against the share of positives, by bin.

    Args:
        probabilities: Shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        weights: Shape (N,), non-negative; they do not move adaptive bins.
        binning: See :func:`bin_edges`.
        n_bins: At least one.

    Returns:
        The bins that hold anything, in increasing probability.
    """
    probability, label, weight = known(probabilities, labels, weights)
    edges = bin_edges(probability, binning, n_bins)
    bins = assign_bins(probability, edges)
    counts, predicted, observed = (
        np.bincount(bins, weights=values, minlength=len(edges) + 1).astype(np.float64)
        for values in (weight, weight * probability, weight * label)
    )
    held = counts > 0.0
    return ReliabilityCurve(
        counts[held], predicted[held] / counts[held], observed[held] / counts[held]
    )


def observed_shares(
    probabilities: ArrayLike, labels: ArrayLike, patients: NDArray[np.intp]
) -> list[Interval]:
    """Share of positives in each bin of :func:`reliability_curve`, with its interval over patients.

    Args:
        probabilities: Shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        patients: Shape (N,), codes from 0.

    Returns:
        One a bin that holds anything, in increasing probability; adaptive bins.
    """
    probability, label, _ = known(probabilities, labels)
    patient = patients[~np.isnan(np.asarray(labels, dtype=np.float64))]
    bins = assign_bins(probability, bin_edges(probability))
    inside = (bins == number for number in np.unique(bins))
    return [share_interval(label[chosen] == 1.0, patient[chosen]) for chosen in inside]


def expected_calibration_error(
    probabilities: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    binning: Binning = "adaptive",
) -> float:
    """ECE: mean over images of |mean probability - share of positives| of their bin.

    Args:
        probabilities: Shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        weights: Shape (N,), non-negative.
        binning: See :func:`bin_edges`; adaptive is the one to trust for rare findings, whose
            probabilities all fall into the first equal-width bin.

    Returns:
        In [0, 1]; NaN without labels.
    """
    curve = reliability_curve(probabilities, labels, weights, binning=binning)
    total = curve.counts.sum()
    if not total > 0.0:
        return math.nan
    return float(curve.counts @ np.abs(curve.predicted - curve.observed) / total)


def calibration_error_floor(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The ECE that a perfectly calibrated model would show on so few images by chance.

    In each bin the error is nearly normal with variance V = sum p (1 - p), so its expected size is
    sqrt(2 V / pi); the floor is their sum over N.

    Args:
        probabilities: Shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN; only which are known matters.

    Returns:
        In [0, 1]; NaN without labels.
    """
    probability, _, _ = known(probabilities, labels)
    if not len(probability):
        return math.nan
    bins = assign_bins(probability, bin_edges(probability))
    variance = np.bincount(bins, weights=probability * (1.0 - probability))
    return float(np.sqrt(2.0 * variance / math.pi).sum() / len(probability))


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean of (probability - label) squared; NaN without labels."""
    probability, label, _ = known(probabilities, labels)
    return float(((probability - label) ** 2).mean()) if len(label) else math.nan


def log_loss(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log likelihood in nats, probabilities clipped at 1e-7; NaN without labels."""
    probability, label, _ = known(probabilities, labels)
    p = np.clip(probability, CLIP, 1.0 - CLIP)
    loss = np.where(label == 1.0, -np.log(p), -np.log1p(-p))
    return float(loss.mean()) if len(label) else math.nan


def brier_decomposition(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    binning: Binning = "adaptive",
    n_bins: int = N_BINS,
) -> BrierParts:
    """Murphy's three parts of the Brier score, and the remainder of binning.

    Args:
        probabilities: Shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        binning: See :func:`bin_edges`.
        n_bins: At least one.

    Returns:
        Parts with brier = reliability - resolution + uncertainty + within_bin; NaN without labels.
    """
    curve = reliability_curve(probabilities, labels, binning=binning, n_bins=n_bins)
    total = curve.counts.sum()
    if not total > 0.0:
        return BrierParts(*[math.nan] * 5)
    share = curve.counts / total
    prevalence = float(share @ curve.observed)
    brier = brier_score(probabilities, labels)
    reliability = float(share @ (curve.predicted - curve.observed) ** 2)
    resolution = float(share @ (curve.observed - prevalence) ** 2)
    uncertainty = prevalence * (1.0 - prevalence)
    within = brier - (reliability - resolution + uncertainty)
    return BrierParts(brier, reliability, resolution, uncertainty, within)


def calibration_slope_and_intercept(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[float, float]:
    """Slope and calibration-in-the-large of the outcome on logit(probability) (Cox 1958).

    Args:
        probabilities: Shape (N,), in [0, 1]; clipped at 1e-7.
        labels: Shape (N,), 0, 1 or NaN.

    Returns:
        Slope of a logistic fit (1 is right, below 1 is over-confident), and the intercept with the
        slope held at 1 (0 is right, above 0 means risks are understated). NaN without a class or
        when all scores are equal.
    """
    probability, label, _ = known(probabilities, labels)
    if not 0.0 < label.sum() < len(label):
        return math.nan, math.nan
    logit = to_logits(probability)
    intercept = float(fit_logistic(np.empty((len(label), 0)), label, offset=logit)[0])
    if float(np.ptp(logit)) == 0.0:
        return math.nan, intercept
    return float(fit_logistic(logit[:, None], label, start=(0.0, 1.0))[1]), intercept
