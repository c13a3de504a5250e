"""Vessels: the branching tree of arteries, veins and bronchi that leaves each hilum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from monai_cxr.phantom.anatomy import Thorax
from monai_cxr.phantom.body import Body
from monai_cxr.phantom.grid import Field, blur

_GENERATIONS = 6


@dataclass(frozen=True, slots=True)
class Branches:
    """Straight pieces of a tree; lengths in mm.

    Attributes:
        start: float64, shape (n, 2): x and y.
        end: float64, shape (n, 2).
        radius: float64, shape (n,).
        generation: int64, shape (n,): 0 at the hilum.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]
    generation: NDArray[np.int64]


def grow_tree(body: Body, sign: int, rng: np.random.Generator) -> Branches:
    """Grow the vessels of one lung from its hilum.

    Args:
        body: The measures.
        sign: -1 right, +1 left; the left hilum stands higher.
        rng: The patient's stream.

    Returns:
        The pieces, thick ones first.
    """
    hilum_y = (0.43 if sign < 0 else 0.39) * body.height
    # Angles from straight down (0) over lateral (pi/2) to straight up (pi).
    angle = np.array([0.12, 0.42, 0.75, 1.15, 1.6, 2.05, 2.5, 2.85])
    angle = angle + rng.normal(0.0, 0.1, angle.size)
    length = body.height * np.array([0.17, 0.18, 0.17, 0.15, 0.13, 0.13, 0.13, 0.13])
    radius = np.array([7.4, 6.8, 5.6, 4.8, 4.2, 4.4, 4.6, 4.6])
    x = sign * (body.half_width * 0.21 + rng.uniform(-2, 4, angle.size))
    y = hilum_y + rng.normal(0.0, 6.0, angle.size) - 10.0 * np.cos(np.linspace(np.pi, 0, 8))
    start = np.stack([x, y], axis=1)
    starts, ends, radii, generations = [], [], [], []
    for generation in range(_GENERATIONS):
        for piece in range(2):
            heading = angle + rng.normal(0.0, 0.10, angle.size)
            step = np.stack([sign * np.sin(heading), np.cos(heading)], axis=1)
            end = start + step * (0.5 * length)[:, None]
            starts.append(start)
            ends.append(end)
            radii.append(radius * (1.0 if piece == 0 else 0.88))
            generations.append(np.full(angle.size, generation))
            start, angle = end, heading
        fork = rng.uniform(0.22, 0.5, angle.size)
        angle = np.concatenate([angle - fork * 0.6, angle + fork])
        start = np.concatenate([start, start])
        length = np.concatenate([length * 0.82, length * 0.70])
        radius = np.concatenate([radius * 0.78, radius * 0.66])
    return Branches(
        np.concatenate(starts), np.concatenate(ends), np.concatenate(radii),
        np.concatenate(generations),
    )  # fmt: skip


def draw_tree(thorax: Thorax, trees: tuple[Branches, ...], *, largest: int = _GENERATIONS,
              widen: float = 1.0) -> Field:  # fmt: skip
    """Draw trees as blood (or air) along the beam.

    Args:
        thorax: The anatomy, for the place on the film.
        trees: The trees of the lungs to draw.
        largest: Number of generations to draw.
        widen: Factor on the radii.

    Returns:
        cm along the beam, shape of the working grid.
    """
    pose = thorax.pose
    image = Image.new("F", (pose.columns, pose.rows), 0.0)
    draw = ImageDraw.Draw(image)
    for tree in trees:
        start, end = to_pixels(thorax, tree.start), to_pixels(thorax, tree.end)
        for index in np.flatnonzero(tree.generation < largest)[::-1]:
            radius = float(tree.radius[index]) * widen
            wide = 2.0 * radius / pose.spacing_mm
            # A line is at least one pixel wide; a thinner vessel is fainter instead.
            draw.line(
                (start[index, 0], start[index, 1], end[index, 0], end[index, 1]),
                fill=0.2 * radius * min(wide, 1.0), width=max(round(wide), 1),
            )  # fmt: skip
    fine = np.asarray(image, dtype=np.float32)
    coarse = 0.25 * (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2])
    return blur(np.asarray(coarse, dtype=np.float32), 0.55)


def to_pixels(thorax: Thorax, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn (x, y) in mm, shape (n, 2), into (column, row) of the full-resolution film."""
    pose = thorax.pose
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    x, y = points[:, 0], points[:, 1] - 0.56 * thorax.body.height
    column = (x * cos - y * sin) / pose.spacing_mm + pose.centre[1]
    row = (y * cos + x * sin) / pose.spacing_mm + pose.centre[0]
    return np.stack([column, row], axis=1)
