"""Statistics at full scale: all metrics and the report of 112,120 films, 2,000 replicates.

The second number is the loop that a user would write with scikit-learn: draw patients, index the
rows, call the metric finding by finding. A few rounds of it are timed and multiplied.

    python benchmarks/statistics_scale.py
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from monai_cxr.evaluation.calibration.calibrator import fit_calibrator
from monai_cxr.evaluation.decisions.operating_points import choose_operating_points
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet, load_predictions
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.report.files import write_report

# Share of films with each finding in ChestX-ray14, in NIH's order.
PREVALENCE = (
    np.array([103, 25, 119, 177, 52, 56, 13, 47, 42, 21, 22, 15, 30, 2], dtype=np.float64) / 1000.0
)


def films(n_films: int, n_patients: int) -> PredictionSet:
    """Made-up predictions of the size and shape of ChestX-ray14."""
    rng = np.random.default_rng(0)
    patients = np.sort(rng.integers(0, n_patients, n_films))
    table = {
        "sop_uid": [f"{i:08d}" for i in range(n_films)],
        "patient_id": patients.astype(str),
        "age": rng.integers(5, 95, n_patients)[patients],
        "sex": rng.choice(["M", "F"], n_patients)[patients],
        "view": rng.choice(["PA", "AP"], n_films, p=[0.6, 0.4]),
        "follow_up": np.arange(n_films) - np.searchsorted(patients, patients),
    }
    for name, share in zip(FINDING_NAMES, PREVALENCE, strict=True):
        label = (rng.random(n_films) < share).astype(np.float64)
        shared = rng.standard_normal(n_patients)[patients]
        table[f"label_{name}"] = label
        table[f"logit_{name}"] = np.float32(
            np.log(share) + 1.3 * label + 0.7 * shared + rng.standard_normal(n_films)
        )
    return load_predictions(pd.DataFrame(table))


def ours(predictions: PredictionSet, n_bootstrap: int) -> float:
    """Seconds for calibration, thresholds, all metrics with intervals, and every report file."""
    start = time.perf_counter()
    half = predictions.patient_ids.astype(np.int64) % 2 == 0
    fitting, testing = predictions.where(half), predictions
    calibrator = fit_calibrator(fitting)
    fitting = calibrator.apply_to(fitting)
    points = choose_operating_points(
        fitting.probabilities, fitting.labels, fitting.patient_ids, n_bootstrap=200
    )
    fitted = time.perf_counter() - start
    start, worked = time.perf_counter(), time.process_time()
    performance = evaluate(
        testing,
        n_bootstrap=n_bootstrap,
        calibrator=calibrator,
        allow_overlap=True,
        operating_points=points,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_report(performance, folder)
    seconds = time.perf_counter() - start
    print(f"calibrate and choose thresholds on half of the patients: {fitted:.1f} s")
    worked = time.process_time() - worked
    print(
        f"evaluate, {n_bootstrap} patient replicates, and write the report: {seconds:.1f} s "
        f"({worked:.1f} s of processor time)"
    )
    print(f"macro AUROC {performance.macro.auroc}, macro ECE {performance.macro.ece}")
    return seconds


def scikit_learn_loop(predictions: PredictionSet, rounds: int) -> tuple[float, float]:
    """Seconds a replicate with scikit-learn: AUROC alone, and with AP and Brier."""
    rng = np.random.default_rng(0)
    names, starts = np.unique(predictions.patient_ids, return_index=True)
    rows = np.split(np.argsort(predictions.patient_ids, kind="stable"), np.sort(starts)[1:])
    areas = everything = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(names), len(names))])
        y, p = predictions.labels[drawn], predictions.probabilities[drawn]
        for i in range(y.shape[1]):
            roc_auc_score(y[:, i], p[:, i])
        areas += time.perf_counter() - start
        for i in range(y.shape[1]):
            average_precision_score(y[:, i], p[:, i])
            brier_score_loss(y[:, i], p[:, i])
        everything += time.perf_counter() - start
    return areas / rounds, everything / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--films", type=int, default=112_120)
    parser.add_argument("--patients", type=int, default=30_805)
    parser.add_argument("--bootstrap", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3, help="of the scikit-learn loop")
    arguments = parser.parse_args()
    predictions = films(arguments.films, arguments.patients)
    print(f"{len(predictions)} films, {predictions.n_patients} patients, {os.cpu_count()} cores")
    seconds = ours(predictions, arguments.bootstrap)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"peak memory {peak:.2f} GiB")
    areas, everything = scikit_learn_loop(predictions, arguments.rounds)
    for name, each in (("AUROC", areas), ("AUROC, AP and Brier", everything)):
        total = each * arguments.bootstrap
        print(
            f"scikit-learn loop, {name}: {each * 1000:.0f} ms a replicate, {total:.0f} s in all, "
            f"{total / seconds:.0f} times ours (ours: all metrics, subgroups and report)"
        )


if __name__ == "__main__":
    main()
