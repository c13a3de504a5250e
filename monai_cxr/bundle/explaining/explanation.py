"""Explanation: one film, what the model says of it, and where it looked, as pictures and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr.atomic import write_atomically, write_json
from monai_cxr.bundle.explaining.saliency import saliency
from monai_cxr.bundle.model import BundleModel
from monai_cxr.picture.gray import heat_share
from monai_cxr.prediction import FindingScore
from monai_cxr.radiograph import Radiograph

# Viridis at eight stops (van der Walt and Smith, CC0): even in lightness, colour-blind safe.
_STOPS = np.array(
    [
        *((68, 1, 84), (70, 50, 127), (54, 92, 141), (39, 127, 142)),
        *((31, 161, 135), (74, 194, 109), (159, 218, 58), (253, 231, 37)),
    ],
    dtype=np.float32,
)
_OPACITY = 0.55
_MAX_SIDE = 1024


def explain(
    model: BundleModel,
    film: Radiograph,
    out: Path,
    *,
    findings: Sequence[str] | None = None,
    method: str = "cam",
) -> dict[str, Any]:
    """Write a picture per finding, and ``explanation.json``.

    Args:
        model: A packaged bundle.
        film: The radiograph.
        out: Folder.
        findings: Whose maps; None for the three most probable ones.
        method: See :func:`monai_cxr.bundle.explaining.saliency.saliency`.

    Returns:
        What ``explanation.json`` holds: every finding's score; for each map the pixel it points
        to and the picture's name. It names no patient.
    """
    prediction = model.predict([film])[0]
    ranked = sorted(prediction.scores, key=_rank, reverse=True)
    chosen = list(findings or [score.finding for score in ranked[:3]])
    maps = saliency(model, film, chosen, method)
    content: dict[str, Any] = {
        "model": {"name": prediction.model.name, "digest": prediction.model.digest},
        "method": method,
        "flags": list(film.flags),
        "findings": {score.finding: _score(score) for score in ranked},
        "maps": {},
    }
    for finding, values in zip(chosen, maps, strict=True):
        name = f"{finding}.png"
        write_atomically(out / name, _picture(film.pixels, values).save)
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        content["maps"][finding] = {
            "picture": name,
            "peak": {"row": int(row), "column": int(column)},
        }
    write_json(out / "explanation.json", content)
    return content


def _rank(score: FindingScore) -> float:
    return score.logit if np.isnan(score.probability) else score.probability


def _score(score: FindingScore) -> dict[str, Any]:
    probability = None if np.isnan(score.probability) else score.probability
    return {"probability": probability, "logit": score.logit, "positive": score.positive}


def heat_overlay(pixels: NDArray[np.float32], heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """The film under its map: nothing where the map speaks against, brightest where it is hottest.

    Args:
        pixels: Film, shape (rows, columns), [0, 1].
        heat: Map, same shape.

    Returns:
        float32, shape (rows, columns, 3), [0, 255].
    """
    gray = np.repeat(pixels[:, :, None] * 255, 3, axis=2)
    share = heat_share(heat)
    place = share * (len(_STOPS) - 1)
    lower = np.clip(place.astype(int), 0, len(_STOPS) - 2)
    part = (place - lower)[:, :, None]
    color = _STOPS[lower] * (1 - part) + _STOPS[lower + 1] * part
    opacity = (_OPACITY * share)[:, :, None]
    return np.asarray(gray * (1 - opacity) + color * opacity, dtype=np.float32)


def _picture(pixels: NDArray[np.float32], heat: NDArray[np.float32]) -> Image.Image:
    """The film, and beside it the film under its map."""
    gray = np.repeat(pixels[:, :, None] * 255, 3, axis=2)
    both = np.hstack([gray, heat_overlay(pixels, heat)])
    image = Image.fromarray(both.round().astype(np.uint8))
    image.thumbnail((2 * _MAX_SIDE, _MAX_SIDE))
    return image
