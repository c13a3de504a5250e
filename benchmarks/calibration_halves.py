"""Calibration on published predictions: fitted on half of the patients, applied to the others.

Many random halves, because one half alone says little: two halves differ in the share of positives,
and no calibration can know that.

    python benchmarks/calibration_halves.py --halves 16
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr.data.sets.chestxray14 import read_labels
from monai_cxr.evaluation.calibration.calibrator import fit_calibrator
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet, load_predictions
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.evaluation.statistics.logits import sigmoid, to_logits
from monai_cxr.evaluation.statistics.reliability import (
    calibration_error_floor,
    expected_calibration_error,
)

Floats = NDArray[np.float64]


def mean_ece(data: PredictionSet) -> float:
    """Mean adaptive ECE over findings."""
    columns = range(len(data.findings))
    p, y = data.probabilities, data.labels
    return float(np.mean([expected_calibration_error(p[:, i], y[:, i]) for i in columns]))


def mean_auroc(data: PredictionSet) -> float:
    """Mean AUROC over findings."""
    columns = range(len(data.findings))
    return float(np.mean([auroc(data.probabilities[:, i], data.labels[:, i]) for i in columns]))


def mean_floor(data: PredictionSet) -> float:
    """Mean ECE that perfect calibration would show on so few films, were they independent."""
    columns = range(len(data.findings))
    p, y = data.probabilities, data.labels
    return float(np.mean([calibration_error_floor(p[:, i], y[:, i]) for i in columns]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--halves", type=int, default=16)
    parser.add_argument("--method", default=None, help="force one method for all findings")
    arguments = parser.parse_args()
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MONAI_CXR_DATA", default)) / "predictions"
    data = load_predictions(folder / "densenet121_published.csv", labels=read_labels())
    share = np.nanmean(data.labels, axis=0)
    logits = to_logits(data.probabilities) + np.log((1 - share) / share)
    weighted = dataclasses.replace(data, logits=logits, probabilities=sigmoid(logits))
    names = np.unique(data.patient_ids)
    for title, source in (("as published", data), ("logits of a weighted loss", weighted)):
        after, moved, before, floor = [], [], [], []
        for seed in range(arguments.halves):
            half = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
            fitting = np.isin(data.patient_ids, half)
            test = source.where(~fitting)
            calibrated = fit_calibrator(source.where(fitting), method=arguments.method).apply_to(
                test
            )
            after.append(mean_ece(calibrated))
            moved.append(mean_auroc(calibrated) - mean_auroc(test))
            before.append(mean_ece(test))
            floor.append(mean_floor(calibrated))
        print(
            f"{title}: ECE {np.mean(before):.4f} before, {np.mean(after):.4f} after "
            f"({np.min(after):.4f} to {np.max(after):.4f}, standard deviation "
            f"{np.std(after):.4f}; at most 0.008 in {np.mean(np.array(after) <= 0.008):.0%}), "
            f"floor {np.mean(floor):.4f}; macro AUROC moves by {np.abs(moved).max():.5f} at most",
            flush=True,
        )


if __name__ == "__main__":
    main()
