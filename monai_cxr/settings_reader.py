"""Settings reader: TOML tables into frozen dataclasses; an unknown key names its neighbours."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from monai_cxr.errors import SettingsError

SECRET = {"secret": True}
"""Metadata of a field whose value comes from a variable or a file."""


class TableReader:
    """Reads TOML tables into dataclasses; a field marked :data:`SECRET` is named, never written.

    Args:
        folder: What relative paths are relative to.
        environment: Where ``*_env`` keys look.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment

    def table(self, kind: Any, content: Any, where: str) -> Any:
        """A table as a dataclass.

        Raises:
            SettingsError: Naming the key, what was expected, and the nearest known key.
        """
        if not isinstance(content, Mapping):
            raise SettingsError(f"Expected [{where}] to be a table, but got {_kind(content)}.")
        types = get_type_hints(kind)
        fields = {f.name: f for f in dataclasses.fields(kind)}
        values: dict[str, Any] = {}
        for key, value in content.items():
            name = key if key in fields else self._secret_of(key, fields)
            if name is None:
                raise _unknown(key, where, fields)
            full = f"{where}.{key}" if where else key
            if name == key:
                if fields[name].metadata and name != "url":
                    raise SettingsError(
                        f"A secret does not belong into the settings: replace {full} by "
                        f"{key}_env (a variable) or {key}_file."
                    )
                values[name] = self.value(types[name], value, full)
            else:
                values[name] = self._secret(key, value, full)
        missing = [
            name
            for name, f in fields.items()
            if name not in values
            and f.default is dataclasses.MISSING
            and f.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise SettingsError(
                f"The settings lack {', '.join(f'{where}.{n}' if where else n for n in missing)}."
            )
        return kind(**values)

    def value(self, kind: Any, value: Any, where: str) -> Any:
        """A value as the type of its field."""
        origin = get_origin(kind)
        if origin in (Union, UnionType):
            kind = next(k for k in get_args(kind) if k is not type(None))
            origin = get_origin(kind)
        if origin is tuple:
            if not isinstance(value, list):
                raise SettingsError(f"Expected {where} to be a list, but got {_kind(value)}.")
            item = get_args(kind)[0]
            return tuple(self.value(item, v, f"{where}[{i}]") for i, v in enumerate(value))
        if dataclasses.is_dataclass(kind):
            return self.table(kind, value, where)
        if kind is Path and isinstance(value, str) and value:
            return self._folder / Path(value).expanduser()
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        wanted = "path" if kind is Path else kind.__name__
        raise SettingsError(f"Expected {where} as {wanted}, but got {_kind(value)}.")

    @staticmethod
    def _secret_of(key: str, fields: Mapping[str, Any]) -> str | None:
        name, _, how = key.rpartition("_")
        return name if how in ("env", "file") and name in fields and fields[name].metadata else None

    def _secret(self, key: str, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value:
            raise SettingsError(f"Expected {where} as a name, but got {_kind(value)}.")
        if key.endswith("_env"):
            if value not in self._environment:
                raise SettingsError(f"{where} names the variable {value}, which is not set.")
            found = self._environment[value]
        else:
            try:
                found = (self._folder / value).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise SettingsError(f"The file that {where} names cannot be read.") from None
        if not found:
            raise SettingsError(f"What {where} names is empty.")
        return found


def _unknown(key: str, where: str, fields: Mapping[str, Any]) -> SettingsError:
    secrets = [name for name, entry in fields.items() if entry.metadata]
    known = [*fields, *(f"{name}_{how}" for name in secrets for how in ("env", "file"))]
    near = difflib.get_close_matches(key, known, n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    place = f"[{where}]" if where else "the settings"
    return SettingsError(f"Unknown key '{key}' in {place}. {hint}Known: {', '.join(known)}.")


def _kind(value: Any) -> str:
    return f"{type(value).__name__}"
