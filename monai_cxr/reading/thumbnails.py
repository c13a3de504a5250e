"""Thumbnails: films as small JPEG pictures for pages, read by the readers that every film has."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr.preprocessing import MEAN, STANDARD_DEVIATION
from monai_cxr.reading.film_input import InputSpec, PreparedFilm
from monai_cxr.reading.film_readers import read_ahead


def thumbnails(paths: Sequence[Path], side: int, *, workers: int = 2) -> Iterator[str]:
    """Read films as pictures.

    Args:
        paths: Films.
        side: Side of the square in pixels; a film keeps its shape within it.
        workers: Child processes that read.

    Yields:
        A ``data:`` address a path; ``""`` where a film cannot be read.
    """
    spec = InputSpec(side, "pad", "any")
    for film in read_ahead(paths, (spec,), workers=workers, ahead=4 * workers):
        if not isinstance(film, PreparedFilm):
            yield ""
            continue
        gray = film.inputs[0][0] * STANDARD_DEVIATION + MEAN
        yield picture_uri(np.clip(gray, 0.0, 1.0) * 255.0, side)


def picture_uri(picture: NDArray[np.float32], side: int) -> str:
    """A picture as a ``data:`` address.

    Args:
        picture: Shape (rows, columns) or (rows, columns, 3), range [0, 255].
        side: Longest side in pixels.
    """
    image = Image.fromarray(picture.round().astype(np.uint8))
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
