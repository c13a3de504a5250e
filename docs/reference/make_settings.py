"""Write settings.md, the reference of ``screening.toml``, from the settings' dataclasses.

    python docs/reference/make_settings.py

A test fails while the page and the code differ.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from monai_cxr.screening.settings.tables import ScreeningSettings

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings of the screening service

This page is written from the code by `python docs/reference/make_settings.py`.

`monai-cxr screen run --settings screening.toml` reads one TOML file
([example](../../deploy/screening.toml)). Relative paths are relative to the folder of that file. An
unknown key is refused, and the message names the nearest known one. A secret is never written into the
file: `password_env = "NAME"` names an environment variable, and `password_file = "path"` names a file.
`monai-cxr screen doctor --settings screening.toml` tries everything that the file names.

The viewer keeps its own table, `[viewer]`, in the same file ([view films](../how-to/view-films.md)).
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_table("Top of the file", ScreeningSettings, "")]).rstrip() + "\n"


def _table(title: str, kind: Any, where: str) -> Iterator[str]:
    """One table of keys, then the tables inside it."""
    meanings, types = _meanings(kind), get_type_hints(kind)
    inner = []
    yield f"## {title}"
    yield from ("", "| key | type | default | meaning |", "|---|---|---|---|")
    for entry in dataclasses.fields(kind):
        below, is_list = _inside(types[entry.name])
        name = f"{where}.{entry.name}" if where else entry.name
        if below is not None:
            inner.append((f"`[[{name}]]`" if is_list else f"`[{name}]`", below, name))
        secret = entry.metadata and entry.name != "url"
        shown = f"{entry.name}_env`, `{entry.name}_file" if secret else entry.name
        yield f"| `{shown}` | {_kind(types[entry.name])} | {_default(entry)} | {meanings[entry.name]} |"
    yield ""
    for heading, below, name in inner:
        yield from _table(heading, below, name)


def _meanings(kind: Any) -> dict[str, str]:
    """What the docstring says of each attribute."""
    text = inspect.getdoc(kind) or ""
    part = text.partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", part, re.MULTILINE)
    return {name: _cell(meaning) for name, meaning in found}


def _inside(kind: Any) -> tuple[Any, bool]:
    """The dataclass that a field holds, and whether it holds many."""
    for one in (kind, *get_args(kind)):
        if dataclasses.is_dataclass(one):
            return one, get_origin(kind) is tuple
    return None, False


def _kind(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return "list of tables" if dataclasses.is_dataclass(item) else f"list of {_kind(item)}"
    if dataclasses.is_dataclass(kind):
        return "table"
    words = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
    return words[kind]


def _default(entry: Any) -> str:
    if entry.default is dataclasses.MISSING:
        return "required"
    if entry.default in (None, "", ()):
        return "none"
    if dataclasses.is_dataclass(entry.default):
        return "its defaults"
    value = list(entry.default) if isinstance(entry.default, tuple) else entry.default
    text = str(value).lower() if isinstance(value, bool) else str(value).replace("'", '"')
    return f'`"{text}"`' if isinstance(value, str) else f"`{text}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
