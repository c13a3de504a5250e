"""Operating points: thresholds chosen by a stated criterion on one split, checked on another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.decisions.criteria import Criterion, choose_threshold, parse_criterion
from monai_cxr.evaluation.json_values import json_of, number, read_as
from monai_cxr.evaluation.statistics.intervals import (
    BootstrapPlan,
    patient_codes,
    share_interval,
)
from monai_cxr.evaluation.statistics.rates import Rates, patients_behind, rates_at
from monai_cxr.evaluation.statistics.replicates import compile_rates, replicate
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.prediction import Interval, OperatingPoint

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CheckedOperatingPoint:
    """An operating point as it performs on other data than chose it.

    Attributes:
        point: The operating point, with the rates of the data that chose it.
        rates: Counts on these data.
        sensitivity: With a patient bootstrap interval, on these data.
        specificity: Likewise.
        ppv: Likewise, at the prevalence of these data.
        npv: Likewise, at the prevalence of these data.
        accuracy: Likewise, at the prevalence of these data.
        n: Labelled images.
        n_positive: Of these, the positive ones.
        what_if: (prevalence, PPV, NPV) at prevalences that the reader stated.
    """

    point: OperatingPoint
    rates: Rates
    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    accuracy: Interval
    n: int
    n_positive: int
    what_if: tuple[tuple[float, float, float], ...] = ()

    def to_json(self) -> dict[str, object]:
        """The entry of ``performance.json``."""
        entry = json_of(self)
        counts = {name: int(n) for name, n in entry.pop("rates").items() if name != "threshold"}
        chosen = entry.pop("point")
        return {
            **entry,
            **counts,
            **{name: chosen[name] for name in ("finding", "threshold", "criterion")},
            "chosen_on": chosen,
            "likelihood_ratio_positive": number(self.rates.likelihood_ratio_positive),
            "likelihood_ratio_negative": number(self.rates.likelihood_ratio_negative),
            "what_if": [
                dict(zip(_WHAT_IF, map(number, values), strict=True)) for values in self.what_if
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CheckedOperatingPoint:
        """The inverse of :meth:`to_json`.

        Raises:
            SettingsError: If the value is no checked operating point.
        """
        what_if = read_as(tuple[dict[str, float], ...], value.get("what_if", []), "what_if")
        entry = {
            **value,
            "point": value.get("chosen_on"),
            "rates": value,
            "what_if": [[item.get(name) for name in _WHAT_IF] for item in what_if],
        }
        return read_as(cls, entry, f"operating_points.{value.get('finding')}")  # type: ignore[no-any-return]


_WHAT_IF = ("prevalence", "ppv", "npv")


def choose_operating_points(
    probabilities: Floats,
    labels: Floats,
    patient_ids: ArrayLike,
    criterion: str | Criterion = "sensitivity>=0.90",
    *,
    findings: Sequence[str] = FINDING_NAMES,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[OperatingPoint, ...]:
    """Choose a threshold for each finding, with patient bootstrap intervals.

    Args:
        probabilities: Calibrated, shape (N, F), in [0, 1].
        labels: Shape (N, F), 0, 1 or NaN.
        patient_ids: Shape (N,).
        criterion: The rule, see :func:`parse_criterion`.
        findings: F names.
        n_bootstrap: Replicates.
        seed: Of the bootstrap.

    Returns:
        One point for each finding that has one; a finding without positives, or whose scores cannot
        meet the rule, has none.
    """
    rule = parse_criterion(criterion) if isinstance(criterion, str) else criterion
    if probabilities.shape != labels.shape or probabilities.shape[1] != len(findings):
        raise InvalidTable(
            f"Expected probabilities and labels of shape (N, {len(findings)}), but got "
            f"{probabilities.shape} and {labels.shape}."
        )
    thresholds = {
        name: threshold
        for i, name in enumerate(findings)
        if (threshold := choose_threshold(probabilities[:, i], labels[:, i], rule)) is not None
    }
    unchecked = Interval(math.nan)
    points = [
        OperatingPoint(name, threshold, str(rule), unchecked, unchecked, 0, 0)
        for name, threshold in thresholds.items()
    ]
    checked = check_operating_points(
        points,
        probabilities,
        labels,
        patient_ids,
        findings=findings,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    return tuple(
        replace(
            check.point,
            sensitivity=check.sensitivity,
            specificity=check.specificity,
            n=check.n,
            n_positive=check.n_positive,
        )
        for check in checked
    )


def check_operating_points(
    points: Sequence[OperatingPoint],
    probabilities: Floats,
    labels: Floats,
    patient_ids: ArrayLike,
    *,
    findings: Sequence[str] = FINDING_NAMES,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[CheckedOperatingPoint, ...]:
    """What thresholds chosen elsewhere do on these data.

    Args:
        points: Operating points; those of other findings are left out.
        probabilities: Calibrated, shape (N, F), in [0, 1].
        labels: Shape (N, F), 0, 1 or NaN.
        patient_ids: Shape (N,).
        findings: F names.
        n_bootstrap: Replicates.
        seed: Of the bootstrap.

    Returns:
        One check a point, with patient bootstrap intervals.
    """
    codes, n_patients = patient_codes(patient_ids)
    here = [point for point in points if point.finding in findings]
    columns = [list(findings).index(point.finding) for point in here]
    compiled = [
        compile_rates(probabilities[:, i] >= point.threshold, labels[:, i], codes, n_patients)
        for point, i in zip(here, columns, strict=True)
    ]
    n_replicates = n_bootstrap if n_patients > 1 else 0  # one patient has no spread
    replicates = replicate(compiled, BootstrapPlan(n_patients, n_replicates, seed))
    return tuple(
        _checked(
            point,
            rates_at(probabilities[:, i], labels[:, i], point.threshold),
            values,
            patients_behind(probabilities[:, i] >= point.threshold, labels[:, i], codes),
        )
        for point, i, values in zip(here, columns, replicates, strict=True)
    )


def prevalence_what_if(
    check: CheckedOperatingPoint, prevalences: Sequence[float]
) -> tuple[tuple[float, float, float], ...]:
    """PPV and NPV that a threshold would have at stated prevalences, by Bayes' rule.

    Sensitivity and specificity are taken to stay as they are, which is an assumption of the reader.

    Args:
        check: An operating point on data.
        prevalences: Each in (0, 1).

    Returns:
        (prevalence, PPV, NPV) for each.

    Raises:
        SettingsError: If a prevalence is not between 0 and 1.
    """
    wrong = [value for value in prevalences if not 0.0 < value < 1.0]
    if wrong:
        raise SettingsError(f"Expected prevalences between 0 and 1, but got {wrong}.")
    rates = check.rates
    return tuple((value, rates.ppv_at(value), rates.npv_at(value)) for value in prevalences)


def _checked(
    point: OperatingPoint, rates: Rates, replicates: Floats, n_patients: Sequence[int]
) -> CheckedOperatingPoint:
    n_positive = int(rates.true_positives + rates.false_negatives)
    n = n_positive + int(rates.true_negatives + rates.false_positives)
    estimates = (rates.sensitivity, rates.specificity, rates.ppv, rates.npv, rates.accuracy)
    sensitivity, specificity, ppv, npv, accuracy = (
        share_interval(estimate, values, count)
        for estimate, values, count in zip(estimates, replicates, n_patients, strict=True)
    )
    return CheckedOperatingPoint(
        point, rates, sensitivity, specificity, ppv, npv, accuracy, n=n, n_positive=n_positive
    )
