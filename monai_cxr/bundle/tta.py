"""TTA: test-time augmentation, the views of a film whose logits are averaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from monai_cxr.bundle.engines.runtime import FilmBatch
from monai_cxr.errors import SettingsError

_SHIFT = 1 / 32


def _none(batch: FilmBatch) -> list[FilmBatch]:
    return [batch]


def _flip(batch: FilmBatch) -> list[FilmBatch]:
    return [batch, np.ascontiguousarray(batch[..., ::-1])]


def _shift(batch: FilmBatch) -> list[FilmBatch]:
    step = max(round(batch.shape[-1] * _SHIFT), 1)
    padded = np.pad(batch, ((0, 0), (0, 0), (step, step), (step, step)), mode="edge")
    rows, columns = batch.shape[-2:]
    corners = [(step, 0), (step, 2 * step), (0, step), (2 * step, step)]
    shifted = [padded[..., top : top + rows, left : left + columns] for top, left in corners]
    return [batch, *(np.ascontiguousarray(one) for one in shifted)]


VIEWS: Mapping[str, Callable[[FilmBatch], list[FilmBatch]]] = {
    "none": _none,
    "flip": _flip,
    "shift": _shift,
}
"""By name, a batch (B, 1, S, S) to its views, the untouched one first. ``flip`` adds the mirror
image: use it only with a model that was trained with flips, since laterality is information.
``shift`` adds four shifts by a thirty-second of the side, the edge repeated."""


def views_named(name: str) -> Callable[[FilmBatch], list[FilmBatch]]:
    """The views of a name.

    Raises:
        SettingsError: If there are none of that name.
    """
    if name not in VIEWS:
        raise SettingsError(f"Unknown tta '{name}'. Expected one of: {', '.join(VIEWS)}.")
    return VIEWS[name]
