"""Significance: p values of differences over patients, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.statistics.intervals import Resampled

Floats = NDArray[np.float64]

_NO_SPREAD = 1e-12


def bootstrap_p(difference: Resampled) -> float:
    """Two-sided p that a difference is 0, from the standard error of its replicates.

    Student's t with n - 1 degrees of freedom and the variance times n / (n - 1), as in
    :func:`patient_interval`. B replicates resolve no p below 1 / (B + 1) (Phipson and Smyth 2010).

    Args:
        difference: A difference on the same replicates.

    Returns:
        In [1 / (B + 1), 1]; NaN where no interval is given, 1 for no difference at all.
    """
    values, n = difference.drawn, difference.clusters.n_effective
    if math.isnan(difference.estimate) or not len(values) or n < 2:
        return math.nan
    from scipy.stats import t as student_t

    least = 1.0 / (len(difference.replicates) + 1)
    error = float(values.std(ddof=1)) * math.sqrt(n / (n - 1))
    if error <= _NO_SPREAD:
        return 1.0 if abs(difference.estimate) < _NO_SPREAD else least
    return max(least, 2.0 * float(student_t.sf(abs(difference.estimate) / error, n - 1)))


def holm(p_values: Sequence[float]) -> Floats:
    """Holm's step-down correction (Holm 1979); NaN stays NaN and is not counted.

    Args:
        p_values: F values in [0, 1] or NaN.

    Returns:
        Adjusted, float64, shape (F,), in [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(p, np.nan)
    order = [i for i in np.argsort(p, kind="stable") if not math.isnan(p[i])]
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, float(p[i]) * (len(order) - rank)))
        adjusted[i] = largest
    return adjusted
