"""Sample size: how many patients a wanted interval, or a wanted answer of the gate, needs."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.shares import gained_minus_lost, share_interval, wilson

_MOST = 10_000_000


def for_interval(share: float, width: float, *, level: float = 0.95) -> int:
    """Fewest independent trials at which Wilson's interval is no wider than wanted.

    Args:
        share: Expected share, such as a sensitivity, in [0, 1].
        width: Upper minus lower bound, in (0, 1).
        level: Coverage in (0, 1).

    Returns:
        Trials: for a sensitivity, patients with the finding.

    Raises:
        SettingsError: If a number is not in its range.
    """
    if not 0.0 <= share <= 1.0 or not 0.0 < width < 1.0:
        raise SettingsError(
            f"Expected a share from 0 to 1 and a width between 0 and 1, but got {share} and "
            f"{width}."
        )
    low, high = 1, _MOST
    while low < high:
        middle = (low + high) // 2
        interval = wilson(share * middle, middle, level=level)
        if interval.high - interval.low <= width:
            high = middle
        else:
            low = middle + 1
    return low


def for_non_inferiority(margin: float, *, discordant: float = 0.1, power: float = 0.8) -> int:
    """Patients with a finding, a film each, that let an equal challenger pass on sensitivity.

    The search begins at the normal approximation (Connor 1987), which promises too much for few
    patients, and goes up in steps of a hundredth until the gate's own bound gives the power.

    Args:
        margin: Largest loss that counts as none, in (0, 1).
        discordant: Share of patients with the finding that exactly one of the two models flags.
        power: Wanted chance that an equal challenger passes, in (0, 1).

    Returns:
        Patients, for a one-sided bound of 97.5 %.

    Raises:
        SettingsError: If a number is not in its range.
    """
    if not (0.0 < margin < 1.0 and 0.0 < discordant <= 1.0 and 0.0 < power < 1.0):
        raise SettingsError(
            "Expected margin, discordant share and power between 0 and 1, but got "
            f"{margin}, {discordant} and {power}."
        )
    normal = NormalDist()
    z = normal.inv_cdf(0.975) + normal.inv_cdf(power)
    n = max(2, math.ceil(z * z * discordant / margin**2))
    while n < _MOST and chance_to_pass(n, margin, discordant=discordant) < power:
        n += max(1, n // 100)
    return n


def chance_to_pass(n: int, margin: float, *, discordant: float = 0.1) -> float:
    """Chance that an equal challenger passes the gate's check of sensitivity.

    Args:
        n: Patients with the finding, a film each.
        margin: Largest loss that counts as none, in (0, 1).
        discordant: Share of them that exactly one model flags; half of these each.

    Returns:
        In [0, 1], over all outcomes of the gate's own bound.
    """
    from scipy.stats import binom

    patients = np.arange(n)
    low, high = (int(binom.ppf(tail, n, discordant)) for tail in (1e-6, 1.0 - 1e-6))
    shares = [share_interval(patients < k, patients) for k in range(high + 1)]
    passed = 0.0
    for differ in range(low, high + 1):
        first, last = 0, differ + 1  # the fewest gained that pass; none does at differ + 1
        while first < last:
            gained = (first + last) // 2
            if gained_minus_lost(shares[gained], shares[differ - gained]).low > -margin:
                last = gained
            else:
                first = gained + 1
        passed += float(binom.pmf(differ, n, discordant) * binom.sf(first - 1, differ, 0.5))
    return passed


def patients_for(n_positive: int, prevalence: float) -> int:
    """Patients that must be read to meet so many with the finding, on average.

    Raises:
        SettingsError: If the prevalence is not between 0 and 1.
    """
    if not 0.0 < prevalence < 1.0:
        raise SettingsError(f"Expected a prevalence between 0 and 1, but got {prevalence}.")
    return math.ceil(n_positive / prevalence)
