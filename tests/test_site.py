"""The documentation site: it builds strictly, is whole, and fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

import monai_cxr
from monai_cxr.cli import app

ROOT = Path(__file__).resolve().parents[1]


class Targets(HTMLParser):
    """What a page loads, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(given["href"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    out = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", out]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return out


@pytest.fixture(scope="module")
def targets(site):
    found = {}
    for page in site.rglob("*.html"):
        found[page] = Targets()
        found[page].feed(page.read_text(encoding="utf-8"))
    return found


def test_every_public_name_and_every_module_has_its_place(site):
    api = (site / "reference" / "api.html").read_text(encoding="utf-8")
    names = [name for name in monai_cxr.__all__ if name != "__version__"]
    assert [n for n in names if not re.search(rf'id="monai_cxr\.[\w.]*{n}"', api)] == []
    rooms = "".join(p.read_text(encoding="utf-8") for p in (site / "rooms").glob("*.html"))
    paths = [p.relative_to(ROOT).with_suffix("") for p in (ROOT / "monai_cxr").rglob("*.py")]
    modules = [".".join(p.parts) for p in paths if not p.name.startswith("_")]
    assert [m for m in modules if f'id="{m}"' not in rooms] == []


def test_every_verb_has_its_place(site):
    verbs = runpy.run_path(str(ROOT / "docs" / "reference" / "make_verbs.py"))["commands"]
    names = [name for name, _ in verbs(typer.main.get_command(app))]
    page = (site / "reference" / "verbs.html").read_text(encoding="utf-8")
    assert len(names) > 40
    assert [n for n in names if f'id="{n.replace(" ", "-")}"' not in page] == []


def test_every_page_of_the_list_is_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    pages = re.findall(r"\]\(([\w/-]+\.md)\)", (ROOT / "docs" / "README.md").read_text("utf-8"))
    assert len(pages) > 20
    assert [p for p in pages if f'href="{p.removesuffix(".md")}.html"' not in home] == []


def test_nothing_is_fetched_from_elsewhere(targets):
    assert {one for found in targets.values() for one in found.loads if "//" in one} == set()


def test_no_link_is_dead(targets):
    text = {page: page.read_text(encoding="utf-8") for page in targets}
    dead = []
    for page, found in targets.items():
        for link in found.links:
            target, _, anchor = link.partition("#")
            if "//" in target or target.startswith(("mailto:", "/")) or page.name == "404.html":
                continue
            goal = (page.parent / target).resolve() if target else page
            goal = goal / "index.html" if goal.is_dir() else goal
            if not goal.exists() or (anchor and f'id="{anchor}"' not in text.get(goal, "")):
                dead.append(f"{page.name}: {link}")
    assert dead == []


def test_examples_of_docstrings_are_shown_as_code(site):
    page = (site / "rooms" / "prediction.html").read_text(encoding="utf-8")
    assert "<blockquote>" not in page
    assert ":class:" not in page
