"""Pooled beta: beta calibration of many findings, their slopes shrunk towards each other.

One network has made all logits, so its findings are over-confident in similar ways; each alone has
few positives, and its slopes are noisy. So a finding's two slopes are taken for a draw from a
normal distribution whose mean and covariance are estimated from all findings (empirical Bayes, by
expectation and maximisation; Efron and Morris 1975). A finding with much evidence keeps its own
slopes, one with few positives takes those of the others. The intercept is always its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.calibration.methods import Parameters, beta_features, fit_method
from monai_cxr.evaluation.statistics.logistic import fit_logistic
from monai_cxr.evaluation.statistics.logits import sigmoid

Floats = NDArray[np.float64]

LEAST_CASES = 20
"""Positives, and negatives, from which a finding has slopes of its own to share."""
LEAST_FINDINGS = 3
"""Findings with slopes of their own without which nothing is pooled."""
_STEPS = 100


def fit_pooled_beta(
    logits: Floats, labels: Floats, patients: NDArray[np.intp]
) -> dict[int, Parameters]:
    """Fit all findings that have both classes.

    Args:
        logits: Shape (N, F), finite.
        labels: Shape (N, F), 0, 1 or NaN.
        patients: Shape (N,), codes from 0; a patient's images are not independent evidence.

    Returns:
        Parameters ``shift, a, b, c`` by column; empty where fewer than :data:`LEAST_FINDINGS`
        findings have slopes to share.
    """
    data = {
        column: (logits[known, column], labels[known, column], patients[known])
        for column in range(logits.shape[1])
        if _both_classes(labels[known := ~np.isnan(labels[:, column]), column])
        and np.ptp(logits[known, column]) > 0.0
    }
    centred = {}
    slopes, covariances, columns = [], [], []
    for column, (z, y, patient) in data.items():
        shift = float(fit_method("prior_shift", z, y)["shift"][0])
        centred[column] = (shift, beta_features(z + shift), y)
        if min(y.sum(), len(y) - y.sum()) < LEAST_CASES:
            continue
        fitted = _slopes(centred[column][1], y, patient)
        if fitted is not None:
            slopes.append(fitted[0])
            covariances.append(fitted[1])
            columns.append(column)
    if len(columns) < LEAST_FINDINGS:
        return {}
    mean, shrunk = _shrunk(np.array(slopes), np.array(covariances))
    own = dict(zip(columns, shrunk, strict=True))
    return {
        column: _parameters(shift, own.get(column, mean), features, y)
        for column, (shift, features, y) in centred.items()
    }


def _both_classes(labels: Floats) -> bool:
    return bool(0.0 < labels.sum() < len(labels))


def _slopes(
    features: Floats, y: Floats, patients: NDArray[np.intp]
) -> tuple[Floats, NDArray[np.float64]] | None:
    """Two slopes and their patient-robust covariance (Liang and Zeger 1986); None if unsettled."""
    beta = fit_logistic(features, y, start=(0.0, 1.0, 1.0))
    design = np.column_stack([np.ones(len(y)), features])
    p = sigmoid(design @ beta)
    information = (design * (p * (1.0 - p))[:, None]).T @ design
    scores = design * (y - p)[:, None]
    by_patient = np.column_stack([np.bincount(patients, weights=s) for s in scores.T])
    try:
        inverse = np.linalg.inv(information)
    except np.linalg.LinAlgError:
        return None
    covariance = (inverse @ (by_patient.T @ by_patient) @ inverse)[1:, 1:]
    settled = np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance)[0] > 0.0
    return (beta[1:], covariance) if settled else None


def _shrunk(slopes: Floats, covariances: Floats) -> tuple[Floats, Floats]:
    """Mean of the slopes, shape (2,), and each finding's shrunk ones, shape (K, 2), none below 0.

    Args:
        slopes: Shape (K, 2).
        covariances: Shape (K, 2, 2).
    """
    precision = np.linalg.inv(covariances)
    mean, between = slopes.mean(axis=0), 0.05 * np.eye(2)
    for _ in range(_STEPS):
        prior = np.linalg.inv(between)
        posterior = np.linalg.inv(precision + prior)
        weighted = np.einsum("kij,kj->ki", precision, slopes) + prior @ mean
        shrunk = np.einsum("kij,kj->ki", posterior, weighted)
        mean = shrunk.mean(axis=0)
        spread = shrunk - mean
        between = posterior.mean(axis=0) + spread.T @ spread / len(slopes) + 1e-9 * np.eye(2)
    kept = [
        _non_negative(pair, covariance) for pair, covariance in zip(shrunk, posterior, strict=True)
    ]
    return _non_negative(mean, between), np.array(kept)


def _non_negative(pair: Floats, covariance: Floats) -> Floats:
    """The likeliest slopes that turn no ranks round."""
    result = pair.copy()
    for i, other in ((0, 1), (1, 0)):
        if pair[i] < 0.0:
            result[other] = pair[other] - covariance[0, 1] / covariance[i, i] * pair[i]
            result[i] = 0.0
    result = np.maximum(result, 0.0)
    return result if result.sum() > 0.0 else np.ones(2)


def _parameters(shift: float, slopes: Floats, features: Floats, y: Floats) -> Parameters:
    a, b = (float(slope) for slope in slopes)
    intercept = fit_logistic(np.empty((len(y), 0)), y, offset=features @ slopes)[0]
    return {"shift": (shift,), "a": (a,), "b": (b,), "c": (float(intercept),)}
