"""Gate level: how often the gate passes an inferior, and an equal, challenger.

Champion and challenger score the same patients again and again with a known truth. At the margin
the challenger loses exactly what the plan calls no loss any more; a gate that holds its level
passes it in at most 2.5 % of runs. An equal challenger shows the power. Patients have one to three
films. Each measure is asked alone, with the other margins out of the way.

    python benchmarks/gate_level.py --runs 1000
"""

from __future__ import annotations

import argparse
import math
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.lifecycle.gate import judge
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.lifecycle.measures import Contestant
from monai_cxr.lifecycle.verdict import PASSED
from monai_cxr.tables import FACT_COLUMNS

Floats = NDArray[np.float64]

FINDING = "Effusion"
AUROC, AUROC_MARGIN = 0.85, 0.05
SENSITIVITY, SENSITIVITY_MARGIN = 0.90, 0.10
SHARED = 0.8
"""Correlation of the two models' scores of one film."""
NORMAL = NormalDist()


def patients_of(n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.repeat(np.arange(n), rng.integers(1, 4, n))


def scores(patients: NDArray[np.intp], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Noise of two models, standard normal, shared in part by patient and by film."""
    own = rng.standard_normal(patients.max() + 1)[patients]
    film = rng.standard_normal(len(patients))
    common = math.sqrt(0.5) * own + math.sqrt(0.5) * film
    return tuple(  # type: ignore[return-value]
        math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * rng.standard_normal(len(patients))
        for _ in range(2)
    )


def predictions(patients: NDArray[np.intp], labels: Floats, score: Floats) -> PredictionSet:
    return PredictionSet(
        image_ids=np.array([f"film {i}" for i in range(len(labels))]),
        patient_ids=np.array([f"patient {p}" for p in patients]),
        findings=(FINDING,),
        logits=None,
        probabilities=(1.0 / (1.0 + np.exp(-score)))[:, None],
        labels=labels[:, None],
        facts=pd.DataFrame({name: [""] * len(labels) for name in FACT_COLUMNS}),
    )


def passes(measure: str, n_positive: int, loss: float, rng: np.random.Generator) -> bool:
    """One run: whether the check of a measure passes where the challenger truly loses so much."""
    patients = patients_of(4 * n_positive, rng)
    labels = (patients < n_positive).astype(float)
    first, second = scores(patients, rng)
    if measure == "AUROC":
        shift = [math.sqrt(2.0) * NORMAL.inv_cdf(AUROC - lost) for lost in (0.0, loss)]
        threshold = [0.0, 0.0]
    else:
        shift = [1.5, 1.5]
        threshold = [1.5 - NORMAL.inv_cdf(SENSITIVITY - lost) for lost in (0.0, loss)]
    pair = [
        Contestant(
            predictions(patients, labels, noise + move * labels),
            {FINDING: 1.0 / (1.0 + math.exp(-cut))},
        )
        for noise, move, cut in zip((first, second), shift, threshold, strict=True)
    ]
    margins = Margins(
        goal="none",
        auroc=AUROC_MARGIN,
        sensitivity=SENSITIVITY_MARGIN,
        n_positive=20,
        subgroups=(),
        n_bootstrap=400,
    )
    verdict = judge({"locked": (pair[0], pair[1])}, margins, seed=int(rng.integers(2**31)))
    return all(c.outcome == PASSED for c in verdict.checks if c.measure == measure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print("| measure | patients with the finding | at the margin | equal |")
    print("|---|---|---|---|")
    for measure, margin in (("AUROC", AUROC_MARGIN), ("sensitivity", SENSITIVITY_MARGIN)):
        for n_positive in (50, 150):
            shares = []
            for loss in (margin, 0.0):
                hits = sum(passes(measure, n_positive, loss, rng) for _ in range(arguments.runs))
                share = wilson(hits, arguments.runs)
                shares.append(f"{share.estimate:.1%} ({share.low:.1%} to {share.high:.1%})")
            print(
                f"| {measure}, margin {margin} | {n_positive} | {' | '.join(shares)} |", flush=True
            )


if __name__ == "__main__":
    main()
