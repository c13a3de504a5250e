"""Calibration methods: from one finding's logits to probabilities that mean what they say.

Methods, all of the logit z (a probability p brings its logit):

- ``none``: sigmoid(z).
- ``prior_shift``: sigmoid(z + b); what class weights in the loss, or another prevalence, move.
- ``temperature``: sigmoid(z / T); offered on request, never chosen: it cannot move the intercept.
- ``platt``: sigmoid(a z + b), a > 0, with Platt's smoothed targets (Platt 1999).
- ``beta``: sigmoid(a ln p - b ln(1 - p) + c), a, b >= 0 (Kull, Silva Filho and Flach 2017).
- ``pooled_beta``: beta after a prior shift, with slopes shared between findings; fitted to all
  findings at once, by :mod:`monai_cxr.evaluation.calibration.pooled_beta`.
- ``isotonic``: pooled adjacent violators, linear between them (Zadrozny and Elkan 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.logistic import fit_logistic
from monai_cxr.evaluation.statistics.logits import CLIP, sigmoid

Floats = NDArray[np.float64]
Parameters = Mapping[str, tuple[float, ...]]

METHODS = ("none", "prior_shift", "temperature", "platt", "beta", "pooled_beta", "isotonic")
STATED = "stated_prevalence"
"""A parameter that any method may have: (of the films that fitted it, stated), two prevalences;
the probability is then moved from the one to the other by :func:`shift_prior`."""

POOLED = "pooled_beta"
"""The method that needs several findings, and so is not fitted here."""


@dataclass(frozen=True, slots=True, eq=False)
class FindingCalibration:
    """How one finding's logit becomes a probability.

    Attributes:
        finding: Name.
        method: One of :data:`METHODS`.
        parameters: Numbers of the method by name.
        n: Labelled images that fitted it.
        n_positive: Of these, the positive ones.
        log_loss_by_method: Patient-wise cross-validated log loss in nats of each method tried.
        reason: Why this method, in a sentence.
    """

    finding: str
    method: str
    parameters: Parameters
    n: int = 0
    n_positive: int = 0
    log_loss_by_method: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def apply(self, logits: ArrayLike) -> Floats:
        """Probabilities of logits, any shape, float64 in [0, 1]; NaN stays NaN."""
        fitted = apply_method(self.method, np.asarray(logits, dtype=np.float64), self.parameters)
        if STATED not in self.parameters:
            return fitted
        own, stated = self.parameters[STATED]
        return shift_prior(fitted, from_prevalence=own, to_prevalence=stated)

    def at_prevalence(self, prevalence: float) -> FindingCalibration:
        """The same calibration for a population in which the finding is so frequent.

        Args:
            prevalence: In (0, 1).

        Raises:
            SettingsError: If it is not, or the films that fitted it were all of one class.
        """
        if not (0.0 < prevalence < 1.0 and 0 < self.n_positive < self.n):
            raise SettingsError(
                f"Expected a prevalence of {self.finding} between 0 and 1, and a calibration on "
                f"positive and negative films, but got {prevalence} and {self.n_positive} "
                f"positives among {self.n} films."
            )
        own = self.n_positive / self.n
        moved = f"{self.reason} Then moved from a prevalence of {own:.3f} to {prevalence:g}."
        parameters = {**self.parameters, STATED: (own, float(prevalence))}
        return replace(self, parameters=parameters, reason=moved.strip())


def fit_method(method: str, logits: Floats, labels: Floats) -> Parameters:
    """Fit one method to one finding.

    Args:
        method: One of :data:`METHODS`, but not :data:`POOLED`.
        logits: Shape (N,), finite.
        labels: Shape (N,), 0 or 1, both present.

    Returns:
        The method's numbers.

    Raises:
        SettingsError: If the method is unknown.
    """
    if method not in _FIT:
        raise SettingsError(f"Expected one of {', '.join(_FIT)}, but got '{method}'.")
    return _FIT[method](logits, labels)


def apply_method(method: str, logits: Floats, parameters: Parameters) -> Floats:
    """Probabilities of logits, any shape, float64 in [0, 1]; NaN stays NaN."""
    return _APPLY[method](logits, parameters)


def shift_prior(
    probabilities: ArrayLike, *, from_prevalence: float, to_prevalence: float
) -> Floats:
    """The probabilities at another, stated prevalence, with all else equal.

    The odds are multiplied by the ratio of the prior odds (Saerens, Latinne and Decaestecker 2002).
    Nothing here estimates a prevalence: both are stated by the caller.

    Args:
        probabilities: Calibrated at ``from_prevalence``; in [0, 1].
        from_prevalence: In (0, 1).
        to_prevalence: In (0, 1).

    Returns:
        float64, same shape, in [0, 1].
    """
    for prevalence in (from_prevalence, to_prevalence):
        if not 0.0 < prevalence < 1.0:
            raise SettingsError(f"Expected a prevalence between 0 and 1, but got {prevalence}.")
    odds = to_prevalence / (1 - to_prevalence) / (from_prevalence / (1 - from_prevalence))
    p = np.asarray(probabilities, dtype=np.float64)
    result: Floats = p * odds / (p * odds + 1.0 - p)
    return result


def _fit_none(z: Floats, y: Floats) -> Parameters:
    return {}


def _fit_prior_shift(z: Floats, y: Floats) -> Parameters:
    return {"shift": (float(fit_logistic(np.empty((len(y), 0)), y, offset=z)[0]),)}


def _fit_temperature(z: Floats, y: Floats) -> Parameters:
    slope = _slope_through_zero(z, y)
    return {"temperature": (1.0 / max(slope, 1e-6),)}


def _slope_through_zero(z: Floats, y: Floats) -> float:
    """Newton's method in one dimension for P(y) = sigmoid(slope z)."""
    slope = 1.0
    for _ in range(100):
        p = sigmoid(slope * z)
        curvature = float((z * z) @ (p * (1 - p)))
        step = float(z @ (y - p)) / max(curvature, 1e-300)
        step = float(np.clip(step, -0.5 * abs(slope) - 0.05, 0.5 * abs(slope) + 0.05))
        slope += step
        if abs(step) < 1e-13 * (1.0 + abs(slope)):
            break
    return slope


def _smoothed(y: Floats) -> Floats:
    """Platt's targets: (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that few cases stay finite."""
    positives = float(y.sum())
    negatives = len(y) - positives
    return np.where(y == 1.0, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))


def _fit_platt(z: Floats, y: Floats) -> Parameters:
    intercept, slope = fit_logistic(z[:, None], _smoothed(y), start=(0.0, 1.0))
    if slope <= 0.0:
        # A model that ranks the wrong way round keeps its ranks; only its level is corrected.
        return {"slope": (1.0,), "intercept": _fit_prior_shift(z, y)["shift"]}
    return {"slope": (float(slope),), "intercept": (float(intercept),)}


def beta_features(z: Floats) -> Floats:
    """Ln p and -ln(1 - p) of p = sigmoid(z), without overflow; shape (N, 2)."""
    return np.column_stack([-np.logaddexp(0.0, -z), np.logaddexp(0.0, z)])


def _fit_beta(z: Floats, y: Floats) -> Parameters:
    features = beta_features(z)
    c, a, b = fit_logistic(features, y, start=(0.0, 1.0, 1.0))
    if a < 0.0 or b < 0.0:
        kept = 1 if a < 0.0 else 0
        c, slope = fit_logistic(features[:, [kept]], y)
        a, b = (0.0, slope) if kept else (slope, 0.0)
    if min(a, b) < 0.0 or a + b <= 0.0:
        return {"a": (1.0,), "b": (1.0,), "c": _fit_prior_shift(z, y)["shift"]}
    return {"a": (float(a),), "b": (float(b),), "c": (float(c),)}


def _fit_isotonic(z: Floats, y: Floats) -> Parameters:
    scores, inverse, counts = np.unique(z, return_inverse=True, return_counts=True)
    means = np.bincount(inverse.reshape(-1), weights=y) / counts
    from scipy.optimize import isotonic_regression  # heavy: only where something is fitted

    fitted = isotonic_regression(means, weights=counts).x
    inner = np.append(np.diff(fitted) != 0.0, True) | np.append(True, np.diff(fitted) != 0.0)
    return {"scores": tuple(scores[inner].tolist()), "values": tuple(fitted[inner].tolist())}


def _apply_isotonic(z: Floats, parameters: Parameters) -> Floats:
    p = np.interp(z, parameters["scores"], parameters["values"])
    return np.clip(p, CLIP, 1.0 - CLIP)


def _apply_beta(z: Floats, parameters: Parameters) -> Floats:
    (a,), (b,), (c,) = parameters["a"], parameters["b"], parameters["c"]
    return sigmoid(-a * np.logaddexp(0.0, -z) + b * np.logaddexp(0.0, z) + c)


def _apply_pooled(z: Floats, parameters: Parameters) -> Floats:
    return _apply_beta(z + parameters["shift"][0], parameters)


_FIT: Mapping[str, Callable[[Floats, Floats], Parameters]] = {
    "none": _fit_none,
    "prior_shift": _fit_prior_shift,
    "temperature": _fit_temperature,
    "platt": _fit_platt,
    "beta": _fit_beta,
    "isotonic": _fit_isotonic,
}

_APPLY: Mapping[str, Callable[[Floats, Parameters], Floats]] = {
    "none": lambda z, _: sigmoid(z),
    "prior_shift": lambda z, p: sigmoid(z + p["shift"][0]),
    "temperature": lambda z, p: sigmoid(z / p["temperature"][0]),
    "platt": lambda z, p: sigmoid(p["slope"][0] * z + p["intercept"][0]),
    "beta": _apply_beta,
    "pooled_beta": _apply_pooled,
    "isotonic": _apply_isotonic,
}
