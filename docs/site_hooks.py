"""Site hooks: what MkDocs is told beyond the pages themselves.

Navigation is the list in ``docs/README.md``. The public names and each room of the package get a
page from their docstrings. Files outside ``docs/`` that a page links to become pages, so that the
site is whole.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

import monai_cxr

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PACKAGE = ROOT / "monai_cxr"

_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_ROLE = re.compile(r":(?:func|class|data|meth|attr|mod|exc):(?=`)")
_EXAMPLE = re.compile(r"^Example:(?=\n\s+>>> )", re.MULTILINE)
_FENCE = re.compile(r"(```.*?```)", re.DOTALL)


class DocstringForms(griffe.Extension):
    """Two forms of our docstrings that griffe does not know: Sphinx roles, and one example."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Take the marks of roles away, and call an example what griffe parses as examples."""
        if obj.docstring is not None:
            text = _EXAMPLE.sub("Examples:", obj.docstring.value)
            obj.docstring.value = _ROLE.sub("", text)


def rooms() -> dict[str, str]:
    """A room of the package and the first line of its docstring, by name."""
    found = {}
    for place in sorted(PACKAGE.iterdir()):
        source = place / "__init__.py" if place.is_dir() else place
        if source.suffix == ".py" and source.is_file() and not place.name.startswith("__"):
            first = re.match(r'"""(.*)', source.read_text(encoding="utf-8"))
            found[place.stem] = first[1].strip('"') if first else ""
    return found


def navigation() -> list[Any]:
    """Sections, groups and pages of ``docs/README.md``, in MkDocs' form."""
    nav: list[Any] = [{"Home": "README.md"}]
    section: list[Any] = nav
    group = section
    for line in (DOCS / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = group = []
            nav.append({line[3:].strip(): section})
        elif bold := re.fullmatch(r"\*\*(.+)\*\*", line.strip()):
            group = []
            section.append({bold[1]: group})
        elif section is not nav:
            for title, target in re.findall(r"\[([^]]+)\]\(([^)]+)\)", line):
                page = f"{target}index.md" if target.endswith("/") else target
                name = (
                    title if "." in title else title[0].upper() + title[1:]
                )  # a file keeps its name
                group.append({name: page})
    for entry in nav:
        for title, pages in entry.items():
            if title == "Reference":
                pages.append({"The public API": "reference/api.md"})
                pages.append({"The rooms": [{name: f"rooms/{name}.md"} for name in rooms()]})
    return nav


def on_config(config: Any) -> Any:
    """Take the navigation from the documentation's own list."""
    config.nav = navigation()
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made: rooms, the list of decisions, and files that links lead to."""
    made = {"reference/api.md": _public_names(), "decisions/index.md": _decisions()}
    for name, text in {**_room_pages(), **made}.items():
        files.append(File.generated(config, name, content=text))
    for name in _linked_sources():
        files.append(File.generated(config, _source_page(name), content=_source_text(name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links out of ``docs/`` lead to the pages that were made of them."""
    uri = page.file.src_uri
    at = _repository_path(uri)
    return _outside_fences(markdown, lambda text: _LINK.sub(lambda m: _link(m, at, uri), text))


def _outside_fences(text: str, change: Any) -> str:
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def _public_names() -> str:
    names = [name for name in monai_cxr.__all__ if name != "__version__"]
    blocks = [f"::: monai_cxr.{monai_cxr._HOMES[name]}.{name}\n" for name in names]
    head = (
        "# The public API\n\nWhat `import monai_cxr` offers; it imports torch only when needed.\n\n"
    )
    return head + "\n".join(blocks)


def _room_pages() -> dict[str, str]:
    pages = {}
    for name in rooms():
        place = PACKAGE / name
        modules = [f"monai_cxr.{name}"]
        for file in sorted(place.rglob("*.py")) if place.is_dir() else []:
            parts = file.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__init__" and not parts[-1].startswith("_"):
                modules.append(".".join(parts))
        blocks = [
            f"::: {one}\n    options:\n      show_submodules: false\n      members_order: source\n"
            for one in modules
        ]
        pages[f"rooms/{name}.md"] = f"# {name}\n\n" + "\n".join(blocks)
    return pages


def _decisions() -> str:
    lines = []
    for page in sorted((DOCS / "decisions").glob("*.md")):
        title = page.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        lines.append(f"- [{title}]({page.name})")
    head = "# Decisions\n\nWhat was decided, in which situation, and what follows.\n\n"
    return head + "\n".join(lines)


def _linked_sources() -> list[str]:
    """Files outside ``docs/`` that pages link to, also by way of one another."""
    waiting = [path.relative_to(ROOT).as_posix() for path in sorted(DOCS.rglob("*.md"))]
    seen, found = set(waiting), []
    while waiting:
        at = waiting.pop()
        text = _FENCE.sub("", (ROOT / at).read_text(encoding="utf-8"))
        for target, _ in _LINK.findall(text):
            name = posixpath.normpath(posixpath.join(posixpath.dirname(at), target))
            outside = not name.startswith("docs/") and (ROOT / name).is_file()
            if outside and name not in seen:
                seen.add(name)
                found.append(name)
                if name.endswith(".md"):
                    waiting.append(name)
    return sorted(found)


def _source_page(name: str) -> str:
    return f"source/{name.removesuffix('.md').replace('README', 'readme')}.md"


def _source_text(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".md"):
        return text
    language = Path(name).suffix.lstrip(".")
    return f"# {Path(name).name}\n\n`{name}`\n\n```{language}\n{text}\n```\n"


def _repository_path(uri: str) -> str:
    if not uri.startswith("source/"):
        return f"docs/{uri}"
    return next((name for name in _linked_sources() if _source_page(name) == uri), uri)


def _link(match: re.Match[str], at: str, uri: str) -> str:
    target, anchor = match[1], match[2] or ""
    name = posixpath.normpath(posixpath.join(posixpath.dirname(at), target))
    if name == "docs/decisions":
        goal = "decisions/index.md"
    elif name.startswith("docs/"):
        goal = name.removeprefix("docs/")
    else:
        goal = _source_page(name)
    return f"]({os.path.relpath(goal, posixpath.dirname(uri) or '.')}{anchor})"
