"""Overlay planes and display shutters: what a header wants drawn over a film, or covered.

Overlays are PS3.3 C.9.2 (groups 60xx), shutters PS3.3 C.7.6.11. A model sees neither: both are for
people, and a side marker of a CR system is often an overlay.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.tag import Tag

from monai_cxr.dicom.header import elements
from monai_cxr.picture.bounds import MAX_PIXELS

_GROUPS = range(0x6000, 0x6020, 2)
_MOST_CORNERS = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """One bit plane over a film.

    Attributes:
        bits: bool, shape (rows, columns).
        top: Row of the film under its first row, counted from 0; it may lie outside.
        left: Column, likewise.
    """

    bits: NDArray[np.bool_]
    top: int
    left: int


@dataclass(frozen=True, slots=True)
class Shutter:
    """The part of a film that is to be seen; the rest is covered.

    Attributes:
        rectangle: (left, top, right, bottom) in columns and rows of the film, or ().
        circle: (column, row, radius), or ().
        polygon: Corners as (column, row), or ().
    """

    rectangle: tuple[float, ...] = ()
    circle: tuple[float, ...] = ()
    polygon: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What a header wants drawn over a film, or covered.

    Attributes:
        overlays: Bit planes.
        shutter: Or None.
        unread: How many overlays cannot be drawn: malformed ones, and those in unused bits of the
            pixels, which PS3.5 retired.
    """

    overlays: tuple[Overlay, ...] = field(default=())
    shutter: Shutter | None = None
    unread: int = 0


def drawn_over(dataset: Dataset, *, little_endian: bool) -> Drawn:
    """Read overlays and shutter; malformed ones are counted and not drawn.

    Args:
        dataset: A header.
        little_endian: Byte order of the file.
    """
    groups = [group for group in _GROUPS if Tag(group, 0x0010) in dataset]
    planes = [_overlay(dataset, group, little_endian=little_endian) for group in groups]
    found = tuple(plane for plane in planes if plane is not None)
    return Drawn(found, _shutter(dataset), len(planes) - len(found))


def _overlay(dataset: Dataset, group: int, *, little_endian: bool) -> Overlay | None:
    try:
        rows = int(dataset[Tag(group, 0x0010)].value)
        columns = int(dataset[Tag(group, 0x0011)].value)
        data = dataset[Tag(group, 0x3000)].value
        origin = Tag(group, 0x0050)
        top, left = (int(v) for v in dataset[origin].value) if origin in dataset else (1, 1)
    except elements.MALFORMED:
        return None
    n = rows * columns
    if not isinstance(data, bytes) or not 0 < n <= MAX_PIXELS or len(data) * 8 < n:
        return None
    cells = np.frombuffer(data[: len(data) // 2 * 2], dtype=np.uint8)
    if not little_endian:
        cells = cells.reshape(-1, 2)[:, ::-1].ravel()
    if cells.size * 8 < n:
        return None
    bits = np.unpackbits(cells, bitorder="little")[:n].reshape(rows, columns).astype(np.bool_)
    return Overlay(bits, top - 1, left - 1)


def _shutter(dataset: Dataset) -> Shutter | None:
    """The shutter in columns and rows from 0; edges lie at the borders of the last seen pixels."""
    shapes = {shape.upper() for shape in elements.texts(dataset, "ShutterShape")}
    rectangle = _rectangle(dataset) if "RECTANGULAR" in shapes else ()
    circle = _circle(dataset) if "CIRCULAR" in shapes else ()
    polygon = _polygon(dataset) if "POLYGONAL" in shapes else ()
    return Shutter(rectangle, circle, polygon) if rectangle or circle or polygon else None


def _rectangle(dataset: Dataset) -> tuple[float, ...]:
    names = ("LeftVertical", "UpperHorizontal", "RightVertical", "LowerHorizontal")
    edges = [elements.number(dataset, f"Shutter{name}Edge") for name in names]
    if any(edge is None for edge in edges):
        return ()
    left, top, right, bottom = (float(edge or 0) for edge in edges)
    return (left - 1, top - 1, right, bottom) if left <= right and top <= bottom else ()


def _circle(dataset: Dataset) -> tuple[float, ...]:
    center = elements.numbers(dataset, "CenterOfCircularShutter")
    radius = elements.number(dataset, "RadiusOfCircularShutter")
    if len(center) != 2 or radius is None or radius <= 0:
        return ()
    return center[1] - 0.5, center[0] - 0.5, radius


def _polygon(dataset: Dataset) -> tuple[tuple[float, float], ...]:
    numbers = elements.numbers(dataset, "VerticesOfThePolygonalShutter")
    if len(numbers) < 6 or len(numbers) % 2 or len(numbers) > 2 * _MOST_CORNERS:
        return ()
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return tuple((column - 0.5, row - 0.5) for row, column in pairs)
