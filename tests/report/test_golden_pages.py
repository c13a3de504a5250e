"""Golden pages: each kind of page says what it said, with every text escaped."""

from __future__ import annotations

import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
from golden_pages import FOLDER, pages


@pytest.mark.parametrize("name", sorted(pages()))
def test_says_what_it_said(name):
    golden = (FOLDER / name).read_text(encoding="utf-8")
    assert pages()[name] == golden, "Look, then: PYTHONPATH=. python tests/support/golden_pages.py"


@pytest.mark.parametrize("name", sorted(name for name in pages() if name.endswith(".txt")))
def test_text_from_outside_is_escaped(name):
    page = pages()[name]
    for text in ("<Model>", "not_<chest>", "<CT>", "1.2.4<i>", "tracker.example"):
        assert text not in page


def test_templates_read_from_a_zip(tmp_path, monkeypatch):
    """A package that lies in an archive finds its templates, as it does in a wheel."""
    import subprocess
    import sys

    root = Path(str(files("monai_cxr")))
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w") as package:
        for path in root.rglob("*"):
            if path.suffix in (".py", ".html", ".md", ".css", ".csv", ".json"):
                package.write(path, path.relative_to(root.parent))
    code = (
        "import monai_cxr; assert '.zip' in monai_cxr.__file__; "
        "from monai_cxr.report.rendering import render, style_sheet; "
        "print(render('page.html') + style_sheet('plots.css'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(archive)}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("svg .frame") == 2
