"""Scope model: train the pixel check of the scope, and measure its error rates.

Usage: python benchmarks/scope_model.py [--data DIR] [--write]

Positives are the frontal films of ChestX-ray14 and Hannover, with small shifts, zooms and turns;
negatives are the same films turned, inverted and cut to a part, the other radiographs and
modalities, and pictures that are no radiographs. Rates are cross-validated: no patient, and no
other body part, is in the training set of the model that judges it. `--write` stores the model.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize

from monai_cxr.errors import InputError
from monai_cxr.phantom.film import render_film
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.picture.chest_likeness import SIDE, LikenessModel, model_from_json, thumbnail
from monai_cxr.reading.files import read_radiograph

N_COMPONENTS = 20
N_FOLDS = 5
PENALTY = 3e-4
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """One picture: where it comes from, who must not be split, and its pixels at 192 px."""

    source: str
    group: str
    pixels: NDArray[np.float32]


def load(data: Path) -> list[Picture]:
    """Read every film and every other picture there is."""
    pictures = [
        Picture("nih", path.name.split("_")[0], small(path))
        for path in sorted((data / "chestxray14/images").glob("*.png"))
    ]
    with (data / "hannover/metadata.csv").open(newline="") as stream:
        patients = {row["image_id"]: row["patient_id"] for row in csv.DictReader(stream)}
    pictures += [
        Picture("hannover", patients.get(path.stem, path.stem), small(path))
        for path in sorted((data / "hannover/images").glob("*.png"))
    ]
    with (data / "dicom/inventory.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                pixels = small(data / "dicom" / row["file"])
            except InputError:
                continue
            kind = "chest_dicom" if row["is_chest"] == "y" else "other_dicom"
            pictures.append(Picture(kind, row["file"][:8] + row["modality"], pixels))
    return [*pictures, *natural_pictures(), *phantom_films(), *children(data)]


def phantom_films() -> list[Picture]:
    """Films of the digital phantom: never trained on."""
    settings = PhantomSettings(size=256)
    films = [render_film(settings, patient=patient).pixels for patient in range(40)]
    return [Picture("phantom", f"phantom{i}", shrink(film)) for i, film in enumerate(films)]


def children(data: Path) -> list[Picture]:
    """Children's films of 28 x 28 pixels (PneumoniaMNIST): never trained on."""
    with np.load(data / "pneumoniamnist/pneumoniamnist_train_val.npz") as arrays:
        films = arrays["val_images"][:300].astype(np.float32) / 255.0
    return [Picture("child_28px", f"child{i}", shrink(film)) for i, film in enumerate(films)]


def natural_pictures() -> list[Picture]:
    """Photographs and textures that scikit-image brings along, cut into pieces."""
    from skimage import data as samples

    names = "camera coins moon page text brick grass gravel clock cell astronaut coffee rocket"
    pictures = []
    for name in names.split():
        picture = np.asarray(getattr(samples, name)(), dtype=np.float32)
        gray = (picture[..., 1] if picture.ndim == 3 else picture) / 255.0
        half = min(gray.shape) // 2
        for piece in (gray, gray[:half, :half], gray[-half:, -half:], gray[:half, -half:]):
            pictures.append(Picture("natural", name, shrink(piece)))
    return pictures


def small(path: Path) -> NDArray[np.float32]:
    return shrink(read_radiograph(path).pixels)


def shrink(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    return np.asarray(image.resize((192, 192), Image.Resampling.BOX), dtype=np.float32)


def jitter(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A slightly shifted, zoomed, stretched and turned copy; outside is black."""
    zoom_x, zoom_y = np.exp(rng.uniform(-0.16, 0.16, 2))
    angle = np.radians(rng.uniform(-7, 7))
    shift = rng.uniform(-12, 12, 2)
    c, s = np.cos(angle), np.sin(angle)
    a, b, d, e = zoom_x * c, -zoom_x * s, zoom_y * s, zoom_y * c
    half = 96.0
    x, y = shift + half - half * np.array([a + b, d + e])
    matrix = (a, b, x, d, e, y)
    moved = Image.fromarray(pixels).transform(
        (192, 192), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(moved, dtype=np.float32)


def part(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A corner or an edge of the film, 35 to 55 % of its sides: a shoulder, an abdomen, a lung."""
    height, width = (int(v) for v in rng.uniform(0.35, 0.55, 2) * 192)
    top = int(rng.integers(0, 192 - height))
    left = int(rng.choice([0, 192 - width]))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def turned(film: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    return {
        "upside_down": film[::-1, ::-1],
        "rotated": np.rot90(film),
        "rotated_other": np.rot90(film, 3),
        "inverted": 1.0 - film,
        "inverted_upside_down": 1.0 - film[::-1, ::-1],
        "mirrored_upside_down": film[::-1],
    }


def samples_of(
    picture: Picture, rng: np.random.Generator
) -> list[tuple[NDArray[np.float32], float, float]]:
    """(pixels, label, weight) that one picture gives to training."""
    film = picture.pixels
    if picture.source in ("nih", "hannover"):
        weight = 10.0 if picture.source == "hannover" else 1.0
        result = [(copy, 1.0, weight) for copy in (film, jitter(film, rng), jitter(film, rng))]
        wrong = list(turned(film).values())
        for index in rng.choice(len(wrong), 2, replace=False):
            result.append((np.ascontiguousarray(wrong[index]), 0.0, 0.5))
        return [*result, (part(film, rng), 0.0, 0.7)]
    if picture.source not in ("other_dicom", "natural"):
        return []  # only judged
    weight = 15.0 if picture.source == "other_dicom" else 8.0
    copies = [film, film[::-1], film[:, ::-1], np.rot90(film), 1.0 - film]
    return [(np.ascontiguousarray(copy), 0.0, weight) for copy in copies]


def train(pictures: list[Picture], seed: int = 0) -> LikenessModel:
    """Principal components of the positives, then a penalised logistic regression."""
    rng = np.random.default_rng(seed)
    rows = [sample for picture in pictures for sample in samples_of(picture, rng)]
    thumbnails = np.stack([thumbnail(pixels) for pixels, _, _ in rows])
    labels = np.array([label for _, label, _ in rows])
    weights = np.array([weight for _, _, weight in rows])
    positives = thumbnails[labels == 1]
    root = np.sqrt(weights[labels == 1] / weights[labels == 1].mean())[:, None]
    mean = positives.mean(axis=0)
    _, _, components = np.linalg.svd((positives - mean) * root, full_matrices=False)
    zero = np.zeros(2 * N_COMPONENTS + 1)
    bare = LikenessModel(mean, components[:N_COMPONENTS], zero, 0.0, 0.0, 0.0, 0.0)
    features = bare.features(thumbnails)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    solution = fit_logistic((features - centre) / scale, labels, weights)
    coefficients = solution[1:] / scale
    bias = float(solution[0] - coefficients @ centre)
    return LikenessModel(mean, bare.basis, coefficients, bias, 0.0, 0.0, 0.0)


def fit_logistic(features: Array, labels: Array, weights: Array) -> Array:
    """Intercept and coefficients; L2 penalty on the coefficients."""
    design = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    weights = weights / weights.sum()
    signs = 2.0 * labels - 1.0

    def loss(beta: Array) -> tuple[float, Array]:
        margin = signs * (design @ beta)
        value = weights @ np.logaddexp(0.0, -margin) + PENALTY * beta[1:] @ beta[1:]
        slope = -(weights * signs / (1.0 + np.exp(np.clip(margin, -500, 500)))) @ design
        slope[1:] += 2.0 * PENALTY * beta[1:]
        return float(value), slope

    start = np.zeros(design.shape[1])
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


def cross_validate(pictures: list[Picture]) -> dict[str, dict[str, Array]]:
    """Log-odds of each pose by source and pose shown, from models that never saw the group."""
    groups = sorted({picture.group for picture in pictures})
    order = np.random.default_rng(1).permutation(len(groups))
    fold = {groups[i]: int(k % N_FOLDS) for k, i in enumerate(order)}
    rows: dict[str, dict[str, list[Array]]] = {}
    for k in range(N_FOLDS):
        judge = train([p for p in pictures if fold[p.group] != k])
        for picture in pictures:
            if fold[picture.group] != k:
                continue
            shown = {"upright": picture.pixels, **turned(picture.pixels)}
            for pose, pixels in shown.items():
                if pose != "upright" and picture.source not in ("nih", "hannover"):
                    continue
                film = thumbnail(np.ascontiguousarray(pixels)).reshape(SIDE, SIDE)
                poses = np.stack([film, film[::-1, ::-1], np.rot90(film), np.rot90(film, 3), -film])
                values = judge.log_odds(poses.reshape(5, -1))
                rows.setdefault(picture.source, {}).setdefault(pose, []).append(values)
    return {s: {p: np.stack(v) for p, v in poses.items()} for s, poses in rows.items()}


def report(rates: dict[str, dict[str, Array]], thresholds: tuple[float, float, float]) -> None:
    """Print a table: how each kind of picture is judged."""
    refuse, doubt, margin = thresholds
    print("| source | shown as | n | accepted, no flag | pose flag | doubt flag | refused |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for source, poses in rates.items():
        for pose, values in poses.items():
            upright, other = values[:, 0], values[:, 1:].max(axis=1)
            posed = (upright < doubt) & (other > upright + margin) & (other > doubt)
            refused = ~posed & (upright < refuse)
            doubted = ~posed & ~refused & (upright < doubt)
            shares = [np.mean(x) for x in (~posed & ~refused & ~doubted, posed, doubted, refused)]
            cells = " | ".join(f"{share:.2%}" for share in shares)
            print(f"| {source} | {pose} | {len(values)} | {cells} |")


def write(model: LikenessModel, thresholds: tuple[float, float, float], path: Path, n: int) -> None:
    """Store a model as JSON with 8-bit components."""
    scales = np.abs(model.basis).max(axis=1) / 127.0
    mean_scale = float(np.abs(model.mean).max() / 127.0)

    def pack(values: Array) -> str:
        return base64.b64encode(np.rint(values).astype(np.int8).tobytes()).decode()

    refuse, doubt, margin = thresholds
    values = {
        "provenance": f"benchmarks/scope_model.py on {n} pictures: ChestX-ray14 (NIH Clinical "
        "Center), COVID-19 Image Repository (Hannover, CC BY 3.0), public sample DICOM files, "
        "scikit-image's sample pictures",
        "mean_scale": mean_scale,
        "mean": pack(model.mean / mean_scale),
        "scales": [float(f"{s:.6g}") for s in scales],
        "basis": pack(model.basis / scales[:, None]),
        "weights": [float(f"{w:.6g}") for w in model.weights],
        "bias": float(f"{model.bias:.6g}"),
        "refuse_below": refuse,
        "doubt_below": doubt,
        "pose_margin": margin,
    }
    model_from_json(values)
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("MONAI_CXR_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--write", action="store_true", help="store the model in the package")
    parser.add_argument("--thresholds", type=float, nargs=3, default=(-5.0, 1.0, 2.0))
    arguments = parser.parse_args()
    pictures = load(arguments.data)
    thresholds = tuple(arguments.thresholds)
    rates = cross_validate(pictures)
    report(rates, thresholds)
    for source, poses in rates.items():
        quantiles = np.quantile(poses["upright"][:, 0], [0, 0.001, 0.005, 0.01, 0.05, 0.5, 0.9, 1])
        print(source, "log-odds upright, quantiles 0 .1 .5 1 5 50 90 100 %:", quantiles.round(2))
    if arguments.write:
        here = Path(__file__).parent.parent / "monai_cxr/picture/chest_likeness.json"
        write(train(pictures), thresholds, here, len(pictures))


if __name__ == "__main__":
    main()
