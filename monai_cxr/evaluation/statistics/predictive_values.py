"""Predictive values: PPV, NPV and flags at a stated prevalence, with intervals.

Sensitivity and specificity were measured on films with and without a finding; what a flag means
follows from them at the prevalence of a site. The intervals are Bayesian (Stamey, Holt 2010) with
Jeffreys' prior: each rate has its beta distribution, and 200 x 200 equally probable pairs of them
give the distribution of a predictive value. Nothing is drawn, so the same counts give the same
interval. A rate counts with its effective number of independent trials, and the prevalence is
taken as known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from monai_cxr.evaluation.statistics.rates import Rates
from monai_cxr.evaluation.statistics.shares import trials_of, wilson
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

_PLACES = (np.arange(200) + 0.5) / 200


@dataclass(frozen=True, slots=True)
class AtPrevalence:
    """What a threshold would mean where a share ``prevalence`` of the films has the finding.

    Attributes:
        sensitivity: Sensitivity, with Wilson's 95 % interval.
        specificity: Specificity, with Wilson's 95 % interval.
        ppv: Share of flags that are right, with a 95 % interval.
        npv: Share of unflagged films without the finding, with a 95 % interval.
        flagged: Share of films that are flagged, with a 95 % interval.
        likelihood_ratio_positive: Sensitivity / (1 - specificity), with a 95 % interval.
        likelihood_ratio_negative: (1 - sensitivity) / specificity, with a 95 % interval.
        found: Share of all films that are flagged rightly.
        missed: Share of all films that have it and are not flagged.
        false_alarms: Share of all films that are flagged wrongly.
    """

    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    flagged: Interval
    likelihood_ratio_positive: Interval
    likelihood_ratio_negative: Interval
    found: float
    missed: float
    false_alarms: float


@lru_cache(maxsize=4096)  # a page asks for the same few again and again
def at_prevalence(
    sensitivity: float,
    specificity: float,
    prevalence: float,
    *,
    n_positive: float,
    n_negative: float,
) -> AtPrevalence:
    """Carry a threshold's rates over to another prevalence.

    Args:
        sensitivity: Measured, [0, 1].
        specificity: Measured, [0, 1].
        prevalence: Prevalence of the site, (0, 1).
        n_positive: Independent films with the finding behind the sensitivity, at least one.
        n_negative: Independent films without it behind the specificity, at least one.

    Returns:
        The shares; PPV is NaN where nothing is flagged.
    """
    rates = Rates(math.nan, sensitivity, 1.0 - specificity, specificity, 1.0 - sensitivity)
    rare = 1.0 - prevalence
    se = _likely(sensitivity, n_positive)[:, None]
    sp = _likely(specificity, n_negative)[None, :]
    hits, alarms = prevalence * se, rare * (1.0 - sp)
    correct, misses = rare * sp, prevalence * (1.0 - se)
    return AtPrevalence(
        sensitivity=wilson(sensitivity * n_positive, n_positive),
        specificity=wilson(specificity * n_negative, n_negative),
        ppv=_interval(rates.ppv_at(prevalence), hits / (hits + alarms)),
        npv=_interval(rates.npv_at(prevalence), correct / (correct + misses)),
        flagged=_interval(prevalence * sensitivity + rare * (1.0 - specificity), hits + alarms),
        likelihood_ratio_positive=_interval(rates.likelihood_ratio_positive, se / (1.0 - sp)),
        likelihood_ratio_negative=_interval(rates.likelihood_ratio_negative, (1.0 - se) / sp),
        found=prevalence * sensitivity,
        missed=prevalence * (1.0 - sensitivity),
        false_alarms=rare * (1.0 - specificity),
    )


def rates_at_prevalence(
    sensitivity: Interval,
    specificity: Interval,
    prevalence: float,
    *,
    n_positive: float,
    n_negative: float,
) -> AtPrevalence:
    """:func:`at_prevalence` for rates whose intervals state their effective number of trials.

    Args:
        sensitivity: Measured sensitivity, with its 95 % interval over patients.
        specificity: Measured specificity, with its 95 % interval over patients.
        prevalence: Prevalence of the site, (0, 1).
        n_positive: Films with the finding, for a sensitivity without an interval.
        n_negative: Films without it, for a specificity without an interval.

    Returns:
        The shares; sensitivity and specificity keep their intervals.
    """
    trials = (trials_of(sensitivity), trials_of(specificity))
    positive, negative = (
        films if math.isnan(n) else n
        for n, films in zip(trials, (n_positive, n_negative), strict=True)
    )
    return at_prevalence(
        sensitivity.estimate,
        specificity.estimate,
        prevalence,
        n_positive=positive,
        n_negative=negative,
    )


def _likely(share: float, n: float) -> Floats:
    """Equally probable values of a share that was seen in n films, increasing."""
    seen = share * n
    return np.asarray(beta.ppf(_PLACES, seen + 0.5, n - seen + 0.5), dtype=np.float64)


def _interval(estimate: float, values: Floats) -> Interval:
    """The middle 95 %, widened to hold the estimate at the ends of the scale."""
    if math.isnan(estimate):
        return Interval(math.nan)
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))
