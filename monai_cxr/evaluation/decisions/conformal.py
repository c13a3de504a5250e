"""Conformal flags: absent, uncertain or present, with a coverage that holds by finding and class.

Split conformal prediction with class-conditional (Mondrian) calibration (Vovk 2012): among images
that have a finding, the flag rules it out wrongly in at most a share alpha; among images without
it, the flag claims it wrongly in at most alpha; on average over calibration sets, if images are
exchangeable. What cannot be decided at this error is called uncertain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.discrimination import known
from monai_cxr.evaluation.statistics.shares import share_interval
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

ABSENT, UNCERTAIN, PRESENT = 0, 1, 2
FLAGS = ("absent", "uncertain", "present")


@dataclass(frozen=True, slots=True)
class ConformalRule:
    """When a finding is ruled out, and when it is claimed.

    Attributes:
        finding: Name.
        alpha: Promised error in each class, in (0, 1).
        rule_out_below: Probability below which "present" is rejected; 0 = never.
        rule_in_above: Probability above which "absent" is rejected; 1 = never.
        n_positive: Positive images that calibrated it.
        n_negative: Negative images that calibrated it.
        group: Stratum that it belongs to, for example a view; empty for all images.
    """

    finding: str
    alpha: float
    rule_out_below: float
    rule_in_above: float
    n_positive: int
    n_negative: int
    group: str = ""

    def flag(self, probabilities: ArrayLike) -> NDArray[np.int8]:
        """Flags of probabilities, same shape: 0 absent, 1 uncertain, 2 present."""
        p = np.asarray(probabilities, dtype=np.float64)
        may_be_present = p >= self.rule_out_below
        may_be_absent = p <= self.rule_in_above
        flags = np.full(p.shape, UNCERTAIN, dtype=np.int8)
        flags[may_be_absent & ~may_be_present] = ABSENT
        flags[may_be_present & ~may_be_absent] = PRESENT
        return flags

    def claims(self, probability: float) -> bool:
        """Whether one probability is flagged as present."""
        return probability >= self.rule_out_below and probability > self.rule_in_above


@dataclass(frozen=True, slots=True)
class ConformalCheck:
    """A rule on other data.

    Attributes:
        rule: The rule.
        coverage_positive: Share of positives not ruled out; promised at least 1 - alpha.
        coverage_negative: Share of negatives not claimed; promised at least 1 - alpha.
        decided: Share of images with a flag other than uncertain.
    """

    rule: ConformalRule
    coverage_positive: Interval
    coverage_negative: Interval
    decided: Interval


def fit_conformal(
    finding: str,
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: float = 0.1,
    group: str = "",
) -> ConformalRule:
    """Calibrate the flags of one finding.

    With n cases of a class, the k-th most deviant is the limit, k = floor(alpha (n + 1)); with
    fewer than 1 / alpha - 1 cases there is no limit, and nothing is rejected.

    Args:
        finding: Name.
        probabilities: Shape (N,), in [0, 1], from images that trained nothing.
        labels: Shape (N,), 0, 1 or NaN.
        alpha: Promised error in each class.
        group: Name of the stratum that these images are.

    Returns:
        The rule.
    """
    if not 0.0 < alpha < 1.0:
        raise SettingsError(f"Expected alpha between 0 and 1, but got {alpha}.")
    score, label, _ = known(probabilities, labels)
    positives, negatives = np.sort(score[label == 1.0]), np.sort(score[label == 0.0])
    low, high = _limit_rank(alpha, len(positives)), _limit_rank(alpha, len(negatives))
    return ConformalRule(
        finding=finding,
        alpha=alpha,
        rule_out_below=float(positives[low - 1]) if low else 0.0,
        rule_in_above=float(negatives[len(negatives) - high]) if high else 1.0,
        n_positive=len(positives),
        n_negative=len(negatives),
        group=group,
    )


def check_conformal(
    rules: Sequence[ConformalRule],
    probabilities: Floats,
    labels: Floats,
    patients: NDArray[np.intp],
    *,
    findings: Sequence[str],
) -> tuple[ConformalCheck, ...]:
    """What rules for all images do on other data, with intervals over patients.

    Args:
        rules: Rules of findings; those of other findings or of one stratum are left out.
        probabilities: Shape (N, F), in [0, 1].
        labels: Shape (N, F), 0, 1 or NaN.
        patients: Shape (N,), codes from 0.
        findings: F names.

    Returns:
        One check a rule.
    """
    checks = []
    for rule in rules:
        if rule.finding not in findings or rule.group:
            continue
        i = list(findings).index(rule.finding)
        flags, label = rule.flag(probabilities[:, i]), labels[:, i]
        positive, negative, labelled = label == 1.0, label == 0.0, ~np.isnan(label)
        checks.append(
            ConformalCheck(
                rule,
                share_interval(flags[positive] != ABSENT, patients[positive]),
                share_interval(flags[negative] != PRESENT, patients[negative]),
                share_interval(flags[labelled] != UNCERTAIN, patients[labelled]),
            )
        )
    return tuple(checks)


def risk_coverage_curve(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Error among the images that the model is most sure of (El-Yaniv and Wiener 2010).

    Sureness is the distance of a calibrated probability from one half; equal distances enter
    together.

    Args:
        probabilities: Calibrated, shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.

    Returns:
        Coverage, increasing in (0, 1], and the error rate of ``p >= 0.5`` among those covered;
        each float64, shape (K,).
    """
    score, label, _ = known(probabilities, labels)
    sureness = np.abs(score - 0.5)
    order = np.argsort(-sureness, kind="stable")
    wrong = ((score >= 0.5) != (label == 1.0))[order]
    if not len(wrong):
        return np.empty(0), np.empty(0)
    last = np.flatnonzero(np.append(np.diff(sureness[order]) != 0.0, True))
    covered = last + 1.0
    return covered / len(wrong), np.cumsum(wrong)[last] / covered


def _limit_rank(alpha: float, n: int) -> int:
    """floor(alpha (n + 1)), safe against 0.1 x 10 = 0.999...; 0 = no limit."""
    return min(n, math.floor(alpha * (n + 1) + 1e-9))
