"""Gate level: how often the gate passes an inferior, and an equal, challenger.

Champion and challenger score the same patients again and again with a known truth. At the margin
the challenger loses exactly what the plan calls no loss any more; a gate that holds its level
passes it in at most 2.5 % of runs. An equal challenger shows the power. Patients have one to three
films. The checks are the gate's own functions, each asked alone.

    python benchmarks/gate_level.py --runs 4000

The last rows ask what a plan promises: with the patients that its line names, a film each, and
models that differ on 10 % of them, an equal challenger passes the check of sensitivity in 80 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.statistics.shares import paired_share_difference, wilson
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.lifecycle.measures import Contestant, areas_of, auroc_goal, brier, by_finding
from monai_cxr.lifecycle.sample_size import for_non_inferiority
from monai_cxr.lifecycle.verdict import PASSED
from monai_cxr.tables import FACT_COLUMNS

Floats = NDArray[np.float64]

FINDING = "Effusion"
MARGINS = Margins(
    goal="auroc", auroc=0.05, sensitivity=0.1, brier=0.01, flag_rate=0.05, n_positive=5,
    subgroups=(), n_bootstrap=400,
)  # fmt: skip
SENSITIVITY = 0.90
SHARED = 0.8
"""Correlation of the two models' scores of one film."""
RARE = 0.05
"""Share of patients who have a rare finding."""
NORMAL = NormalDist()


def patients_of(n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.repeat(np.arange(n), rng.integers(1, 4, n))


def noises(patients: NDArray[np.intp], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Noise of two models, standard normal, shared in part by patient and by film."""
    own = rng.standard_normal(patients.max() + 1)[patients]
    film = rng.standard_normal(len(patients))
    common = math.sqrt(0.5) * own + math.sqrt(0.5) * film
    return tuple(  # type: ignore[return-value]
        math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * rng.standard_normal(len(patients))
        for _ in range(2)
    )


def contestant(
    patients: NDArray[np.intp], labels: Floats, probabilities: Floats, cut: float = 0.5
) -> Contestant:
    numbers = np.arange(len(labels)).astype(str)
    facts = pd.DataFrame({name: [""] * len(labels) for name in FACT_COLUMNS})
    made = PredictionSet(
        image_ids=numbers, patient_ids=patients.astype(str), findings=(FINDING,), logits=None,
        probabilities=probabilities[:, None], labels=labels[:, None], facts=facts,
    )  # fmt: skip
    return Contestant(made, {FINDING: cut})


def ranked(
    n_positive: int, rng: np.random.Generator, moves: tuple[float, float], cuts: tuple[float, float]
) -> tuple[Contestant, Contestant]:
    """Two models whose scores of films with the finding are moved up, each with its threshold."""
    patients = patients_of(4 * n_positive, rng)
    labels = (patients < n_positive).astype(float)
    first, second = (
        contestant(
            patients,
            labels,
            1.0 / (1.0 + np.exp(-noise - move * labels)),
            1.0 / (1.0 + math.exp(-cut)),
        )
        for noise, move, cut in zip(noises(patients, rng), moves, cuts, strict=True)
    )
    return first, second


def area(value: float) -> float:
    return math.sqrt(2.0) * NORMAL.inv_cdf(value)


def auroc_passes(n: int, loss: float, rng: np.random.Generator, *, of: float) -> bool:
    pair = ranked(n, rng, (area(of), area(of - loss)), (0.0, 0.0))
    return passes("AUROC", pair)


def goal_passes(n: int, gain: float, rng: np.random.Generator) -> bool:
    pair = ranked(n, rng, (area(0.85), area(0.85 + gain)), (0.0, 0.0))
    return auroc_goal("t", areas_of(*pair), pair[0], MARGINS)[0].outcome == PASSED


def sensitivity_passes(n: int, loss: float, rng: np.random.Generator) -> bool:
    cuts = tuple(1.5 - NORMAL.inv_cdf(SENSITIVITY - lost) for lost in (0.0, loss))
    return passes("sensitivity", ranked(n, rng, (1.5, 1.5), cuts))  # type: ignore[arg-type]


def flag_rate_passes(n: int, rise: float, rng: np.random.Generator) -> bool:
    """Without a difference between films with and without the finding, rates are exact."""
    cuts = tuple(NORMAL.inv_cdf(1.0 - rate) for rate in (0.3, 0.3 + rise))
    return passes("flag rate", ranked(n, rng, (0.0, 0.0), cuts))  # type: ignore[arg-type]


def brier_passes(n: int, loss: float, rng: np.random.Generator) -> bool:
    """The champion says the truth; the challenger misses it by the root of the loss, both ways."""
    patients = patients_of(4 * n, rng)
    truth = 0.1 + 0.8 * rng.beta(1.0, 4.0, 4 * n)
    labels = (rng.random(4 * n) < truth)[patients].astype(float)
    other = truth + math.sqrt(loss) * rng.choice([-1.0, 1.0], 4 * n)
    pair = (
        contestant(patients, labels, truth[patients]),
        contestant(patients, labels, other[patients]),
    )
    return brier("t", *pair, MARGINS, goal=False)[0].outcome == PASSED


def rare_brier_passes(n: int, loss: float, rng: np.random.Generator, *, side: float) -> bool:
    """One patient in 20 has the finding; the challenger says too little (-1) or too much (1)."""
    shape, rest = 0.3, 0.3 * (1.0 - RARE) / RARE
    mean_square = shape * (shape + 1.0) / ((shape + rest) * (shape + rest + 1.0))
    patients = patients_of(round(n / RARE), rng)
    truth = rng.beta(shape, rest, round(n / RARE))
    labels = (rng.random(len(truth)) < truth)[patients].astype(float)
    other = truth * (1.0 + side * math.sqrt(loss / mean_square))
    pair = (
        contestant(patients, labels, truth[patients]),
        contestant(patients, labels, other[patients]),
    )
    return brier("t", *pair, MARGINS, goal=False)[0].outcome == PASSED


def passes(measure: str, pair: tuple[Contestant, Contestant]) -> bool:
    made = by_finding("t", areas_of(*pair), *pair, MARGINS)
    return next(c for c in made if c.measure == measure).outcome == PASSED


def promised_passes(n: int, loss: float, rng: np.random.Generator, *, margin: float) -> bool:
    lost, gained = (0.1 + loss) / 2, (0.1 - loss) / 2
    kind = rng.choice(3, size=n, p=[gained, lost, 1.0 - gained - lost])
    return paired_share_difference(kind != 0, kind != 1, np.arange(n)).low > -margin


Run = Callable[[int, float, np.random.Generator], bool]


def row(name: str, n: int, run: Run, losses: tuple[float, float], runs: int, seed: int) -> None:
    shares = []
    for loss in losses:
        rng = np.random.default_rng(seed)
        share = wilson(sum(run(n, loss, rng) for _ in range(runs)), runs)
        shares.append(f"{share.estimate:.1%} ({share.low:.1%} to {share.high:.1%})")
    print(f"| {name} | {n} | {' | '.join(shares)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="rows whose name begins so")
    given = parser.parse_args()
    rows: list[tuple[str, Run, tuple[float, float]]] = [
        ("AUROC 0.85, margin 0.05", lambda n, d, r: auroc_passes(n, d, r, of=0.85), (0.05, 0.0)),
        ("AUROC 0.95, margin 0.05", lambda n, d, r: auroc_passes(n, d, r, of=0.95), (0.05, 0.0)),
        ("sensitivity 0.90, margin 0.1", sensitivity_passes, (0.1, 0.0)),
        ("flag rate 0.30, margin 0.05", flag_rate_passes, (0.05, 0.0)),
        ("Brier score, margin 0.01", brier_passes, (0.01, 0.0)),
        (
            "Brier score, 5 % have it, too low",
            lambda n, d, r: rare_brier_passes(n, d, r, side=-1.0),
            (0.01, 0.0),
        ),
        (
            "Brier score, 5 % have it, too high",
            lambda n, d, r: rare_brier_passes(n, d, r, side=1.0),
            (0.01, 0.0),
        ),
        ("goal AUROC: equal, and 0.05 better", goal_passes, (0.0, 0.05)),
    ]
    print("| check | patients with the finding | at the margin | equal |")
    print("|---|---|---|---|")
    for name, run, losses in rows:
        for n in (50, 150) if name.startswith(given.only) else ():
            row(name, n, run, losses, given.runs, given.seed)
    for margin in (0.05, 0.1):
        n = for_non_inferiority(margin)
        run = lambda n, d, r, m=margin: promised_passes(n, d, r, margin=m)  # noqa: E731
        name = f"sensitivity, margin {margin}, as a plan promises"
        if name.startswith(given.only):
            row(name, n, run, (margin, 0.0), given.runs, given.seed)


if __name__ == "__main__":
    main()
