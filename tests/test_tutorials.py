"""The tutorials, typed as written: commands run in order, on phantoms, with small settings."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from typed_pages import lines_of, shell

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
SMALL_DEMO = "--patients 24 --epochs 1"

ELSEWHERE = ("python3 -m venv", ". .venv", "pip install", "monai-cxr demo", "monai-cxr view")
"""Installation; the demo has a test of its own, and the viewer many."""


@pytest.fixture
def typing(monkeypatch, tmp_path, packaged_bundle, run_settings):
    """A shell in an empty folder, where the demo has left its bundle."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(packaged_bundle, tmp_path / "demo" / "bundle")
    return shell(monkeypatch, run_settings)


def type_lines(lines: list[str], typing) -> None:
    """Type every command that is not installed, drawn or opened elsewhere."""
    for line in lines:
        if not line.startswith(ELSEWHERE):
            typing(line)


def run_notebook(page: str, typing, capsys) -> list[str]:
    """Run the cells of a notebook in their order; what its Python cells print."""
    cells = json.loads((TUTORIALS / f"{page}.ipynb").read_text("utf-8"))["cells"]
    names: dict[str, object] = {}
    printed = ""
    for cell in cells:
        if cell["cell_type"] == "code" and cell["source"].startswith("%%bash\nset -e\n"):
            type_lines(cell["source"].splitlines()[2:], typing)
        elif cell["cell_type"] == "code":
            capsys.readouterr()
            exec(compile(cell["source"], page, "exec"), names)
            printed += capsys.readouterr().out
    return printed.splitlines()


def test_your_first_film_by_its_notebook(typing, capsys):
    lines = run_notebook("first-film", typing, capsys)
    row = pd.read_csv("film.csv").iloc[0]
    assert pd.isna(row["reason"])
    assert len(list(Path("explained").glob("*.png"))) > 0
    assert len(lines) == 14
    (effusion,) = [line.split() for line in lines if line.startswith("Effusion")]
    assert float(effusion[1]) == pytest.approx(row["probability_Effusion"], abs=0.0051)


@pytest.mark.slow
def test_train_on_chestxray14_by_its_notebook(typing, capsys):
    run_notebook("chestxray14", typing, capsys)
    content = json.loads(Path("report/performance.json").read_text(encoding="utf-8"))
    assert content["data"]["split"] == "test"
    assert Path("report/report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_bring_your_own_hospital_s_data(typing):
    type_lines(lines_of(TUTORIALS / "own-hospital.md"), typing)
    assert Path("acceptance/report.html").is_file()
    assert Path("comparison/comparison.json").is_file()
    assert Path("site-calibration.json").is_file()


def test_a_notebook_runs_in_a_kernel(tmp_path, monkeypatch):
    """All of it, as `make_notebooks.py --execute` does, with fewer patients."""
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name, reason="needs: pip install nbclient ipykernel")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    script = runpy.run_path(str(TUTORIALS / "make_notebooks.py"))
    text = script["text_of"]("first-film").replace("--patients 120 --epochs 3", SMALL_DEMO)
    (tmp_path / "first-film.ipynb").write_text(text, encoding="utf-8")
    script["execute"](tmp_path / "first-film.ipynb")
    assert len(list((tmp_path / "explained").glob("*.png"))) > 0
