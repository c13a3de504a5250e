"""Estimated performance: how near estimates without labels come, and how often intervals cover.

On 10,012 published predictions with NIH's labels. Half of the patients calibrate (Platt) and choose
the thresholds; on the other half AUROC, sensitivity and PPV are estimated without labels and held
against the truth. As given, and with two thirds of the negative films of that half removed.

    python benchmarks/estimated_performance.py --halves 10
"""

from __future__ import annotations

import argparse
import math
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr.data.sets.chestxray14 import read_labels
from monai_cxr.evaluation.calibration.calibrator import fit_calibrator
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.monitoring.estimated import EstimatedPerformance, estimate
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]


def truth_of(p: Floats, y: Floats, threshold: float) -> dict[str, float]:
    flagged = p >= threshold
    hits = float(y[flagged].sum())
    return {
        "AUROC": auroc(p, y),
        "sensitivity": hits / float(y.sum()),
        "PPV": hits / float(flagged.sum()) if flagged.any() else math.nan,
        "prevalence": float(y.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--halves", type=int, default=10)
    arguments = parser.parse_args()
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MONAI_CXR_DATA", default)) / "predictions"
    data = load_predictions(folder / "densenet121_published.csv", labels=read_labels())
    names = np.unique(data.patient_ids)
    print(
        "| films | measure | given | bias | mean absolute error | covered | withheld | its bias |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for title, kept in (("as given", 1.0), ("two thirds of the negatives removed", 1 / 3)):
        given: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        withheld: dict[str, list[float]] = defaultdict(list)
        for seed in range(arguments.halves):
            rng = np.random.default_rng(seed)
            half = rng.permutation(names)[: len(names) // 2]
            fitting = np.isin(data.patient_ids, half)
            calibrator = fit_calibrator(data.where(fitting), method="platt")
            learnt, test = (calibrator.apply_to(data.where(w)) for w in (fitting, ~fitting))
            for i, finding in enumerate(test.findings):
                before, p, y = learnt.labels[:, i], test.probabilities[:, i], test.labels[:, i]
                positives = np.sort(learnt.probabilities[before == 1.0, i])
                threshold = float(positives[int(0.2 * len(positives))])  # sensitivity 0.80
                keep = (y == 1.0) | ((y == 0.0) & (rng.random(len(y)) < kept))
                options = {"threshold": threshold, "patients": test.patient_ids[keep], "seed": seed}
                found = estimate(
                    finding,
                    p[keep],
                    reference_prevalence=float(np.nanmean(before)),
                    reference_probabilities=learnt.probabilities[:, i],
                    **options,
                )
                unchecked = shown(estimate(finding, p[keep], **options))
                truth = truth_of(p[keep], y[keep], threshold)
                for measure, interval in shown(found).items():
                    if math.isnan(interval.estimate):
                        withheld[measure].append(unchecked[measure].estimate - truth[measure])
                        continue
                    covers = interval.low <= truth[measure] <= interval.high
                    given[measure].append((interval.estimate - truth[measure], covers))
        for measure, pairs in given.items():
            error = np.array([one for one, _ in pairs])
            covered = float(np.mean([covers for _, covers in pairs]))
            silent = withheld[measure]
            bias = f"{np.mean(silent):+.3f}" if silent else "-"
            print(
                f"| {title} | {measure} | {len(pairs)} | {error.mean():+.3f} | "
                f"{np.abs(error).mean():.3f} | {covered:.0%} | {len(silent)} | {bias} |",
                flush=True,
            )


def shown(found: EstimatedPerformance) -> dict[str, Interval]:
    return {
        "AUROC": found.auroc,
        "sensitivity": found.sensitivity,
        "PPV": found.ppv,
        "prevalence": found.prevalence,
    }


if __name__ == "__main__":
    main()
