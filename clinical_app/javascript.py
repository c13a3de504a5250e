"""JavaScript: the ES modules of a component, joined into the one that Streamlit takes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default )", re.MULTILINE)


@cache
def joined(entry: Path) -> str:
    """The source of a module after the sources of all that it imports.

    Each module is written once, after those that it imports. Their top-level names share one scope,
    so they must differ.

    Args:
        entry: The module whose default export the component is.

    Returns:
        One ES module without imports.
    """
    parts: dict[Path, str] = {}

    def visit(path: Path) -> None:
        if path in parts:
            return
        source = path.read_text(encoding="utf-8")
        parts[path] = ""  # on its way
        for name in _IMPORT.findall(source):
            visit((path.parent / name).resolve())
        del parts[path]  # so that it stands after them
        parts[path] = _EXPORT.sub("", _IMPORT.sub("", source))

    visit(entry.resolve())
    return "\n".join(parts.values())
