"""Coverage: how often the 95 % intervals of the report hold the truth, and what flags keep.

Data sets with a known truth are drawn again and again, evaluated and compared as a user does it,
and every kind of interval that the report prints is held against the truth. Patients have several
films, which share part of the score. Where the share of positives matters (*), the number of
positive patients varies by chance about the stated one, as it does from sample to sample.

    python benchmarks/interval_coverage.py --runs 400
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.evaluation.comparison import compare
from monai_cxr.evaluation.decisions.conformal import ABSENT, PRESENT, ConformalRule, fit_conformal
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.results import Performance
from monai_cxr.evaluation.statistics.discrimination import any_finding, auroc, average_precision
from monai_cxr.evaluation.statistics.rates import rates_at
from monai_cxr.evaluation.statistics.reliability import (
    assign_bins,
    bin_edges,
    brier_score,
    expected_calibration_error,
    observed_shares,
)
from monai_cxr.prediction import Interval, OperatingPoint
from monai_cxr.tables import FACT_COLUMNS

Floats = NDArray[np.float64]

FINDINGS = ("A", "B", "C")
POSITIVE_PATIENTS = (5, 10, 20, 60)
N_PATIENTS = 300
SHIFT = 1.2
"""Positives score higher by this many standard deviations, so the AUROC is Phi(1.2 / sqrt(2))."""
SHARED = 0.6
"""Share of the score's variance that a patient's films have in common."""
THRESHOLD = 0.8
AREA = NormalDist().cdf(SHIFT / math.sqrt(2.0))


def draw(n_positive: int, rng: np.random.Generator, *, varies: bool) -> tuple[Floats, ...]:
    """Scores of two models and labels, each shape (N, 3), and patients, shape (N,)."""
    films = np.minimum(rng.geometric(0.4, N_PATIENTS), 8)
    patients = np.repeat(np.arange(N_PATIENTS), films)
    first = np.append(True, np.diff(patients) > 0)
    columns: tuple[list[Floats], ...] = ([], [], [])
    for _ in FINDINGS:
        n = max(1, rng.binomial(N_PATIENTS, n_positive / N_PATIENTS)) if varies else n_positive
        ill = (rng.permutation(N_PATIENTS) < n)[patients]
        label = np.where(first | (rng.random(len(patients)) < 0.8), ill, 0.0)
        noise, other = (
            math.sqrt(SHARED) * rng.standard_normal(N_PATIENTS)[patients]
            + math.sqrt(1.0 - SHARED) * rng.standard_normal(len(patients))
            for _ in range(2)
        )
        columns[0].append(SHIFT * label + noise)
        columns[1].append(SHIFT * label + 0.6 * noise + 0.8 * other)
        columns[2].append(label)
    a, b, labels = (np.stack(part, axis=1) for part in columns)
    return a, b, labels, patients.astype(np.float64)


def probability(scores: Floats, n_positive: int) -> Floats:
    """Probabilities that are not quite calibrated."""
    share = n_positive / N_PATIENTS
    return 1.0 / (1.0 + np.exp(-(math.log(share / (1.0 - share)) - 1.0 + 1.2 * scores)))


def classes(drawn: tuple[Floats, ...]) -> PredictionSet:
    """The first finding alone, called present from the threshold on."""
    return predictions(
        drawn, 0, 0, findings=FINDINGS[:1], scores=1.0 / (1.0 + np.exp(THRESHOLD - drawn[0][:, :1]))
    )


def predictions(
    drawn: tuple[Floats, ...],
    which: int,
    n_positive: int,
    *,
    findings: tuple[str, ...] = FINDINGS,
    scores: Floats | None = None,
) -> PredictionSet:
    """One model's predictions; half of the patients have one sex, half the other."""
    patients = drawn[3].astype(int)
    facts = pd.DataFrame({name: [""] * len(patients) for name in FACT_COLUMNS}, dtype=object)
    facts["sex"] = np.where(patients % 2, "F", "M")
    facts["age"] = facts["follow_up"] = np.nan
    return PredictionSet(
        np.arange(len(patients)).astype(str), patients.astype(str), findings, None,
        probability(drawn[which], n_positive) if scores is None else scores,
        drawn[2][:, : len(findings)], facts,
    )  # fmt: skip


class Bars:
    """What endless films would show in each bar of a reliability curve, wherever its edges lie."""

    def __init__(self, p: Floats, label: Floats) -> None:
        order = np.argsort(p)
        self.p, self.positives = p[order], np.append(0.0, np.cumsum(label[order]))

    def coverage(self, p: Floats, label: Floats, patients: NDArray[np.intp]) -> tuple[int, int]:
        """How many bars of one data set hold the truth, and how many there are."""
        edges = bin_edges(p)
        places = [0, *np.searchsorted(self.p, edges), len(self.p)]
        shown = np.unique(assign_bins(p, edges))
        bars = observed_shares(p, label, patients)
        held = 0
        for number, bar in zip(shown, bars, strict=True):
            low, high = places[number], places[number + 1]
            share = (self.positives[high] - self.positives[low]) / max(high - low, 1)
            held += bar.low <= share <= bar.high
        return held, len(bars)


def truths(n_positive: int, rule: ConformalRule) -> tuple[dict[str, float], Bars]:
    """The numbers that endless films would show, from many data sets put together."""
    many = [draw(n_positive, np.random.default_rng([7, i]), varies=True) for i in range(1500)]
    scores, labels = (np.concatenate([part[i] for part in many]) for i in (0, 2))
    together = auroc(*any_finding(probability(scores, n_positive), labels))
    scores, label = scores[:, 0], labels[:, 0]
    p = probability(scores, n_positive)
    rates = rates_at(scores, label, THRESHOLD)
    flags = rule.flag(p)
    called = scores >= THRESHOLD
    right, likely = float((called == label).mean()), float(called.mean())
    ill = float(label.mean())
    by_chance = likely * ill + (1.0 - likely) * (1.0 - ill)
    return {
        "kappa *": (right - by_chance) / (1.0 - by_chance),
        "balanced accuracy": (rates.sensitivity + rates.specificity) / 2.0,
        "any finding: AUROC *": together,
        "mean ECE of endless films *": expected_calibration_error(p, label),
        "AUROC": AREA, "AUROC, DeLong (image level)": AREA,
        "mean AUROC": AREA, "AUROC of a group": AREA,
        "difference of two models": 0.0, "difference of means": 0.0, "gap between groups": 0.0,
        "sensitivity": rates.sensitivity, "specificity": rates.specificity,
        "LR+": rates.likelihood_ratio_positive, "LR-": rates.likelihood_ratio_negative,
        "what if: PPV": rates.ppv_at(0.05), "what if: NPV": rates.npv_at(0.05),
        "conformal: kept, with": float((flags[label == 1.0] != ABSENT).mean()),
        "conformal: kept, without": float((flags[label == 0.0] != PRESENT).mean()),
        "average precision *": average_precision(scores, label),
        "PPV *": rates.ppv, "NPV *": rates.npv, "accuracy *": rates.accuracy,
        "Brier score *": brier_score(p, label),
        "ECE of endless films *": expected_calibration_error(p, label),
    }, Bars(p, label)  # fmt: skip


def intervals(performance: Performance, *, varies: bool) -> Iterator[tuple[str, Interval]]:
    """What is printed of the first finding, by the names of :func:`truths`."""
    finding, (point,), (flags,) = (
        performance["A"],
        performance.operating_points,
        performance.conformal,
    )
    if varies:
        yield "average precision *", finding.average_precision
        yield "PPV *", point.ppv
        yield "NPV *", point.npv
        yield "accuracy *", point.accuracy
        yield "Brier score *", finding.brier
        yield "ECE of endless films *", finding.ece
        yield "mean ECE of endless films *", performance.macro.ece
        yield "any finding: AUROC *", performance.any_finding.auroc
        return
    yield "AUROC", finding.auroc
    yield "AUROC, DeLong (image level)", finding.auroc_delong
    yield "mean AUROC", performance.macro.auroc
    for group in performance.subgroups[:1]:
        yield "AUROC of a group", group.auroc.get("A", Interval(math.nan))
        other = performance.subgroups[1]
        yield "gap between groups", group.gap if math.isnan(other.gap.low) else other.gap
    yield "sensitivity", point.sensitivity
    yield "specificity", point.specificity
    yield "LR+", point.likelihood_ratio_positive
    yield "LR-", point.likelihood_ratio_negative
    yield "what if: PPV", point.what_if[0].ppv
    yield "what if: NPV", point.what_if[0].npv
    yield "conformal: kept, with", flags.coverage_positive
    yield "conformal: kept, without", flags.coverage_negative


def coverage(n_positive: int, runs: int, n_bootstrap: int) -> dict[str, tuple[int, int, int]]:
    """By kind: intervals that hold the truth, intervals given, data sets."""
    limit = float(probability(np.array([THRESHOLD]), n_positive)[0])
    point = OperatingPoint("A", limit, "", Interval(math.nan), Interval(math.nan), 0, 0)
    rule = ConformalRule("A", 0.1, limit * 0.5, limit * 2.0, 0, 0)
    true, bars = truths(n_positive, rule)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for run in range(runs):
        for varies in (False, True):
            drawn = draw(n_positive, np.random.default_rng([run, n_positive]), varies=varies)
            one = predictions(drawn, 0, n_positive)
            performance = evaluate(
                one, n_bootstrap=n_bootstrap, operating_points=[point], conformal=[rule],
                prevalences=[("", 0.05)], subgroups=(("sex",),), n_threads=1,
            )  # fmt: skip
            printed = dict(intervals(performance, varies=varies))
            two_classes = evaluate(
                classes(drawn), n_bootstrap=n_bootstrap, subgroups=False, n_threads=1
            ).classification
            assert two_classes is not None
            if varies:
                printed["kappa *"] = two_classes.kappa
                patient = drawn[3].astype(np.intp)
                held, given = bars.coverage(one.probabilities[:, 0], one.labels[:, 0], patient)
                for i, value in enumerate((held, given, given)):
                    counts["a bar of the reliability curve *"][i] += value
            else:
                printed["balanced accuracy"] = two_classes.balanced_accuracy
            if not varies:
                two = compare(one, predictions(drawn, 1, n_positive), n_bootstrap=n_bootstrap)
                printed["difference of two models"] = two.findings[0].difference
                printed["difference of means"] = two.macro
            for name, interval in printed.items():
                given = not math.isnan(interval.low)
                held = given and interval.low <= true[name] <= interval.high
                for i, value in enumerate((held, given, True)):
                    counts[name][i] += value
    return {name: (a, b, c) for name, (a, b, c) in counts.items()}


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
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--bootstrap", type=int, default=300)
    parser.add_argument("--conformal-runs", type=int, default=2000)
    arguments = parser.parse_args()
    print(f"{arguments.runs} data sets, {arguments.bootstrap} replicates each\n")
    tables = {n: coverage(n, arguments.runs, arguments.bootstrap) for n in POSITIVE_PATIENTS}
    print(f"| positive patients | {' | '.join(map(str, POSITIVE_PATIENTS))} |")
    print(f"|---{'|--:' * len(POSITIVE_PATIENTS)}|")
    for name in dict.fromkeys(name for table in tables.values() for name in table):
        cells = [_cell(*tables[n].get(name, (0, 0, 0))) for n in POSITIVE_PATIENTS]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if not arguments.conformal_runs:
        return
    print(
        "\n| positives that calibrated | alpha | positives covered | negatives covered | decided |"
    )
    print("|--:|--:|--:|--:|--:|")
    for n_positive in (15, 50, 200):
        for alpha in (0.1, 0.05):
            shares = conformal_coverage(n_positive, alpha, arguments.conformal_runs)
            cells = [f"{100 * share:.1f} %" for share in shares]
            print(f"| {n_positive} | {alpha} | {' | '.join(cells)} |", flush=True)


def _cell(held: int, given: int, runs: int) -> str:
    """Coverage where an interval is given, and how often none is."""
    if not given:
        return "none given"
    none = f" (none in {100 * (1 - given / runs):.0f} %)" if given < runs else ""
    return f"{100 * held / given:.1f} %{none}"


def _probability(labels: Floats, rng: np.random.Generator) -> Floats:
    return 1.0 / (1.0 + np.exp(3.0 - 2.0 * labels - rng.standard_normal(len(labels))))


if __name__ == "__main__":
    main()
