"""Sample size: how many patients a wanted interval, or a wanted answer of the gate, needs."""

from __future__ import annotations

import math
from statistics import NormalDist

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.shares import wilson

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
    """Patients with a finding that let an equal challenger pass on sensitivity.

    The paired difference of two shares that are equal has the variance of the share of patients on
    whom the models differ, divided by the patients (Connor 1987).

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
    return math.ceil(z * z * discordant / margin**2)


def patients_for(n_positive: int, prevalence: float) -> int:
    """Patients that must be read to meet so many with the finding, on average.

    Raises:
        SettingsError: If the prevalence is not between 0 and 1.
    """
    if not 0.0 < prevalence < 1.0:
        raise SettingsError(f"Expected a prevalence between 0 and 1, but got {prevalence}.")
    return math.ceil(n_positive / prevalence)
