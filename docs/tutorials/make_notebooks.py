"""Write the notebooks of the tutorials from the tutorials themselves: there is one source.

    python docs/tutorials/make_notebooks.py [--out DIR] [--execute PAGE]

A test fails while a notebook and its page differ. Every indented command becomes a bash cell and every Python block a code cell, but for what belongs
in a terminal: installation, and the viewer, which runs until it is stopped. ``--execute`` runs one
notebook in ``DIR`` (needs: pip install nbclient ipykernel) and keeps its outputs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGES = ("first-film", "chestxray14")
FOLDER = Path(__file__).resolve().parent
IN_A_TERMINAL = ("python3 -m venv", ". .venv", "pip install", "monai-cxr view")

_PARTS = re.compile(r"(^```.*?^```\n|(?:^    \S[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def cells(page: str) -> Iterator[tuple[str, str]]:
    """Kind (``"markdown"`` or ``"code"``) and text of each cell of a page."""
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    prose = ""
    for part in _PARTS.split(text):
        code = _code(part)
        if code is None:
            prose += part
            continue
        if prose.strip():
            yield "markdown", _absolute(prose.strip())
        prose = ""
        yield "code", code
    if prose.strip():
        yield "markdown", _absolute(prose.strip())


def notebook(page: str) -> dict[str, Any]:
    """A page as the JSON value of a notebook, format 4.5; the same page gives the same value."""
    made = []
    for number, (kind, text) in enumerate(cells(page)):
        name = hashlib.sha256(f"{page} {number} {text}".encode()).hexdigest()[:12]
        cell = {"id": name, "cell_type": kind, "metadata": {}, "source": text}
        made.append(cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def text_of(page: str) -> str:
    """A page as the text of a notebook's file."""
    return json.dumps(notebook(page), indent=1, ensure_ascii=False) + "\n"


def execute(path: Path) -> None:
    """Run a notebook in its folder and keep its outputs; a cell that fails raises."""
    import nbformat
    from nbclient import NotebookClient

    read = nbformat.read(path, as_version=4)
    NotebookClient(read, timeout=3600, resources={"metadata": {"path": str(path.parent)}}).execute()
    nbformat.write(read, path)


def _code(part: str) -> str | None:
    """What a part of a page runs; None for prose, other fences and what needs a terminal."""
    if part.startswith("```python\n"):
        return part.removeprefix("```python\n").removesuffix("```\n").strip()
    if part.startswith("    ") and not part.strip().startswith(IN_A_TERMINAL):
        return "%%bash\nset -e\n" + re.sub(r"^    ", "", part, flags=re.MULTILINE).strip()
    return None


def _absolute(prose: str) -> str:
    """Prose whose links lead to the site's pages beside the notebook."""
    return re.sub(r"\]\((?!https?:|#)([^)#\s]+)\.md", r"](\1.html", prose)


def main() -> None:
    """Write them, and execute one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--execute", choices=PAGES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        (options.out / f"{page}.ipynb").write_text(text_of(page), encoding="utf-8")
    if options.execute:
        execute(options.out / f"{options.execute}.ipynb")


if __name__ == "__main__":
    main()
