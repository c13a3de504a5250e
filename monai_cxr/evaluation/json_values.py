"""JSON values: numbers, intervals and frozen values as JSON holds them, and read from it again.

What is not known is null, never NaN. A value has its fields as keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.prediction import Interval


def number(value: float) -> float | None:
    """The number, or None if it is not finite."""
    return float(value) if math.isfinite(value) else None


def numbers(values: Iterable[float], digits: int = 6) -> list[float | None]:
    """Numbers of a curve, rounded."""
    return [round(float(value), digits) if math.isfinite(value) else None for value in values]


def json_of(value: object) -> Any:
    """A frozen value as JSON holds it: its fields as keys, tuples and arrays as lists.

    Args:
        value: A dataclass, interval, number, text, array, or a tuple or mapping of these.

    Returns:
        What ``json.dumps(..., allow_nan=False)`` takes and :func:`read_as` reads again.
    """
    if isinstance(value, float):
        return number(value)
    if is_dataclass(value):
        return {item.name: json_of(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {name: json_of(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return json_of(value.tolist())
    return [json_of(item) for item in value] if isinstance(value, (tuple, list)) else value


def with_plain_numbers(entry: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """An entry with the estimates of the named intervals, and the intervals beside them.

    Args:
        entry: As :func:`json_of` gives it.
        names: Keys that most readers want plain; those that the entry lacks are passed over.
    """
    for name in names:
        if name in entry:
            entry[f"{name}_interval"] = entry[name]
            entry[name] = entry[name]["estimate"]
    return entry


def read_as(kind: Any, value: Any, place: str = "") -> Any:
    """A JSON value as a frozen dataclass or a plain type, checked on the way.

    Args:
        kind: A dataclass, whose fields are keys; or a tuple, mapping, array, number or text. The
            interval of a field ``x`` may stand under ``x_interval``, its estimate alone under
            ``x``. Keys that the dataclass does not have are passed over.
        value: As ``json.loads`` gives it. Null is NaN where a number is wanted.
        place: Keys that lead to the value, for messages.

    Returns:
        The value. A field whose key is missing has its default.

    Raises:
        SettingsError: If the value is of another kind, with the keys that lead to it.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (wanted,) = (part for part in parts if part is not type(None))
        return None if value is None else read_as(wanted, value, place)
    if kind is Interval and (value is None or isinstance(value, (int, float))):
        value = {"estimate": value}  # an older file has the number alone
    if is_dataclass(kind):
        return _fields(kind, _expected(value, dict, place), place)
    if origin is np.ndarray:
        return _array(_expected(value, list, place), get_args(parts[1])[0], place)
    if origin is tuple:
        items = _expected(value, list, place)
        kinds = parts[:1] * len(items) if parts[1:] == (...,) else parts
        if len(kinds) != len(items):
            raise SettingsError(f"Expected {len(kinds)} items at {place}, but got {len(items)}.")
        return tuple(read_as(k, item, place) for k, item in zip(kinds, items, strict=True))
    if origin is not None:  # a mapping of names
        content = _expected(value, dict, place)
        return {name: read_as(parts[1], item, f"{place}.{name}") for name, item in content.items()}
    if kind is Any:
        return value
    if kind is float:
        return math.nan if value is None else float(_expected(value, (int, float), place))
    return _expected(value, kind, place)


def _array(value: list[Any], dtype: Any, place: str) -> NDArray[Any]:
    try:
        if np.array(value).dtype.kind in "biufO":
            return np.array(value, dtype=dtype)  # null is NaN
    except (TypeError, ValueError):
        pass
    raise SettingsError(f"Expected numbers at {place}, but got {value!r:.40}.")


def _fields(kind: Any, value: Mapping[str, Any], place: str) -> Any:
    hints = _hints(kind)
    found = {}
    for item in fields(kind):
        name, wanted = item.name, hints[item.name]
        beside = f"{name}_interval"
        key = beside if wanted is Interval and beside in value else name
        if key in value:
            found[name] = read_as(wanted, value[key], f"{place}.{key}".lstrip("."))
        elif item.default is MISSING and item.default_factory is MISSING:
            raise SettingsError(f"Expected the key '{key}'{f' at {place}' if place else ''}.")
    return kind(**found)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _expected(value: Any, kind: type | tuple[type, ...], place: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        words = "a number" if kind in (int, (int, float)) else _KINDS.get(kind, str(kind))
        raise SettingsError(f"Expected {words} at {place or 'the top'}, but got {value!r:.40}.")
    return value


_KINDS: dict[object, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
