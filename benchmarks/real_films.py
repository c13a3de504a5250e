"""Real films: baselines, initialisations, losses and weightings on a sample of ChestX-ray14.

Usage: python benchmarks/real_films.py --out DIR --pretrained WEIGHTS [--data DIR] [--size 64]
           [--epochs 6] [--batch 32] [--rate 0.001] [--seeds 3] [--minutes M] [--table]

Each run is made by the public verbs (index, split, baseline, train, predict) on the official
train_list and predicted on val_list. A run that has its predictions is not made again: a killed
session loses the run it was in. The runs that matter most come first, and none begins after
--minutes. --table makes none and prints what is there.

Nothing is chosen on the validation films: the network is validated after the last epoch alone, and
its weights are those of the last epoch. Printed, and kept as table.md and table.json in DIR, are
the macro AUROC with its 95 % patient bootstrap interval (with several seeds: of their mean, over
the same resampled patients), the range of the seeds, and the difference to a reference, paired by
patient, over the seeds that both have.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_cxr.evaluation.predictions.prediction_set import PredictionSet, load_predictions
from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import patient_codes, rarer_class
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.evaluation.statistics.intervals import Resampled, mean_of, patient_interval
from monai_cxr.evaluation.statistics.replicates import compile_ranking, replicate

BUNDLE = "chest_xray_classification"
PLAIN = ("weighting=none",)
START = "phantom-pretrained"
REFERENCE = f"{START}, plain BCE"
CHANGES = {
    "BCE, pos_weight_sqrt (the default)": ("weighting=pos_weight_sqrt",),
    "focal": ("weighting=none", "loss=focal"),
    "asymmetric": ("weighting=none", "loss=asymmetric"),
    "AUC margin": ("weighting=none", "loss=auc_margin"),
    "BCE, pos_weight": ("weighting=pos_weight",),
    "BCE, chexnet": ("weighting=chexnet",),
    "BCE, batch_balanced": ("weighting=batch_balanced",),
    "BCE, effective_number": ("weighting=effective_number",),
    "generalised cross-entropy": ("weighting=none", "loss=generalised_cross_entropy"),
    "symmetric cross-entropy": ("weighting=none", "loss=symmetric_cross_entropy"),
    "BCE, label_smoothing 0.1": ("weighting=none", "label_smoothing=0.1"),
    "BCE, forget_rate 0.1": ("weighting=none", "forget_rate=0.1", "forget_epochs=3"),
}
"""Each is compared with plain BCE from the same start and seed."""


@dataclass(frozen=True)
class Run:
    """One run: a row of the table (several seeds share it) and what makes it."""

    row: str
    seed: int
    settings: tuple[str, ...] = ()
    features: str = ""
    reference: str = ""

    @property
    def name(self) -> str:
        """Of its folder."""
        words = "".join(c if c.isalnum() or c in "._" else "-" for c in self.row)
        return f"{words}_seed{self.seed}"


def planned(pretrained: Path, seeds: int) -> list[Run]:
    """All runs, those that matter most first."""
    scratch = [Run("from scratch, plain BCE", seed, PLAIN) for seed in range(seeds)]
    start = f"initial_weights={pretrained}"
    trained = [
        Run(REFERENCE, seed, (*PLAIN, start), reference=scratch[0].row) for seed in range(seeds)
    ]
    changed = [
        Run(f"{START}, {name}", seed, (*settings, start), reference=REFERENCE)
        for seed in range(seeds)
        for name, settings in CHANGES.items()
    ]
    both = [run for pair in zip(scratch, trained, strict=True) for run in pair]
    baselines = [Run("HOG baseline", 0, features="hog"), Run("SIFT baseline", 0, features="sift")]
    n = len(CHANGES)
    return [*baselines, *both[:2], *changed[:3], *both[2:], *changed[3:n], *changed[n:]]


def verb(*arguments: str | Path) -> None:
    script = "from monai_cxr.cli import main; main()"
    subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=True)


def make(run: Run, out: Path, options: argparse.Namespace) -> None:
    """Train and predict; the predictions appear when all is done."""
    index, folder = out / "split.parquet", out / run.name
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.features:
        what = ("--features", run.features, "--split", "val", "--seed", str(run.seed))
        verb("baseline", index, "--out", folder, *what)
    else:
        settings = (
            f"image_size={options.size}", f"max_epochs={options.epochs}",
            f"val_interval={options.epochs}", f"batch_size={options.batch}",
            f"learning_rate={options.rate}", f"seed={run.seed}", f"cache_dir={out / 'cache'}",
        )  # fmt: skip
        verb("train", BUNDLE, "--index", index, "--out", folder, *settings, *run.settings)
        part = folder / "partial.parquet"
        verb("predict", folder, index, "--split", "val", "--runtime", "torch", "--out", part)
        part.replace(folder / "predictions.parquet")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (folder / "seconds.json").write_text(json.dumps({"processor_seconds": round(spent)}) + "\n")


def macro_area(data: PredictionSet, n_replicates: int) -> Resampled:
    """Macro AUROC of the films, and of each resampling of patients."""
    codes, n_patients = patient_codes(data.patient_ids)
    columns = [(data.probabilities[:, i], data.labels[:, i]) for i in range(len(data.findings))]
    areas = np.array([auroc(scores, labels) for scores, labels in columns])
    compiled = [compile_ranking(scores, labels, codes, n_patients) for scores, labels in columns]
    drawn = replicate(compiled, BootstrapPlan(n_patients, n_replicates, seed=0))
    return mean_of(
        [
            Resampled(float(area), values[0], rarer_class(codes, labels))
            for area, values, (_, labels) in zip(areas, drawn, columns, strict=True)
            if not np.isnan(area)
        ]
    )


def cell(area: Resampled, signed: bool = False) -> str:
    found = patient_interval(area)
    text = "+.3f" if signed else ".3f"
    return f"{found.estimate:{text}} ({found.low:{text}} to {found.high:{text}})"


def tabulate(runs: Sequence[Run], out: Path, n_replicates: int) -> str:
    """The table of what is finished; also written to the folder."""
    done: dict[str, dict[int, Resampled]] = {}
    facts: dict[str, Run] = {}
    images: set[tuple[int, int, str]] = set()
    for run in runs:
        path = out / run.name / "predictions.parquet"
        if path.is_file():
            data = load_predictions(path)
            images.add((len(data), data.n_patients, data.digest))
            done.setdefault(run.row, {})[run.seed] = macro_area(data, n_replicates)
            facts.setdefault(run.row, run)
    if not done:
        return "Nothing is finished."
    if len(images) != 1:
        raise SystemExit("The runs predicted different films: remove the folder and begin anew.")
    n, n_patients, _ = images.pop()
    lines = [
        f"{n} films of {n_patients} patients, {n_replicates} resamplings of patients.", "",
        "| model | seeds | macro AUROC (95 % interval) | range of the seeds | difference |",
        "|---|---|--:|--:|--:|",
    ]  # fmt: skip
    entries = []
    for row, by_seed in done.items():
        mean = mean_of(list(by_seed.values()))
        points = [area.estimate for area in by_seed.values()]
        spread = f"{min(points):.3f} to {max(points):.3f}" if len(points) > 1 else ""
        other = done.get(facts[row].reference, {})
        common = sorted(set(by_seed) & set(other))
        difference = ""
        if common:
            paired = mean_of([by_seed[seed].minus(other[seed]) for seed in common])
            difference = cell(paired, signed=True)
        seeds = ", ".join(map(str, by_seed))
        lines.append(f"| {row} | {seeds} | {cell(mean)} | {spread} | {difference} |")
        entries.append(
            {"model": row, "seeds": list(by_seed), "macro_auroc": points, "interval": cell(mean),
             "reference": facts[row].reference, "paired_seeds": common, "difference": difference,
             "settings": facts[row].settings}
        )  # fmt: skip
    text = "\n".join(lines)
    (out / "table.md").write_text(text + "\n")
    (out / "table.json").write_text(json.dumps(entries, indent=2) + "\n")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).resolve().parents[1]
    default = Path(os.environ.get("MONAI_CXR_DATA", root / ".." / "shared" / "data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pretrained", type=Path, required=True, help="RUN/models/model.pt")
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bootstrap", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true", help="Print what is there; make nothing.")
    options = parser.parse_args()
    out = options.out.resolve()
    runs = planned(options.pretrained.resolve(), options.seeds)
    end = time.monotonic() + 60 * options.minutes
    if not options.table:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / "split.parquet").is_file():
            films = options.data / "chestxray14"
            verb("index", "nih", films, "--out", out / "index.parquet")
            verb("split", out / "index.parquet", "--official", films, "--out", out / "new.parquet")
            (out / "new.parquet").replace(out / "split.parquet")
        for run in runs:
            if (out / run.name / "predictions.parquet").is_file():
                continue
            if time.monotonic() > end:
                break
            began = time.monotonic()
            make(run, out, options)
            print(f"{run.name}: {time.monotonic() - began:.0f} s", flush=True)
            tabulate(runs, out, options.bootstrap)
    print(tabulate(runs, out, options.bootstrap))


if __name__ == "__main__":
    main()
