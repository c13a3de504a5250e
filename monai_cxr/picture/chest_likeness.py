"""Chest likeness: does a picture look like an upright frontal chest film, from its pixels alone?

A film is reduced to 32 x 32 gray ranks, which no window can change, projected on a few principal
components of chest films, and judged by a logistic function of the components, their squares and
what they leave unexplained. Turned and inverted copies are judged too: that finds the films that
are chests in another pose. The numbers are in ``chest_likeness.json`` with their provenance;
``benchmarks/scope_model.py`` makes them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr.picture.quality import inner_box, sampled

SIDE = 32
"""Rows and columns of a thumbnail."""

_SMALLEST_INNER = 0.25

POSES = ("upright", "upside_down", "rotated", "rotated_other", "inverted")
"""What a film may look like; ``rotated`` is a quarter turn to the left or right."""

_UPRIGHT = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
_TURNED = np.stack(
    [_UPRIGHT, _UPRIGHT[::-1, ::-1], np.rot90(_UPRIGHT), np.rot90(_UPRIGHT, 3), _UPRIGHT]
).reshape(len(POSES), -1)
"""For each pose, the pixel of the thumbnail that stands in each place."""


@dataclass(frozen=True, slots=True, eq=False)
class LikenessModel:
    """A logistic model on principal components.

    Attributes:
        mean: float64, shape (SIDE * SIDE,).
        basis: float64, shape (k, SIDE * SIDE), orthonormal rows.
        weights: float64, shape (2 * k + 1,): components, their squares, log residual.
        bias: Added to the weighted sum.
        refuse_below: Log-odds below which a film in no known pose is refused.
        doubt_below: Log-odds below which a film is accepted with a flag.
        pose_margin: How much more likely another pose must be to be named.
    """

    mean: NDArray[np.float64]
    basis: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float
    refuse_below: float
    doubt_below: float
    pose_margin: float

    def log_odds(self, thumbnails: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds that each thumbnail is an upright frontal chest film.

        Args:
            thumbnails: float64, shape (n, SIDE * SIDE), from :func:`thumbnail`.

        Returns:
            float64, shape (n,).
        """
        return self.features(thumbnails) @ self.weights + self.bias

    def features(self, thumbnails: NDArray[np.float64]) -> NDArray[np.float64]:
        """Components, their squares and the log of the residual; shape (n, 2 * k + 1)."""
        centred = thumbnails - self.mean
        components = centred @ self.basis.T
        residual = np.mean(centred**2, axis=1) - np.sum(components**2, axis=1) / centred.shape[1]
        scaled = components / np.sqrt(centred.shape[1])
        log_residual = np.log(np.maximum(residual, 1e-4))[:, None]
        return np.concatenate([scaled, scaled**2, log_residual], axis=1)


def likeness(pixels: NDArray[np.float32]) -> Mapping[str, float]:
    """Log-odds of being a frontal chest film in each pose.

    Args:
        pixels: Of the film, or its sample: float32, shape (rows, columns), range [0, 1].

    Returns:
        One value a pose of :data:`POSES`.
    """
    return likeness_of_shown(shown(pixels))


def likeness_of_shown(grid: NDArray[np.float32]) -> Mapping[str, float]:
    """The same of what :func:`shown` gives."""
    poses = ranks_of_shown(grid, SIDE)[_TURNED]
    poses[POSES.index("inverted")] *= -1.0
    values = model().log_odds(poses)
    return dict(zip(POSES, (float(v) for v in values), strict=True))


def turned(pixels: NDArray[np.float32], pose: str) -> NDArray[np.float32]:
    """The picture that is upright where a film in this pose of :data:`POSES` is given."""
    if pose == "upside_down":
        pixels = pixels[::-1, ::-1]
    elif pose in ("rotated", "rotated_other"):
        pixels = np.rot90(pixels, 1 if pose == "rotated" else 3)
    elif pose == "inverted":
        pixels = np.float32(1.0) - pixels
    return np.ascontiguousarray(pixels)


def thumbnail(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Reduce a film to standardised gray ranks, without its uniform borders.

    Returns:
        float64, shape (SIDE * SIDE,), mean 0, standard deviation 1 (all 0 for a blank film).
    """
    return gray_ranks(pixels, SIDE)


def gray_ranks(pixels: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Reduce a film to a square of standardised gray ranks, without its uniform borders.

    Args:
        pixels: Of the film, or its sample: float32, shape (rows, columns), range [0, 1].
        side: Rows and columns of the square.

    Returns:
        float64, shape (side * side,), mean 0, standard deviation 1 (all 0 for a blank film).
    """
    return ranks_of_shown(shown(pixels), side)


def shown(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sample of a film without its uniform borders, float32."""
    grid = sampled(pixels)
    top, bottom, left, right = inner_box(grid)
    if (bottom - top) * (right - left) < _SMALLEST_INNER * grid.size:
        return grid
    return np.ascontiguousarray(grid[top:bottom, left:right])


def ranks_of_shown(grid: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Standardised gray ranks of what :func:`shown` gives, as of :func:`gray_ranks`."""
    small = Image.fromarray(grid).resize((side, side), Image.Resampling.BOX)
    ranks = _ranks(np.asarray(small).ravel())
    deviation = ranks.std()
    if deviation == 0.0:
        return np.zeros(side * side)
    return np.asarray((ranks - ranks.mean()) / deviation, dtype=np.float64)


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Ranks with ties at their mean of values in [0, 1]; closer than 1/1024 are ties."""
    levels = np.rint(values * np.float32(1024.0)).astype(np.intp)
    counts = np.bincount(levels, minlength=1025)
    middle = np.cumsum(counts) - (counts - 1) / 2.0
    return np.asarray(middle[levels], dtype=np.float64)


@cache
def model() -> LikenessModel:
    """The model that comes with the package."""
    text = files("monai_cxr.picture").joinpath("chest_likeness.json").read_text(encoding="utf-8")
    return model_from_json(json.loads(text))


def model_from_json(values: Mapping[str, Any]) -> LikenessModel:
    """Read a model from its JSON form."""
    n_components = len(values["scales"])
    basis = _unpack(values["basis"]).reshape(n_components, -1)
    return LikenessModel(
        mean=_unpack(values["mean"]) * float(values["mean_scale"]),
        basis=basis * np.asarray(values["scales"], dtype=np.float64)[:, None],
        weights=np.asarray(values["weights"], dtype=np.float64),
        bias=float(values["bias"]),
        refuse_below=float(values["refuse_below"]),
        doubt_below=float(values["doubt_below"]),
        pose_margin=float(values["pose_margin"]),
    )


def _unpack(text: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text), dtype=np.int8).astype(np.float64)
