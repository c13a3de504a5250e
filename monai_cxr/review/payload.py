"""Payload: films, heatmaps and thumbnails as bytes for a browser.

Films and heatmaps are a JSON header, padding, then the pixels.

Layout: uint32 (little endian) length of the header, the header as UTF-8 JSON, zero bytes up to a
multiple of 8, then the parts that the header names, one after the other. Of a film: tables (uint8
levels of each of the 65,536 values), the preview (uint16, little endian, row by row), the values
as :func:`monai_cxr.review.film_packing.as_differences` has them (uint8), and overlays (bits, the
lowest first). Of heatmaps: maps (uint8).
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_cxr.bundle.explaining.saliency import saliency
from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.display import DisplayFilm, levels
from monai_cxr.picture.gray import heat_share
from monai_cxr.reading.film_readers import read_apart
from monai_cxr.reading.readings import Display, WholeFilm
from monai_cxr.review.film_packing import as_differences, preview_header, small_copy

HEAT_SIDE = 192
"""Longer side of a heatmap; the network's own map is far coarser."""

THUMBNAIL_SIDE = 96
"""Longer side of a thumbnail: one sees what kind of picture it is, and can read no text in it."""

HOT = 0.5
"""Level of a map that a contour follows, and from which on a place is hot."""

LARGEST_BOX = 0.15
"""Share of the film above which a box points to no place: nothing is drawn but the contour."""


def film_payload(data: bytes) -> bytes:
    """A film as a viewer draws it.

    Args:
        data: The file.

    Raises:
        InputError: If it is not a film that can be shown.
    """
    return _packed(*_film_parts(read_apart(Display(), data)))


def heat_payload(data: bytes, model: BundleModel, findings: Sequence[str]) -> bytes:
    """Class activation maps of some findings on one film.

    Args:
        data: The file.
        model: Whose maps.
        findings: Their names.

    Raises:
        InputError: If the file is not a film.
        InvalidBundle: If the network has no such maps.
    """
    film = read_apart(WholeFilm(), data)
    scale = HEAT_SIDE / max(film.shape)
    shape = (max(round(film.shape[0] * scale), 1), max(round(film.shape[1] * scale), 1))
    maps = saliency(model, film, findings, shape=shape)
    shares = [heat_share(one) for one in maps]
    parts = [np.rint(share * 255.0).astype(np.uint8) for share in shares]
    header = {
        "rows": shape[0],
        "columns": shape[1],
        "findings": list(findings),
        "boxes": [telling_box(share) for share in shares],
        "level": HOT,
    }
    return _packed(header, parts)


def hot_box(share: NDArray[np.float32]) -> tuple[float, float, float, float] | None:
    """The box around the hottest place of a map: all that touches its peak and is half as hot.

    Args:
        share: Shape (rows, columns), [0, 1]; see
            :func:`monai_cxr.picture.gray.heat_share`.

    Returns:
        (x, y, width, height) as shares of the film's columns and rows, or None for a map without
        a hot place.
    """
    peak = np.unravel_index(int(share.argmax()), share.shape)
    if share[peak] < HOT:
        return None
    regions, _ = ndimage.label(share >= HOT, structure=np.ones((3, 3)))
    rows, columns = ndimage.find_objects(np.asarray(regions == regions[peak], dtype=np.uint8))[0]
    height, width = share.shape
    return (
        columns.start / width,
        rows.start / height,
        (columns.stop - columns.start) / width,
        (rows.stop - rows.start) / height,
    )


def telling_box(share: NDArray[np.float32]) -> tuple[float, float, float, float] | None:
    """The same, or None where it covers so much of the film that it points to no place."""
    box = hot_box(share)
    return box if box is not None and box[2] * box[3] <= LARGEST_BOX else None


def thumbnail(data: bytes) -> bytes:
    """A film as a small PNG, in its own window.

    Args:
        data: The file.

    Raises:
        InputError: If it is not a film that can be shown.
    """
    film = read_apart(Display(), data)
    picture = Image.fromarray(np.rint(levels(film, film.presets[0]) * 255).astype(np.uint8))
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _film_parts(film: DisplayFilm) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    tables = [preset.table for preset in film.presets if preset.table is not None]
    copy, step = small_copy(film.values)
    header = {
        "rows": film.shape[0],
        "columns": film.shape[1],
        "slope": film.slope,
        "intercept": film.intercept,
        "inverse": film.inverse,
        "padding": film.padding,
        "unit": film.unit,
        "view": film.view.value,
        "spacing": film.pixel_spacing_mm,
        "spacing_source": film.spacing_source,
        "orientation": list(film.orientation),
        "aspect": film.pixel_aspect,
        "overlays": [
            {
                "rows": one.bits.shape[0],
                "columns": one.bits.shape[1],
                "top": one.top,
                "left": one.left,
            }
            for one in film.drawn.overlays
        ],
        "unread_overlays": film.drawn.unread,
        "preview": preview_header(copy, step),
        "shutter": asdict(film.drawn.shutter) if film.drawn.shutter else None,
        "presets": [
            {
                "name": preset.name,
                "center": preset.center,
                "width": preset.width,
                "function": preset.function,
            }
            for preset in film.presets
        ],
    }
    levels = [np.rint(table * 255.0).astype(np.uint8) for table in tables]
    planes = [np.packbits(one.bits, bitorder="little") for one in film.drawn.overlays]
    return header, [*levels, copy, *as_differences(film.values), *planes]


def _packed(header: dict[str, Any], parts: Sequence[NDArray[Any]]) -> bytes:
    text = json.dumps(header, allow_nan=False).encode()
    start = 4 + len(text)
    gap = -start % 8
    return b"".join(
        [struct.pack("<I", len(text)), text, b"\0" * gap, *(part.tobytes() for part in parts)]
    )
