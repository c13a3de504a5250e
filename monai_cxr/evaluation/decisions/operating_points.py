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
from monai_cxr.evaluation.json_values import json_of, read_as, with_plain_numbers
from monai_cxr.evaluation.statistics.blas_threads import one_blas_thread
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.evaluation.statistics.predictive_values import AtPrevalence, rates_at_prevalence
from monai_cxr.evaluation.statistics.rates import Rates, rates_at
from monai_cxr.evaluation.statistics.shares import share_interval
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.prediction import Interval, OperatingPoint

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Predictive values of an operating point at a stated prevalence.

    Attributes:
        prevalence: Stated, in (0, 1).
        ppv: PPV, with a 95 % interval over patients.
        npv: NPV, with a 95 % interval over patients.
    """

    prevalence: float
    ppv: Interval
    npv: Interval


@dataclass(frozen=True, slots=True)
class CheckedOperatingPoint:
    """An operating point as it performs on other data than chose it.

    Attributes:
        point: The operating point, with the rates of the data that chose it.
        rates: Counts on these data.
        sensitivity: Sensitivity, with an interval over patients, on these data.
        specificity: Specificity, with an interval over patients, on these data.
        ppv: PPV at the prevalence of these data, with an interval over patients.
        npv: NPV at the prevalence of these data, with an interval over patients.
        accuracy: Accuracy on these data, with an interval over patients.
        likelihood_ratio_positive: Sensitivity / (1 - specificity), with such an interval.
        likelihood_ratio_negative: (1 - sensitivity) / specificity, with such an interval.
        n: Labelled images.
        n_positive: Of these, the positive ones.
        what_if: PPV and NPV at prevalences that the reader stated.
    """

    point: OperatingPoint
    rates: Rates
    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    accuracy: Interval
    likelihood_ratio_positive: Interval
    likelihood_ratio_negative: Interval
    n: int
    n_positive: int
    what_if: tuple[WhatIf, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The entry of ``performance.json``."""
        entry = json_of(self)
        counts = {name: int(n) for name, n in entry.pop("rates").items() if name != "threshold"}
        chosen = entry.pop("point")
        return {
            **with_plain_numbers(entry, _PLAIN),
            **counts,
            **{name: chosen[name] for name in ("finding", "threshold", "criterion")},
            "chosen_on": chosen,
            "what_if": [with_plain_numbers(row, ("ppv", "npv")) for row in entry["what_if"]],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CheckedOperatingPoint:
        """The inverse of :meth:`to_json`.

        Raises:
            SettingsError: If the value is no checked operating point.
        """
        entry = {**value, "point": value.get("chosen_on"), "rates": value}
        return read_as(cls, entry, f"operating_points.{value.get('finding')}")  # type: ignore[no-any-return]


_PLAIN = ("likelihood_ratio_positive", "likelihood_ratio_negative")


@one_blas_thread()
def choose_operating_points(
    probabilities: Floats,
    labels: Floats,
    patient_ids: ArrayLike,
    criterion: str | Criterion = "sensitivity>=0.90",
    *,
    findings: Sequence[str] = FINDING_NAMES,
    n_bootstrap: int = 1000,
) -> tuple[OperatingPoint, ...]:
    """Choose a threshold for each finding, with intervals over patients.

    Args:
        probabilities: Calibrated, shape (N, F), in [0, 1].
        labels: Shape (N, F), 0, 1 or NaN.
        patient_ids: Shape (N,).
        criterion: The rule, see :func:`parse_criterion`.
        findings: F names.
        n_bootstrap: 0 gives no intervals; else of no effect, because shares need no drawing.

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
        points, probabilities, labels, patient_ids, findings=findings, n_bootstrap=n_bootstrap
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
) -> tuple[CheckedOperatingPoint, ...]:
    """What thresholds chosen elsewhere do on these data.

    Args:
        points: Operating points; those of other findings are left out.
        probabilities: Calibrated, shape (N, F), in [0, 1].
        labels: Shape (N, F), 0, 1 or NaN.
        patient_ids: Shape (N,).
        findings: F names.
        n_bootstrap: 0 gives no intervals; else of no effect, because shares need no drawing.

    Returns:
        One check a point, with intervals over patients.
    """
    codes, n_patients = patient_codes(patient_ids)
    wanted = n_bootstrap > 0 and n_patients > 1  # one patient has no spread
    return tuple(
        _checked(point, probabilities[:, i], labels[:, i], codes, wanted)
        for point in points
        if point.finding in findings
        for i in [list(findings).index(point.finding)]
    )


def prevalence_what_if(
    check: CheckedOperatingPoint, prevalences: Sequence[float]
) -> tuple[WhatIf, ...]:
    """PPV and NPV that a threshold would have at stated prevalences, by Bayes' rule.

    Sensitivity and specificity are taken to stay as they are, which is an assumption of the reader.

    Args:
        check: An operating point on data.
        prevalences: Each in (0, 1).

    Returns:
        One row a prevalence; without intervals where the rates have none.

    Raises:
        SettingsError: If a prevalence is not between 0 and 1.
    """
    wrong = [value for value in prevalences if not 0.0 < value < 1.0]
    if wrong:
        raise SettingsError(f"Expected prevalences between 0 and 1, but got {wrong}.")
    rows = []
    for value in prevalences:
        there = _at(check.sensitivity, check.specificity, value)
        ppv, npv = check.rates.ppv_at(value), check.rates.npv_at(value)
        rows.append(
            WhatIf(value, Interval(ppv), Interval(npv))
            if there is None
            else WhatIf(value, there.ppv, there.npv)
        )
    return tuple(rows)


def _checked(
    point: OperatingPoint,
    probabilities: Floats,
    labels: Floats,
    codes: NDArray[np.intp],
    wanted: bool,
) -> CheckedOperatingPoint:
    rates = rates_at(probabilities, labels, point.threshold)
    known, present = ~np.isnan(labels), labels == 1.0
    flagged = probabilities >= point.threshold
    right = flagged == present

    def share(group: NDArray[np.bool_]) -> Interval:
        interval = share_interval(right[group], codes[group])
        return interval if wanted else Interval(interval.estimate)

    sensitivity, specificity = share(present), share(known & ~present)
    there = _at(sensitivity, specificity, 0.5)  # likelihood ratios are those of any prevalence
    plain = Interval(rates.likelihood_ratio_positive), Interval(rates.likelihood_ratio_negative)
    return CheckedOperatingPoint(
        point,
        rates,
        sensitivity,
        specificity,
        ppv=share(known & flagged),
        npv=share(known & ~flagged),
        accuracy=share(known),
        likelihood_ratio_positive=there.likelihood_ratio_positive if there else plain[0],
        likelihood_ratio_negative=there.likelihood_ratio_negative if there else plain[1],
        n=int(known.sum()),
        n_positive=int(present.sum()),
    )


def _at(sensitivity: Interval, specificity: Interval, prevalence: float) -> AtPrevalence | None:
    """The rates at a prevalence; None where one has no interval."""
    if math.isnan(sensitivity.low) or math.isnan(specificity.low):
        return None
    return rates_at_prevalence(
        sensitivity, specificity, prevalence, n_positive=math.nan, n_negative=math.nan
    )
