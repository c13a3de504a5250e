"""Documentation that is run: README's first block, every verb, every link."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bundles/*/docs/*.md")])


def test_readme_opens_with_the_two_commands():
    assert README.index("make demo") < README.index("make test") < 600


def test_readme_s_first_block_runs(packaged_bundle, phantom_index, tmp_path, monkeypatch, capsys):
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) <= 6
    shutil.copytree(packaged_bundle, tmp_path / "demo" / "bundle")
    shutil.copy(pd.read_parquet(phantom_index.path)["path"].iloc[0], tmp_path / "film.dcm")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    assert 0 <= float(capsys.readouterr().out) <= 1


@pytest.mark.parametrize("name", ["columns", "reasons", "settings", "verbs"])
def test_the_reference_is_what_the_code_says(name):
    script = ROOT / "docs" / "reference" / f"make_{name}.py"
    written = runpy.run_path(str(script))["page"]()
    page = script.with_name(f"{name}.md").read_text(encoding="utf-8")
    assert page == written, f"Run: python docs/reference/make_{name}.py"


@pytest.mark.parametrize("page", ["first-film", "chestxray14"])
def test_a_notebook_is_its_tutorial(page):
    script = ROOT / "docs" / "tutorials" / "make_notebooks.py"
    made = runpy.run_path(str(script))["text_of"](page)
    stored = script.with_name(f"{page}.ipynb").read_text(encoding="utf-8")
    assert stored == made, "Run: python docs/tutorials/make_notebooks.py"
    code = "\n".join(c["source"] for c in json.loads(made)["cells"] if c["cell_type"] == "code")
    text = script.with_name(f"{page}.md").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^    (monai-cxr (?!view).*)$", text, re.MULTILINE))
    assert verbs == set(re.findall(r"^(monai-cxr .*)$", code, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_index_leads_to_every_page():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    folders = ("tutorials", "how-to", "explanation", "reference", "results")
    pages = [page for folder in folders for page in (ROOT / "docs" / folder).glob("*.md")]
    assert [str(p) for p in pages if str(p.relative_to(ROOT / "docs")) not in index] == []


def test_decisions_say_their_status():
    for page in (ROOT / "docs" / "decisions").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert re.match(r"\d{4}-[a-z0-9-]+\.md", page.name)
        assert all(
            word in text
            for word in ("Status:", "**Context.**", "**Decision.**", "**Consequence.**")
        )
