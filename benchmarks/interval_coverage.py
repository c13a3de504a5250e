"""Coverage: how often 95 % intervals hold the truth, and conformal flags keep their promise.

Data sets with a known truth are drawn again and again. Patients have several films; a patient's
films share part of label and score, as a real patient's do.

    python benchmarks/interval_coverage.py --runs 1500
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from monai_cxr.evaluation.decisions.conformal import ABSENT, PRESENT, fit_conformal
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.evaluation.statistics.intervals import (
    BootstrapPlan,
    delong,
    effective_patients,
    patient_codes,
    percentile_interval,
)
from monai_cxr.evaluation.statistics.replicates import compile_ranking, replicate
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

SHIFT = 1.2
"""Positives score higher by this many standard deviations, so the AUROC is Phi(1.2 / sqrt(2))."""


@dataclass(frozen=True)
class Scenario:
    """How films are drawn.

    Attributes:
        name: For the table.
        n_patients: Patients a data set.
        mean_films: Films a patient on average (at least 1, geometric).
        shared: Share of the score's variance that a patient's films have in common, in [0, 1].
        label_spread: Standard deviation of the patients' log odds of the finding.
        intercept: Mean log odds of the finding.
    """

    name: str
    n_patients: int
    mean_films: float
    shared: float
    label_spread: float
    intercept: float


SCENARIOS = (
    Scenario("one film a patient", 600, 1.0, 0.0, 0.0, -1.5),
    Scenario("3.6 films a patient, mild clustering", 300, 3.6, 0.3, 1.0, -2.0),
    Scenario("3.6 films a patient, strong clustering", 300, 3.6, 0.8, 2.5, -2.5),
    Scenario("8 films a patient, strong clustering", 300, 8.0, 0.8, 2.5, -2.5),
    Scenario("3.6 films a patient, rare finding (about 4 %)", 600, 3.6, 0.6, 1.5, -4.0),
)


def draw(scenario: Scenario, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Scores, labels and patients of one data set."""
    films = rng.geometric(1.0 / scenario.mean_films, scenario.n_patients)
    patients = np.repeat(np.arange(scenario.n_patients), films)
    odds = scenario.intercept + scenario.label_spread * rng.standard_normal(scenario.n_patients)
    labels = (rng.random(len(patients)) < 1.0 / (1.0 + np.exp(-odds[patients]))).astype(float)
    common = rng.standard_normal(scenario.n_patients)[patients] * np.sqrt(scenario.shared)
    own = rng.standard_normal(len(patients)) * np.sqrt(1.0 - scenario.shared)
    return SHIFT * labels + common + own, labels, patients


def interval_coverage(scenario: Scenario, runs: int, n_bootstrap: int) -> tuple[float, ...]:
    """Truth, then coverage of the patient bootstrap and DeLong, then their mean widths."""
    truth = NormalDist().cdf(SHIFT / math.sqrt(2.0))
    held, widths = np.zeros(2), np.zeros(2)
    seed = SCENARIOS.index(scenario)
    for run in range(runs):
        scores, labels, patients = draw(scenario, np.random.default_rng([run, seed]))
        intervals = (
            _bootstrap(scores, labels, patients, n_bootstrap),
            delong(scores, labels),
        )
        held += [interval.low <= truth <= interval.high for interval in intervals]
        widths += [interval.high - interval.low for interval in intervals]
    return (truth, *(held / runs), *(widths / runs))


def conformal_coverage(n_positive: int, alpha: float, runs: int) -> tuple[float, float, float]:
    """Mean coverage of positives and of negatives, and the mean share that is decided."""
    totals = np.zeros(3)
    for run in range(runs):
        rng = np.random.default_rng([run, n_positive])
        n = n_positive * 20
        labels = np.zeros(n)
        labels[:n_positive] = 1.0
        rule = fit_conformal("any", _probability(labels, rng), labels, alpha=alpha)
        test = (rng.random(4000) < 0.05).astype(float)
        flags = rule.flag(_probability(test, rng))
        totals += (
            (flags[test == 1] != ABSENT).mean(),
            (flags[test == 0] != PRESENT).mean(),
            ((flags == ABSENT) | (flags == PRESENT)).mean(),
        )
    a, b, c = totals / runs
    return float(a), float(b), float(c)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1500)
    parser.add_argument("--bootstrap", type=int, default=600)
    arguments = parser.parse_args()
    print(f"{arguments.runs} data sets, {arguments.bootstrap} replicates each\n")
    print("| films | true AUROC | patient bootstrap | DeLong |")
    print("|---|--:|--:|--:|")
    for scenario in SCENARIOS:
        truth, *rest = interval_coverage(scenario, arguments.runs, arguments.bootstrap)
        cells = [f"{100 * h:.1f} % ({w:.3f})" for h, w in zip(rest[:2], rest[2:], strict=True)]
        print(f"| {scenario.name} | {truth:.3f} | {' | '.join(cells)} |", flush=True)
    print("\nCoverage of nominal 95 %, mean width in brackets.\n")
    print("| positives that calibrated | alpha | positives covered | negatives covered | decided |")
    print("|--:|--:|--:|--:|--:|")
    for n_positive in (15, 50, 200):
        for alpha in (0.1, 0.05):
            cells = [f"{100 * v:.1f} %" for v in conformal_coverage(n_positive, alpha, 2000)]
            print(f"| {n_positive} | {alpha} | {' | '.join(cells)} |", flush=True)


def _bootstrap(scores: Floats, labels: Floats, patients: NDArray[np.intp], n: int) -> Interval:
    codes, n_patients = patient_codes(patients)
    ranking = compile_ranking(scores, labels, codes, n_patients)
    (areas,) = replicate([ranking], BootstrapPlan(n_patients, n, 0), n_threads=1)
    rarer = effective_patients(codes, labels)
    return percentile_interval(auroc(scores, labels), areas[0], n_clusters=rarer)


def _probability(labels: Floats, rng: np.random.Generator) -> Floats:
    return 1.0 / (1.0 + np.exp(3.0 - 2.0 * labels - rng.standard_normal(len(labels))))


if __name__ == "__main__":
    main()
