"""Measures: what the gate asks, as checks of non-inferiority and of the goal of a change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.statistics.clusters import patient_codes, rarer_class
from monai_cxr.evaluation.statistics.paired_areas import (
    Areas,
    area_difference,
    mean_areas,
    paired_areas,
)
from monai_cxr.evaluation.statistics.paired_means import (
    Means,
    mean_gap,
    mean_means,
    paired_brier,
)
from monai_cxr.evaluation.statistics.shares import paired_share_difference
from monai_cxr.evaluation.subgroups import fact_levels
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.lifecycle.verdict import NOT_DECIDED, PASSED, REFUSED, GateCheck
from monai_cxr.prediction import Interval

_Part = TypeVar("_Part", Areas, Means)


@dataclass(frozen=True, slots=True, eq=False)
class Contestant:
    """A model on a test.

    Attributes:
        predictions: Calibrated, with labels; row by row the same images as the other model's.
        thresholds: Thresholds of its operating points, by finding.
    """

    predictions: PredictionSet
    thresholds: Mapping[str, float]


def areas_of(champion: Contestant, challenger: Contestant) -> list[Areas]:
    """Both models' AUROC, finding by finding."""
    a, b = champion.predictions, challenger.predictions
    codes, n_patients = patient_codes(a.patient_ids)
    return [
        paired_areas(
            a.probabilities[:, i], b.probabilities[:, i], a.labels[:, i], codes, n_patients
        )
        for i in range(len(a.findings))
    ]


def mean_difference(areas: Sequence[Areas]) -> tuple[tuple[float, float], Interval]:
    """Mean AUROC of both models over the findings that have one, and its difference."""
    there = [one for one in areas if one.worth > 0.0]
    if not there:
        return (math.nan, math.nan), Interval(math.nan)
    mean = mean_areas(there)
    first, second = (float(value) for value in mean.estimates)
    return (first, second), area_difference(mean)


def by_finding(
    test: str,
    areas: Sequence[Areas],
    champion: Contestant,
    challenger: Contestant,
    margins: Margins,
) -> list[GateCheck]:
    """AUROC, sensitivity and flag rate, finding by finding."""
    a, b = champion.predictions, challenger.predictions
    codes, _ = patient_codes(a.patient_ids)
    checks = []
    for i, (name, item) in enumerate(zip(a.findings, areas, strict=True)):
        labels = a.labels[:, i]
        n = len(rarer_class(codes, labels).codes)
        known, present = ~np.isnan(labels), labels == 1.0
        checks.append(
            _checked(
                (test, "AUROC", name, ""),
                (n, margins.n_positive),
                (float(item.estimates[0]), float(item.estimates[1])),
                area_difference(item),
                -margins.auroc,
            )
        )
        rules = [c.thresholds.get(name, math.nan) for c in (champion, challenger)]
        flagged = [p.probabilities[:, i] >= rule for p, rule in zip((a, b), rules, strict=True)]
        for measure, rows, limit in (
            ("sensitivity", present, -margins.sensitivity),
            ("flag rate", known, margins.flag_rate),
        ):
            first, second = (each[rows] for each in flagged)
            ruled = not any(map(math.isnan, rules)) and len(first) > 0
            checks.append(
                _checked(
                    (test, measure, name, ""),
                    (n, margins.n_positive),
                    (float(first.mean()), float(second.mean())) if ruled else (math.nan, math.nan),
                    paired_share_difference(first, second, codes[rows])
                    if ruled
                    else Interval(math.nan),
                    limit,
                )
            )
    return checks


def brier(
    test: str, champion: Contestant, challenger: Contestant, margins: Margins, *, goal: bool
) -> list[GateCheck]:
    """Brier scores by finding and, where the goal is better probabilities, their mean."""
    a, b = champion.predictions, challenger.predictions
    codes, n_patients = patient_codes(a.patient_ids)
    sizes = _patients(a)
    scores = [
        paired_brier(
            a.probabilities[:, i], b.probabilities[:, i], a.labels[:, i], codes, n_patients
        )
        for i in range(len(a.findings))
    ]
    checks = [
        _checked(
            (test, "Brier score", name, ""),
            (size, margins.n_positive),
            (float(item.estimates[0]), float(item.estimates[1])),
            mean_gap(item),
            margins.brier,
        )
        for name, size, item in zip(a.findings, sizes, scores, strict=True)
    ]
    if goal and margins.goal == "brier":
        enough = _enough(scores, sizes, margins.n_positive)
        values, change = (math.nan, math.nan), None
        if enough:
            mean = mean_means(enough)
            values, change = (float(mean.estimates[0]), float(mean.estimates[1])), mean_gap(mean)
        n = max(sizes, default=0)
        checks.append(_goal((test, "goal: Brier score"), n, margins, values, change, -1.0))
    return checks


def auroc_goal(
    test: str, areas: Sequence[Areas], contestant: Contestant, margins: Margins
) -> list[GateCheck]:
    """Whether the mean AUROC is better, where that is the goal."""
    if margins.goal != "auroc":
        return []
    sizes = _patients(contestant.predictions)
    values, change = mean_difference(_enough(areas, sizes, margins.n_positive))
    return [_goal((test, "goal: AUROC"), max(sizes, default=0), margins, values, change, 1.0)]


def subgroups(
    test: str, champion: Contestant, challenger: Contestant, margins: Margins
) -> list[GateCheck]:
    """Macro AUROC in each level of each fact, over the findings with enough patients there."""
    a, b = champion.predictions, challenger.predictions
    checks = []
    for fact in margins.subgroups:
        levels = fact_levels(a.facts[fact], fact)
        for level in sorted(set(levels) - {""}):
            chosen = levels == level
            part, other = a.where(chosen), b.where(chosen)
            sizes = _patients(part)
            areas = areas_of(Contestant(part, {}), Contestant(other, {}))
            values, change = mean_difference(_enough(areas, sizes, margins.n_positive_subgroup))
            checks.append(
                _checked(
                    (test, "subgroup AUROC", "", f"{fact} {level}"),
                    (max(sizes, default=0), margins.n_positive_subgroup),
                    values,
                    change,
                    -margins.subgroup_auroc,
                )
            )
    return checks


def _patients(predictions: PredictionSet) -> list[int]:
    """Patients of the rarer class, finding by finding."""
    codes, _ = patient_codes(predictions.patient_ids)
    labels = predictions.labels
    return [len(rarer_class(codes, labels[:, i]).codes) for i in range(labels.shape[1])]


def _enough(parts: Sequence[_Part], sizes: Sequence[int], least: int) -> list[_Part]:
    return [one for one, size in zip(parts, sizes, strict=True) if size >= least]


def _checked(
    what: tuple[str, str, str, str],
    n: tuple[int, int],
    values: tuple[float, float],
    difference: Interval,
    limit: float,
) -> GateCheck:
    """A non-inferiority check: a negative limit is a floor, a positive one a ceiling."""
    have, need = n
    bound = difference.low if limit < 0.0 else difference.high
    if have < need:
        outcome, reason = NOT_DECIDED, f"{have} patients of the rarer class; {need} are needed."
    elif math.isnan(bound):
        outcome, reason = NOT_DECIDED, "The data give no interval here, or a model no threshold."
    elif bound > limit if limit < 0.0 else bound < limit:
        outcome, reason = PASSED, f"The bound {bound:+.3f} is within the limit {limit:+.3f}."
    else:
        estimate = difference.estimate
        worse = estimate < limit if limit < 0.0 else estimate > limit
        outcome = REFUSED
        reason = (
            f"The difference itself, {estimate:+.3f}, is beyond the limit {limit:+.3f}."
            if worse
            else f"A loss is not ruled out: the bound {bound:+.3f} is beyond {limit:+.3f}."
        )
    return GateCheck(*what, have, *values, difference, limit, outcome, reason)


def _goal(
    what: tuple[str, str],
    n: int,
    margins: Margins,
    values: tuple[float, float],
    change: Interval | None,
    sign: float,
) -> GateCheck:
    """A superiority check of a mean: the bound must be on the better side of 0."""
    difference = change or Interval(math.nan)
    bound = difference.low if sign > 0.0 else difference.high
    if n < margins.n_positive or math.isnan(bound):
        outcome, reason = (
            NOT_DECIDED,
            "Too few patients to say whether the change reached its goal.",
        )
    elif sign * bound > 0.0:
        outcome, reason = PASSED, f"Better: the bound {bound:+.3f} is beyond 0."
    else:
        outcome, reason = REFUSED, f"Not shown to be better: the bound is {bound:+.3f}."
    return GateCheck(what[0], what[1], "", "", n, *values, difference, 0.0, outcome, reason)
