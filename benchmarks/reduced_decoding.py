"""Reduced decoding: what JPEG 2000 at lower resolution saves, and how far it moves a model.

Usage: python benchmarks/reduced_decoding.py BUNDLE [--data DIR] [--films 64]
           [--index INDEX --split val]

NIH's 1,024-px films, or the labelled films of an index, are brought to 2,500 x 2,000 with 12 bits
and noise, and compressed losslessly. Each is read exactly and with decoding="reduced" by the
bundle; printed are CPU ms to read, the change of the network's input (range [0, 1]) and of the
probabilities, how many decisions at the bundle's operating points differ, and of labelled films the
macro AUROC both ways with the 95 % patient bootstrap interval of the difference. Pinned to one
core.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from students import macro, replicates

from monai_cxr.bundle.bench.films import SYNTAXES, encode
from monai_cxr.bundle.model import BundleModel
from monai_cxr.preprocessing import prepare
from monai_cxr.reading.files import read_radiograph
from monai_cxr.reading.film_input import read_in_scope
from monai_cxr.tables import read_table

ROWS, COLUMNS = 2500, 2000


def make_films(sources: Sequence[Path], folder: Path) -> Iterator[Path]:
    rng = np.random.default_rng(0)
    for path in sources:
        film = Image.fromarray(read_radiograph(path).pixels).resize((COLUMNS, ROWS))
        noisy = np.asarray(film) * 3500 + rng.normal(0, 6, (ROWS, COLUMNS))
        stored = np.clip(noisy, 0, 4095).astype(np.uint16)
        target = folder / "film.dcm"
        target.write_bytes(encode(stored, SYNTAXES["DICOM JPEG 2000"]))
        yield target


def print_auroc(logits: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> None:
    """Macro AUROC of exact and of reduced films, logits of shape (N, 2, F)."""

    def both(rows: np.ndarray) -> list[float]:
        return [macro(logits[rows, i], labels[rows]) for i in (0, 1)]

    exact, reduced = both(np.arange(len(labels)))
    drawn = np.array([both(rows) for rows in replicates(patients)])
    low, high = np.percentile(drawn[:, 1] - drawn[:, 0], (2.5, 97.5))
    print(f"macro AUROC: {exact:.4f} exactly, {reduced:.4f} reduced", end=", ")
    print(f"{reduced - exact:+.4f} ({low:+.4f} to {high:+.4f})", end=", ")
    print(f"{len(labels)} films of {len(set(patients))} patients")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("MONAI_CXR_DATA", "../shared/data")
    parser.add_argument("bundle")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--films", type=int, default=64)
    parser.add_argument("--index", type=Path, help="labelled films to take in place of NIH's")
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    model = BundleModel.load(arguments.bundle, device="cpu", decoding="reduced")
    thresholds = np.array(
        [
            model.operating_points[name].threshold if name in model.operating_points else np.nan
            for name in model.findings
        ]
    )
    times: dict[str, list[float]] = {"exact": [], "reduced": []}
    sources = sorted((arguments.data / "chestxray14_original/images").glob("*.png"))
    sources = sources[: arguments.films]
    if arguments.index is not None:
        index = read_table(arguments.index)
        index = index[index["split"] == arguments.split]
        sources = [Path(path) for path in index["path"]]
    steps, inputs, scores = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for path in make_films(sources, Path(folder)):
            seen = []
            for kind, min_side in (("exact", None), ("reduced", model.specs[0].min_side)):
                start = time.process_time()
                film = read_in_scope(path, model.scope, min_side=min_side)
                seen.append(prepare(film, model.image_size, resize=model.resize))
                times[kind].append(1000 * (time.process_time() - start))
            steps.append(film.step)
            inputs.append(np.abs(seen[1] - seen[0]))
            batch = np.stack([model.prepare(one) for one in seen])
            scores.append(model.logits(batch))
    logits = np.array(scores)
    p = np.stack([model.probabilities(one) for one in logits])
    change = np.abs(p[:, 1] - p[:, 0])
    differs = (p[:, 1] >= thresholds) != (p[:, 0] >= thresholds)
    print(f"{model}\n{len(p)} films of {ROWS} x {COLUMNS}, decoded at 1/{sorted(set(steps))}")
    exact, reduced = (float(np.median(times[kind])) for kind in ("exact", "reduced"))
    print(f"CPU ms to read: {exact:.0f} exactly, {reduced:.0f} reduced ({exact / reduced:.1f}x)")
    print(f"input: max {np.max(inputs):.3f}, mean {np.mean(inputs):.5f}")
    print(f"probability: max {change.max():.4f}, mean {change.mean():.5f}")
    print(f"decisions that differ: {differs.sum()} of {differs.size}")
    if arguments.index is not None:
        labels = index[list(model.findings)].to_numpy(dtype=np.float64)
        print_auroc(logits, labels, index["patient_id"].to_numpy())


if __name__ == "__main__":
    main()
