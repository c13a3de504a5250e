"""Maps against where the finding was drawn: pointing game and IoU, by network and by method.

Usage: python benchmarks/maps.py INDEX NAME=BUNDLE:METHOD... [--films 60] [--out DIR] [--boxes nih |
    CSV --side 1024]

INDEX is of a phantom archive (``monai-cxr demo`` leaves one): the films of split test are rendered
again from their names, for the masks of what is on them. With ``--boxes`` the references are boxes,
in pixels of square films of ``--side``; ``nih`` is NIH's own list, which the torchxrayvision wheel
brings. METHOD is cam, grad_cam or occlusion. Printed are hits of the hottest pixel and mean IoU
over findings, with 95 % intervals over patients.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from monai_cxr.bundle.explaining.explanation import heat_overlay
from monai_cxr.bundle.explaining.saliency import saliency
from monai_cxr.bundle.model import BundleModel
from monai_cxr.data.sets.chestxray14 import read_boxes
from monai_cxr.evaluation.statistics.localization import (
    LocalizedFilm,
    box_mask,
    localization_by_finding,
    localize_film,
)
from monai_cxr.phantom.film import render_film
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.reading.files import read_radiograph
from monai_cxr.tables import read_table

Reference = dict[str, np.ndarray]


def phantom_masks(rows: pd.DataFrame, size: int, low: float) -> list[Reference]:
    settings = PhantomSettings(n_patients=1000, size=size, severity=(low, 1.0))
    patients = (int(str(name).rpartition("-")[2]) for name in rows["patient_id"])
    visits = zip(patients, rows["follow_up"].astype(int), strict=True)
    return [dict(render_film(settings, patient=p, follow_up=f).masks) for p, f in visits]


def boxed(rows: pd.DataFrame, boxes: pd.DataFrame, side: int) -> list[Reference]:
    references = []
    for row in rows.itertuples():
        shape = read_radiograph(row.path).shape
        scale = np.array([shape[1], shape[0], shape[1], shape[0]]) / side
        own = boxes[boxes["sop_uid"] == row.sop_uid]
        references.append(
            {
                name: box_mask(part[["x", "y", "width", "height"]].to_numpy(float) * scale, shape)
                for name, part in own.groupby("finding")
            }
        )
    return references


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("models", nargs="+", metavar="NAME=BUNDLE:METHOD")
    parser.add_argument("--films", type=int, default=60)
    parser.add_argument("--size", type=int, default=320, help="of the phantom's films")
    parser.add_argument("--severity", type=float, default=0.45, help="smallest, of the phantom")
    parser.add_argument("--boxes", help="nih, or a table of boxes")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--out", type=Path, help="folder of pictures, some films of each network")
    chosen = parser.parse_args()
    table = read_table(chosen.index)
    if chosen.boxes is None:
        rows = table[table["split"] == "test"].head(chosen.films)
        references = phantom_masks(rows, chosen.size, chosen.severity)
    else:
        boxes = read_boxes() if chosen.boxes == "nih" else read_table(Path(chosen.boxes))
        rows = table[table["sop_uid"].isin(boxes["sop_uid"])]
        references = boxed(rows, boxes, chosen.side)
    for text in chosen.models:
        name, _, rest = text.partition("=")
        bundle, _, method = rest.rpartition(":")
        model = BundleModel.load(bundle, runtime="torch")
        films: list[LocalizedFilm] = []
        for shown, (row, reference) in enumerate(zip(rows.itertuples(), references, strict=True)):
            names = [one for one in reference if one in model.findings and reference[one].any()]
            if not names:
                continue
            film = read_radiograph(row.path)
            maps = saliency(model, film, names, method)
            for finding, heat in zip(names, maps, strict=True):
                films.append(
                    localize_film(
                        heat, reference[finding], finding=finding, patient_id=str(row.patient_id)
                    )
                )
                if chosen.out is not None and shown < 12:
                    draw(film.pixels, heat, reference[finding],
                         chosen.out / f"{shown:02}_{finding}_{name}.png")  # fmt: skip
        tell(name, method, films)


def tell(name: str, method: str, films: list[LocalizedFilm]) -> None:
    by_finding = localization_by_finding(films, n_bootstrap=300)
    for one in by_finding:
        print(
            f"{name:12} {one.finding:20} n={one.n:3}  pointing {one.pointing}  "
            f"by chance {one.by_chance:.2f}  IoU {one.mean_iou}"
        )
    patients = sorted({film.patient_id for film in films})
    rng = np.random.default_rng(0)
    of_patient = {p: [f for f in films if f.patient_id == p] for p in patients}
    drawn = []
    for _ in range(500):
        some = [f for p in rng.choice(patients, len(patients)) for f in of_patient[p]]
        drawn.append((np.mean([f.hit for f in some]), np.mean([f.iou for f in some])))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    hit, iou = np.mean([f.hit for f in films]), np.mean([f.iou for f in films])
    print(
        f"{name:12} {method}: {len(films)} findings of {len(patients)} patients  pointing "
        f"{hit:.3f} ({low[0]:.3f}-{high[0]:.3f})  IoU {iou:.3f} ({low[1]:.3f}-{high[1]:.3f})"
    )


def draw(pixels: np.ndarray, heat: np.ndarray, mask: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = heat_overlay(pixels, heat)
    inner = mask.copy()
    for axis in (0, 1):
        inner &= np.roll(mask, 2, axis) & np.roll(mask, -2, axis)
    edge = mask & ~inner
    picture[edge] = (0, 255, 0)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path)


if __name__ == "__main__":
    main()
