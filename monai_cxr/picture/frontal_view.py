"""Frontal view: is a picture of a chest a frontal radiograph, or a lateral, an oblique, a CT slice?

A picture is reduced to gray ranks, which no window can change, and these to the directions of their
edges in 6 x 6 cells (histograms of oriented gradients; Dalal and Triggs, CVPR 2005), judged by a
logistic function. :mod:`monai_cxr.picture.chest_likeness` asks where a picture is bright and dark,
which a coronal slice and many a lateral film answer as a frontal film does; their edges run
otherwise. The numbers are in ``frontal_view.json`` with their provenance;
``benchmarks/frontal_model.py`` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from monai_cxr.picture import chest_likeness
from monai_cxr.picture.chest_likeness import gray_ranks, ranks_of_shown, turned

SIDE, N_CELLS, N_DIRECTIONS = 48, 6, 12
"""Rows and columns of the ranks, cells along a side, directions of an edge in a full turn."""

_PLACE = np.arange(SIDE) * N_CELLS // SIDE
_CELL = (_PLACE[:, None] * N_CELLS + _PLACE[None, :]) * N_DIRECTIONS
_LEAST_ENERGY = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class FrontalModel:
    """A logistic model on edge directions.

    Attributes:
        weights: float64, shape (N_CELLS * N_CELLS * N_DIRECTIONS,).
        bias: Added to the weighted sum.
        refuse_below: Log-odds below which a picture is refused.
        doubt_below: Log-odds below which it is accepted with a flag.
    """

    weights: NDArray[np.float64]
    bias: float
    refuse_below: float
    doubt_below: float


def frontal_log_odds(pixels: NDArray[np.float32]) -> float:
    """Log-odds of being an upright frontal chest radiograph rather than another view of a chest.

    Args:
        pixels: Of the film, or its sample: float32, shape (rows, columns), range [0, 1].
    """
    return frontal_log_odds_of_shown(chest_likeness.shown(pixels))


def frontal_log_odds_of_shown(grid: NDArray[np.float32]) -> float:
    """The same of what :func:`monai_cxr.picture.chest_likeness.shown` gives."""
    return float(_edges(ranks_of_shown(grid, SIDE)) @ model().weights + model().bias)


def is_clearly_negative(pixels: NDArray[np.float32], seen: Mapping[str, float]) -> bool:
    """Whether a picture is the negative of a frontal chest film beyond doubt.

    Args:
        pixels: As for :func:`frontal_log_odds`.
        seen: What :func:`monai_cxr.picture.chest_likeness.likeness` says of it.
    """
    chest = chest_likeness.model()
    if seen["inverted"] <= max(chest.doubt_below, seen["upright"] + chest.pose_margin):
        return False
    return frontal_log_odds(turned(pixels, "inverted")) >= model().doubt_below


def edge_directions(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """How strong edges of each direction are in each cell, beside those of the cells around it.

    Returns:
        float64, shape (N_CELLS * N_CELLS * N_DIRECTIONS,).
    """
    return _edges(gray_ranks(pixels, SIDE))


def _edges(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    square = ranks.reshape(SIDE, SIDE)
    down, across = _slopes(square), _slopes(square.T).T
    strength = np.hypot(across, down)
    direction = np.mod(np.arctan2(down, across), 2.0 * np.pi) * (N_DIRECTIONS / (2.0 * np.pi))
    lower = np.floor(direction)
    share = direction - lower
    first = lower.astype(np.intp) % N_DIRECTIONS
    n = N_CELLS * N_CELLS * N_DIRECTIONS
    counts = np.bincount((_CELL + first).ravel(), (strength * (1.0 - share)).ravel(), n)
    second = (first + 1) % N_DIRECTIONS
    counts = counts + np.bincount((_CELL + second).ravel(), (strength * share).ravel(), n)
    cells = counts.reshape(N_CELLS, N_CELLS, N_DIRECTIONS)
    energy = np.pad((cells**2).sum(axis=2), 1, mode="edge")
    across = energy[:, :-2] + energy[:, 1:-1] + energy[:, 2:]
    around = (across[:-2] + across[1:-1] + across[2:]) / 9.0
    return np.asarray(np.sqrt(cells / np.sqrt(around + _LEAST_ENERGY)[:, :, None]).ravel())


def _slopes(square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half of the difference of the rows on both sides; at the ends, of the row and the next."""
    slopes = np.empty_like(square)
    np.subtract(square[2:], square[:-2], out=slopes[1:-1])
    slopes[1:-1] *= 0.5
    slopes[0], slopes[-1] = square[1] - square[0], square[-1] - square[-2]
    return slopes


@cache
def model() -> FrontalModel:
    """The model that comes with the package."""
    text = files("monai_cxr.picture").joinpath("frontal_view.json").read_text(encoding="utf-8")
    values = json.loads(text)
    return FrontalModel(
        weights=np.asarray(values["weights"], dtype=np.float64),
        bias=float(values["bias"]),
        refuse_below=float(values["refuse_below"]),
        doubt_below=float(values["doubt_below"]),
    )
