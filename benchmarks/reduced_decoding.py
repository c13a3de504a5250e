"""Reduced decoding: what JPEG 2000 at lower resolution saves, and how far it moves a model.

Usage: python benchmarks/reduced_decoding.py BUNDLE [--data DIR] [--films 64]

NIH's 1,024-px films are brought to 2,500 x 2,000 with 12 bits and noise, and compressed losslessly.
Each is read exactly and with decoding="reduced" by the bundle; printed are CPU ms to read, the
change of the network's input (range [0, 1]) and of the probabilities, and how many decisions at the
bundle's operating points differ. Pinned to one core.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from monai_cxr.bundle.bench_films import SYNTAXES, encode
from monai_cxr.bundle.film_input import read_in_scope
from monai_cxr.bundle.model import BundleModel
from monai_cxr.files import read_radiograph
from monai_cxr.preprocessing import prepare

ROWS, COLUMNS = 2500, 2000


def make_films(data: Path, folder: Path, n_films: int) -> list[Path]:
    rng = np.random.default_rng(0)
    films = []
    for path in sorted((data / "chestxray14_original/images").glob("*.png"))[:n_films]:
        film = Image.fromarray(read_radiograph(path).pixels).resize((COLUMNS, ROWS))
        noisy = np.asarray(film) * 3500 + rng.normal(0, 6, (ROWS, COLUMNS))
        films.append(folder / f"{path.stem}.dcm")
        stored = np.clip(noisy, 0, 4095).astype(np.uint16)
        films[-1].write_bytes(encode(stored, SYNTAXES["DICOM JPEG 2000"]))
    return films


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("MONAI_CXR_DATA", "../shared/data")
    parser.add_argument("bundle")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--films", type=int, default=64)
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
    steps, inputs, chances = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for path in make_films(arguments.data, Path(folder), arguments.films):
            seen = []
            for kind, min_side in (("exact", None), ("reduced", model.specs[0].min_side)):
                start = time.process_time()
                film = read_in_scope(path, model.scope, min_side=min_side)
                seen.append(prepare(film, model.image_size, resize=model.resize))
                times[kind].append(1000 * (time.process_time() - start))
            steps.append(film.step)
            inputs.append(np.abs(seen[1] - seen[0]))
            batch = np.stack([model.prepare(one) for one in seen])
            chances.append(model.probabilities(model.logits(batch)))
    p = np.array(chances)
    change = np.abs(p[:, 1] - p[:, 0])
    differs = (p[:, 1] >= thresholds) != (p[:, 0] >= thresholds)
    print(f"{model}\n{len(p)} films of {ROWS} x {COLUMNS}, decoded at 1/{sorted(set(steps))}")
    exact, reduced = (float(np.median(times[kind])) for kind in ("exact", "reduced"))
    print(f"CPU ms to read: {exact:.0f} exactly, {reduced:.0f} reduced ({exact / reduced:.1f}x)")
    print(f"input: max {np.max(inputs):.3f}, mean {np.mean(inputs):.5f}")
    print(f"probability: max {change.max():.4f}, mean {change.mean():.5f}")
    print(f"decisions that differ: {differs.sum()} of {differs.size}")


if __name__ == "__main__":
    main()
