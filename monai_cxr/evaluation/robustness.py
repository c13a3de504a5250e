"""Robustness: how a model's findings change when its films do, as a curve a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.comparison import areas_of
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.evaluation.statistics.intervals import Resampled, mean_of, patient_interval
from monai_cxr.prediction import Interval, OperatingPoint

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RobustnessPoint:
    """One finding under one amount of one perturbation.

    Attributes:
        perturbation: Name.
        amount: In the perturbation's unit.
        finding: Name, or ``"macro"``.
        auroc_change: AUROC minus that of the untouched films, with a paired patient interval.
        mean_change: Mean of |probability - untouched probability|, in [0, 1].
        flipped: Share of images whose decision changes at the operating point; NaN without one.
    """

    perturbation: str
    amount: float
    finding: str
    auroc_change: Interval
    mean_change: float
    flipped: float


def robustness_curve(
    untouched: PredictionSet,
    perturbed: Mapping[float, PredictionSet],
    *,
    perturbation: str,
    operating_points: Sequence[OperatingPoint] = (),
    n_bootstrap: int = 500,
) -> tuple[RobustnessPoint, ...]:
    """Hold predictions of perturbed films against those of the untouched ones.

    Args:
        untouched: Predictions of the films as they are.
        perturbed: Amount to predictions of the same images, in the same order.
        perturbation: Name.
        operating_points: Thresholds whose decisions are watched.
        n_bootstrap: Patient replicates.

    Returns:
        For each amount, in increasing order, one point per finding and one for the macro AUROC.

    Raises:
        InvalidTable: If images or findings differ.
    """
    codes, n_patients = patient_codes(untouched.patient_ids)
    plan = BootstrapPlan(n_patients, n_bootstrap, 0)
    (before,) = areas_of([untouched], untouched.labels, codes, plan)
    thresholds = {point.finding: point.threshold for point in operating_points}
    points: list[RobustnessPoint] = []
    for amount in sorted(perturbed):
        changed = perturbed[amount]
        if changed.findings != untouched.findings or not np.array_equal(
            changed.image_ids, untouched.image_ids
        ):
            raise InvalidTable(
                f"The predictions under {perturbation} {amount:g} are for other images or "
                "findings. Predict the same films in the same order."
            )
        (after,) = areas_of([changed], untouched.labels, codes, plan)
        points += _points((perturbation, amount), (untouched, changed), (before, after), thresholds)
    return tuple(points)


def _points(
    where: tuple[str, float],
    predictions: tuple[PredictionSet, PredictionSet],
    areas: tuple[list[Resampled], list[Resampled]],
    thresholds: Mapping[str, float],
) -> list[RobustnessPoint]:
    changes = [after.minus(before) for before, after in zip(*areas, strict=True)]
    first, second = (item.probabilities for item in predictions)
    moved = np.abs(second - first)
    points = []
    for i, name in enumerate(predictions[0].findings):
        limit = thresholds.get(name, np.nan)
        flipped = (
            np.nan if np.isnan(limit) else np.mean((first >= limit) != (second >= limit), 0)[i]
        )
        interval = patient_interval(changes[i])
        points.append(
            RobustnessPoint(*where, name, interval, float(moved[:, i].mean()), float(flipped))
        )
    there = [change for change in changes if not np.isnan(change.estimate)]
    interval = patient_interval(mean_of(there)) if there else Interval(np.nan)
    return [*points, RobustnessPoint(*where, "macro", interval, float(moved.mean()), np.nan)]
