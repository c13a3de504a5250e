"""Crossing: a value of ours as JSON and plain arrays, from a reader to its parent.

Nothing is unpickled: the parent makes values of the classes that it knows, and of no others, so a
decoder that was taken over cannot reach it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr.dicom.display import DisplayFilm, Preset
from monai_cxr.dicom.pixels.overlay_planes import Drawn, Overlay, Shutter
from monai_cxr.radiograph import FilmFacts, InstanceKey, Radiograph, ViewPosition
from monai_cxr.reading.film_input import PreparedFilm

_VALUES = {
    kind.__name__: kind
    for kind in (
        *(DisplayFilm, Drawn, Overlay, Preset, Shutter),
        *(FilmFacts, InstanceKey, PreparedFilm, Radiograph),
    )
}


def packed(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """A value as JSON can hold it.

    Args:
        value: Of a class that may cross, or a number, a text, None, an array, a projection, or a
            tuple or mapping of these.
        arrays: Takes the value's arrays; the JSON names them by their place.
    """
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, ViewPosition):
        return {"view": value.value}
    if isinstance(value, tuple):
        return [packed(one, arrays) for one in value]
    if isinstance(value, Mapping):
        return {"mapping": {name: packed(one, arrays) for name, one in value.items()}}
    if type(value).__name__ in _VALUES:
        content = {one.name: packed(getattr(value, one.name), arrays) for one in fields(value)}
        return {"kind": type(value).__name__, "fields": content}
    return value.item() if isinstance(value, np.generic) else value


def unpacked(content: Any, arrays: Sequence[NDArray[Any]]) -> Any:
    """What :func:`packed` was given.

    Raises:
        LookupError: If a class or an array is not known.
        TypeError: If a class has other fields.
        ValueError: If a field has a value that its class refuses.
    """
    if isinstance(content, list):
        return tuple(unpacked(one, arrays) for one in content)
    if not isinstance(content, dict):
        return content
    if "array" in content:
        return arrays[content["array"]]
    if "view" in content:
        return ViewPosition(content["view"])
    if "mapping" in content:
        return {name: unpacked(one, arrays) for name, one in content["mapping"].items()}
    kind = _VALUES[content["kind"]]
    return kind(**{name: unpacked(one, arrays) for name, one in content["fields"].items()})
