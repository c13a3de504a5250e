"""Calibration choice: which method a finding gets, by patient-wise cross-validated log loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.calibration.methods import (
    METHODS,
    POOLED,
    FindingCalibration,
    Parameters,
    apply_method,
    fit_method,
)
from monai_cxr.evaluation.calibration.pooled_beta import fit_pooled_beta
from monai_cxr.evaluation.statistics.logits import CLIP, sigmoid

Floats = NDArray[np.float64]

FEW_POSITIVES = 50
"""Below: no slopes of the finding's own, but one smoothed slope or those of the other findings."""
ENOUGH_FOR_ISOTONIC = 500
"""Positives from which a step function may be learned."""
CLEARLY_BETTER = 2.0
"""Standard errors of a log loss difference by which another method must beat the default."""
_NEVER = ("none", "temperature")


def patient_folds(patients: NDArray[np.intp], n_folds: int, seed: int) -> NDArray[np.intp]:
    """Fold of each image, all images of a patient in one; shape (N,), in [0, n_folds)."""
    n_patients = int(patients.max(initial=-1)) + 1
    order = np.random.default_rng(seed).permutation(n_patients)
    return (order % n_folds)[patients]


def fit_findings(
    names: Sequence[str],
    logits: Floats,
    labels: Floats,
    patients: NDArray[np.intp],
    folds: NDArray[np.intp],
    *,
    methods: Mapping[str, str],
    offsets: Mapping[str, float],
) -> tuple[FindingCalibration, ...]:
    """Choose and fit the method of each finding.

    Args:
        names: F findings.
        logits: Shape (N, F), finite.
        labels: Shape (N, F), 0, 1 or NaN.
        patients: Shape (N,), codes from 0.
        folds: Shape (N,), fold of the image's patient.
        methods: Method to force, by finding.
        offsets: Logit shift known from training (minus log of the loss's positive weight), used
            where there are no positives to learn from.

    Returns:
        The fitted methods with the log loss of every one tried.
    """
    pooled = fit_pooled_beta(logits, labels, patients)
    out_of_fold = _pooled_out_of_fold(logits, labels, patients, folds) if pooled else None
    result = []
    for i, name in enumerate(names):
        keep = ~np.isnan(labels[:, i])
        z, y = logits[keep, i], labels[keep, i]
        if not 0.0 < y.sum() < len(y) or float(np.ptp(z)) == 0.0:
            result.append(_without_data(name, y, offsets.get(name)))
            continue
        scores = {
            method: _out_of_fold(method, z, y, folds[keep])
            for method in _candidates(y)
            if method != POOLED
        }
        if out_of_fold is not None:
            scores[POOLED] = out_of_fold[keep, i]
        losses = {method: _losses(scores[method], y) for method in METHODS if method in scores}
        chosen, reason = _chosen(losses, y, patients[keep], methods.get(name))
        fitted = pooled[i] if chosen == POOLED else fit_method(chosen, z, y)
        result.append(_calibration(name, chosen, fitted, y, losses, reason))
    return tuple(result)


def _candidates(y: Floats) -> tuple[str, ...]:
    fewest = min(y.sum(), len(y) - y.sum())
    if fewest < FEW_POSITIVES:
        return ("none", "prior_shift", "temperature", "platt")
    if fewest < ENOUGH_FOR_ISOTONIC:
        return ("none", "prior_shift", "temperature", "platt", "beta")
    return METHODS


def _chosen(
    losses: Mapping[str, Floats], y: Floats, patients: NDArray[np.intp], forced: str | None
) -> tuple[str, str]:
    """The default, unless another method is clearly better."""
    few = min(y.sum(), len(y) - y.sum()) < FEW_POSITIVES
    default = POOLED if POOLED in losses else "platt" if few else "beta"
    if forced is not None:
        if forced == POOLED and POOLED not in losses:
            return default, "Too few findings to pool, so fitted alone."
        return forced, "Asked for."
    better = {
        method: float(loss.mean())
        for method, loss in losses.items()
        if method not in (*_NEVER, default)
        and _advantage(losses[default] - loss, patients) > CLEARLY_BETTER
    }
    if better:
        best = min(better, key=better.__getitem__)
        return best, (
            f"Patient-wise cross-validated log loss clearly smaller than that of {default}."
        )
    return default, "No method has a clearly smaller patient-wise cross-validated log loss."


def _advantage(differences: Floats, patients: NDArray[np.intp]) -> float:
    """Sum of differences over its standard error, patients being independent."""
    by_patient = np.bincount(patients, weights=differences)
    error = float(np.sqrt(by_patient @ by_patient))
    return float(differences.sum()) / error if error > 0.0 else 0.0


def _losses(probabilities: Floats, y: Floats) -> Floats:
    p = np.clip(probabilities, CLIP, 1.0 - CLIP)
    loss: Floats = np.where(y == 1.0, -np.log(p), -np.log1p(-p))
    return loss


def _out_of_fold(method: str, z: Floats, y: Floats, folds: NDArray[np.intp]) -> Floats:
    out = np.full(len(y), np.nan)
    for fold in np.unique(folds):
        test = folds == fold
        if not 0.0 < y[~test].sum() < (~test).sum():
            # All positives sit in this fold: nothing can be learned without it.
            out[test] = sigmoid(z[test])
            continue
        out[test] = apply_method(method, z[test], fit_method(method, z[~test], y[~test]))
    return out


def _pooled_out_of_fold(
    logits: Floats, labels: Floats, patients: NDArray[np.intp], folds: NDArray[np.intp]
) -> Floats:
    out = sigmoid(logits)
    for fold in np.unique(folds):
        test = folds == fold
        fitted = fit_pooled_beta(logits[~test], labels[~test], patients[~test])
        for column, parameters in fitted.items():
            out[test, column] = apply_method(POOLED, logits[test, column], parameters)
    return out


def _calibration(
    name: str,
    method: str,
    parameters: Parameters,
    y: Floats,
    losses: Mapping[str, Floats],
    reason: str,
) -> FindingCalibration:
    means = {tried: float(loss.mean()) for tried, loss in losses.items()}
    return FindingCalibration(
        name, method, parameters, len(y), int(y.sum()), MappingProxyType(means), reason
    )


def _without_data(name: str, y: Floats, offset: float | None) -> FindingCalibration:
    why = f"{int(y.sum())} positives among {len(y)} labelled images: nothing can be learned"
    method, parameters, end = "none", {}, "not calibrated"
    if offset is not None:
        method, parameters, end = "prior_shift", {"shift": (offset,)}, "training weights"
    return FindingCalibration(
        name, method, parameters, len(y), int(y.sum()), reason=f"{why}; {end}."
    )
