"""Subgroups: discrimination by age, sex, view, maker and follow-up, by intersections, with gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.statistics.clusters import Clusters, rarer_class
from monai_cxr.evaluation.statistics.intervals import (
    Resampled,
    mean_interval,
    mean_of,
    patient_interval,
)
from monai_cxr.evaluation.statistics.replicates import Ranking, compile_ranking, in_threads
from monai_cxr.prediction import Interval
from monai_cxr.tables import FACT_COLUMNS

Floats = NDArray[np.float64]

DEFAULT_DIMENSIONS: tuple[tuple[str, ...], ...] = (
    ("age",),
    ("sex",),
    ("view",),
    ("manufacturer",),
    ("follow_up",),
    ("view", "sex"),
    ("age", "sex"),
)
"""What is looked at: facts, and intersections of facts."""

AGE_STARTS = (0, 18, 40, 60, 80)
"""First year of each age band."""

LEAST_PATIENTS = 10
"""With fewer positive, or fewer negative, patients in a group, a number is suppressed."""

MOST_LEVELS = 12
"""Of a fact with more values, the most frequent are shown and the others put together."""


@dataclass(frozen=True, slots=True)
class Subgroup:
    """One group of images.

    Attributes:
        dimension: Facts that define it, for example ``("view", "sex")``.
        level: Their values, for example ``("AP", "F")``.
        n: Images.
        n_patients: Patients.
        auroc: By finding; a suppressed one is absent.
        macro_auroc: Mean over the findings that are not suppressed.
        reference: Level that the gap is measured against: the largest of the dimension.
        gap: Macro AUROC minus the reference's, over the findings that both have.
        n_findings: Findings in the macro AUROC.
    """

    dimension: tuple[str, ...]
    level: tuple[str, ...]
    n: int
    n_patients: int
    auroc: dict[str, Interval]
    macro_auroc: Interval
    reference: tuple[str, ...]
    gap: Interval
    n_findings: int


@dataclass(frozen=True, slots=True, eq=False)
class SubgroupPlan:
    """A group with its compiled statistics, one a finding that is not suppressed."""

    dimension: tuple[str, ...]
    level: tuple[str, ...]
    chosen: NDArray[np.bool_]
    columns: tuple[int, ...]
    estimates: Floats
    rankings: tuple[Ranking, ...]
    clusters: tuple[Clusters, ...]


def plan_subgroups(
    predictions: PredictionSet,
    patients: NDArray[np.intp],
    n_patients: int,
    dimensions: Sequence[tuple[str, ...]] = DEFAULT_DIMENSIONS,
) -> list[SubgroupPlan]:
    """Find the groups and compile their AUROCs.

    Args:
        predictions: N images.
        patients: Shape (N,), codes in [0, n_patients).
        n_patients: P.
        dimensions: Tuples of facts.

    Returns:
        The groups of each dimension with at least two levels, in reading order.

    Raises:
        SettingsError: If a fact is unknown.
    """
    unknown = {fact for dimension in dimensions for fact in dimension} - set(FACT_COLUMNS)
    if unknown:
        raise SettingsError(
            f"Expected facts among {', '.join(FACT_COLUMNS)}, but got {', '.join(sorted(unknown))}."
        )
    levels = {fact: fact_levels(predictions.facts[fact], fact) for fact in FACT_COLUMNS}
    groups: list[tuple[tuple[str, ...], tuple[str, ...], NDArray[np.bool_]]] = []
    for dimension in dimensions:
        parts = list(zip(*(levels[fact] for fact in dimension), strict=True))
        found = list(dict.fromkeys(parts))
        codes = np.array(list(map({level: i for i, level in enumerate(found)}.get, parts)))
        known = [i for i, level in enumerate(found) if "" not in level]
        if any(len({found[i][j] for i in known}) < 2 for j in range(len(dimension))):
            continue
        groups += [
            (dimension, found[i], codes == i)
            for i in sorted(known, key=lambda i: _reading_order(found[i]))
        ]
    orders = in_threads(np.argsort, predictions.probabilities.T)
    return in_threads(
        lambda group: _compiled(predictions, orders, patients, n_patients, group), groups
    )


def fact_levels(values: pd.Series[str] | pd.Series[float], fact: str) -> NDArray[np.object_]:
    """Levels of a fact: bands of age, first film or follow-up, or the value; '' = unknown."""
    if fact == "age":
        years = values.to_numpy(dtype=np.float64)
        bands = np.searchsorted(AGE_STARTS, np.nan_to_num(years, nan=-1.0), side="right") - 1
        names = [f"{a}-{b - 1}" for a, b in pairwise(AGE_STARTS)]
        table = np.array(["", *names, f"{AGE_STARTS[-1]}+"], dtype=object)
        return table[bands + 1]
    if fact == "follow_up":
        visit = values.to_numpy(dtype=np.float64)
        text = np.where(visit > 0, "follow-up", "first film").astype(object)
        text[np.isnan(visit)] = ""
        return text
    text = values.astype(str).to_numpy(dtype=object)
    frequent = pd.Series(text[text != ""]).value_counts()
    rare = set(frequent.index[MOST_LEVELS:])
    return np.array(["other" if value in rare else value for value in text], dtype=object)


def subgroups_of(
    plans: Sequence[SubgroupPlan], replicates: Sequence[Floats], predictions: PredictionSet
) -> tuple[Subgroup, ...]:
    """Put estimates and replicates together.

    Args:
        plans: G groups.
        replicates: For each group, AUROCs of shape (its findings, B), on shared replicates.
        predictions: The images.

    Returns:
        The groups with intervals and gaps.
    """
    sizes = [int(plan.chosen.sum()) for plan in plans]
    drawn = [
        [
            Resampled(float(estimate), values, clusters)
            for estimate, values, clusters in zip(plan.estimates, rows, plan.clusters, strict=True)
        ]
        for plan, rows in zip(plans, replicates, strict=True)
    ]
    result = []
    for i, plan in enumerate(plans):
        peers = [j for j, other in enumerate(plans) if other.dimension == plan.dimension]
        reference = max(peers, key=sizes.__getitem__)
        names = [predictions.findings[column] for column in plan.columns]
        result.append(
            Subgroup(
                dimension=plan.dimension,
                level=plan.level,
                n=sizes[i],
                n_patients=len(np.unique(predictions.patient_ids[plan.chosen])),
                auroc={
                    name: patient_interval(drawn[i][j], of_area=True)
                    for j, name in enumerate(names)
                },
                macro_auroc=mean_interval(drawn[i]) if drawn[i] else Interval(math.nan),
                reference=plans[reference].level,
                gap=Interval(math.nan)
                if reference == i
                else _gap((plan, plans[reference]), (drawn[i], drawn[reference])),
                n_findings=len(names),
            )
        )
    return tuple(result)


def _reading_order(level: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """Ages by their first year, the rest by the alphabet."""
    return tuple(
        (int(part) if part.isdigit() else 0, name)
        for name in level
        for part in [name.split("-")[0].rstrip("+")]
    )


def _compiled(
    predictions: PredictionSet,
    orders: Sequence[NDArray[np.intp]],
    patients: NDArray[np.intp],
    n_patients: int,
    group: tuple[tuple[str, ...], tuple[str, ...], NDArray[np.bool_]],
) -> SubgroupPlan:
    dimension, level, chosen = group
    labels = predictions.labels[chosen]
    inside = patients[chosen]
    columns = tuple(
        i
        for i in range(len(predictions.findings))
        if all(
            np.count_nonzero(np.bincount(inside[labels[:, i] == value])) >= LEAST_PATIENTS
            for value in (0.0, 1.0)
        )
    )
    rankings = []
    for i in columns:  # in the order of the scores: what is looked up then lies side by side
        rows = orders[i][chosen[orders[i]]]
        scores, truth = predictions.probabilities[rows, i], predictions.labels[rows, i]
        rankings.append(compile_ranking(scores, truth, patients[rows], n_patients))
    everyone = np.ones((n_patients, 1))  # in double precision this gives the estimate itself
    estimates = np.array([float(ranking(everyone)[0, 0]) for ranking in rankings])
    clusters = tuple(rarer_class(inside, labels[:, i]) for i in columns)
    return SubgroupPlan(dimension, level, chosen, columns, estimates, tuple(rankings), clusters)


def _gap(
    plans: tuple[SubgroupPlan, SubgroupPlan], drawn: tuple[list[Resampled], list[Resampled]]
) -> Interval:
    common = [column for column in plans[0].columns if column in plans[1].columns]
    if not common:
        return Interval(math.nan)
    here, there = (
        [areas[plan.columns.index(column)] for column in common]
        for plan, areas in zip(plans, drawn, strict=True)
    )
    return patient_interval(mean_of([a.minus(b) for a, b in zip(here, there, strict=True)]))
