"""The tutorials, typed as written: commands run in order, on phantoms, with small settings."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from monai_cxr import cli

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
PATIENTS, SIZE = 24, 96
"""What takes minutes at the page's sizes."""

ELSEWHERE = ("python3 -m venv", ". .venv", "pip install", "monai-cxr demo", "monai-cxr view")
"""Installation; the demo has a test of its own, and the viewer many."""


def commands(page: str) -> list[str]:
    """The indented command lines of a page, in order."""
    text = re.sub(r"```.*?```", "", (TUTORIALS / page).read_text("utf-8"), flags=re.DOTALL)
    return re.findall(r"^    (\S.*)$", text, re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    text = (TUTORIALS / page).read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def smaller(words: list[str], run_settings: dict[str, object]) -> list[str]:
    """A command with the sizes of a test in place of the page's."""
    if words[1] == "phantom":
        at = words.index("--patients") + 1
        words[at] = str(min(int(words[at]), PATIENTS))
        return [*words, "--size", str(SIZE)]
    if words[1] == "cache":
        return [*words, "--size", str(run_settings["image_size"])]
    if words[1] in ("evaluate", "compare"):
        return [*words, "--bootstrap", "100"]
    if words[1] == "train":
        keys = ("batch_size", "num_workers") if "--from" in words else tuple(run_settings)
        small = {**{key: run_settings[key] for key in keys}, "max_epochs": 1}
        given = [w for w in words if not w.startswith("max_epochs=") and w != "--set"]
        return [
            *given,
            *(f"{k}={v if k != 'network_def' else json.dumps(v)}" for k, v in small.items()),
        ]
    return words


@pytest.fixture
def shell(monkeypatch, tmp_path, packaged_bundle, run_settings):
    """A shell in an empty folder, where the demo has left its bundle."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(packaged_bundle, tmp_path / "demo" / "bundle")

    def run(line: str) -> None:
        words = shlex.split(line)
        if words[0] != "monai-cxr":
            subprocess.run(["bash", "-euc", line], check=True, timeout=60)
            return
        monkeypatch.setattr(sys, "argv", smaller(words, run_settings))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code in (0, None), line

    return run


def type_page(page: str, shell) -> None:
    """Type every command of a page that is not installed, drawn or opened elsewhere."""
    for line in commands(page):
        if not line.startswith(ELSEWHERE):
            shell(line)


def test_your_first_film(shell, capsys):
    type_page("first-film.md", shell)
    row = pd.read_csv("film.csv").iloc[0]
    assert pd.isna(row["reason"])
    assert len(list(Path("explained").glob("*.png"))) > 0
    capsys.readouterr()
    (block,) = blocks("first-film.md", "python")
    exec(compile(block, "first-film.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14
    (effusion,) = [line.split() for line in lines if line.startswith("Effusion")]
    assert float(effusion[1]) == pytest.approx(row["probability_Effusion"], abs=0.0051)


@pytest.mark.slow
def test_train_on_chestxray14(shell):
    type_page("chestxray14.md", shell)
    content = json.loads(Path("report/performance.json").read_text(encoding="utf-8"))
    assert content["data"]["split"] == "test"
    assert Path("report/report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_bring_your_own_hospital_s_data(shell):
    type_page("own-hospital.md", shell)
    assert Path("acceptance/report.html").is_file()
    assert Path("comparison/comparison.json").is_file()
    assert Path("site-calibration.json").is_file()
