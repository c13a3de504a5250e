"""Attempts that begin by themselves: the line of cron, and the timer with its unit, as typed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.lifecycle.attempt import read_attempt
from monai_cxr.lifecycle.registry import open_registry
from monai_cxr.lifecycle.retraining import next_attempt

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = ("monai-cxr-retrain.service", "monai-cxr-retrain.timer")
PROGRAM = "/opt/monai-cxr/bin/monai-cxr"
ATTEMPTS = "/var/lib/monai-cxr-models/attempts"


def line_of_the_unit() -> str:
    return re.search(r"^ExecStart=(.+)$", (DEPLOY / UNITS[0]).read_text(), re.MULTILINE)[1]


def line_of_cron() -> str:
    page = (ROOT / "docs" / "how-to" / "change-a-model.md").read_text()
    return re.search(r"^ {4}30 2 \* \* \* (.+)$", page, re.MULTILINE)[1]


def test_cron_and_the_timer_run_the_same():
    assert line_of_cron() == line_of_the_unit()
    assert "%" not in line_of_cron()  # cron and systemd take it for something else


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed.")
def test_systemd_takes_the_units(tmp_path):
    for name in UNITS:
        text = (DEPLOY / name).read_text().replace(PROGRAM, "/bin/true")
        (tmp_path / name).write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert not (found.returncode, found.stderr)[0], found.stderr


def test_the_service_cannot_write_where_the_registry_lies():
    service = (DEPLOY / "monai-cxr-screening.service").read_text()
    writable = [
        path
        for line in service.splitlines()
        if line.startswith("ReadWritePaths=")
        for path in line.partition("=")[2].split()
    ]
    assert "ProtectSystem=strict" in service
    assert writable
    assert not any(Path(ATTEMPTS).is_relative_to(path) for path in writable)


def test_the_line_makes_an_attempt_when_one_is_due_and_goes_on_with_one(site, monkeypatch):
    plan = site.sealed(more="[triggers]\nevery_days = 1")
    line = line_of_cron().replace("/etc/monai-cxr/plan.toml", str(plan))
    line = line.replace(ATTEMPTS, str(site / "attempts"))
    program, *words = shlex.split(line)
    assert program == PROGRAM
    today = CliRunner().invoke(app, words)
    assert (today.exit_code, today.stdout) == (0, "No attempt is due.\n")
    assert not (site / "attempts").exists()
    import time

    later = time.time() + 2 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    due = CliRunner().invoke(app, words)
    assert due.exit_code == 0, due.output
    assert "Calendar" in due.stderr
    (made,) = (site / "attempts").iterdir()
    assert read_attempt(made).outcome == "passed"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", made.name)
    assert open_registry(site / "registry").champions == (
        read_attempt(made).content["basis"]["champion"],
    )
    # A second one of the day gets its own folder; one that was cut short is gone on with.
    second = next_attempt(plan, site / "attempts")
    assert second.name == f"{made.name}-2"
    shutil.copytree(made, second)
    record = read_attempt(second)
    record.note(outcome="")
    assert next_attempt(plan, site / "attempts") == second
    other = site.sealed(name="other.toml", goal="auroc")
    assert next_attempt(other, site / "attempts").name == f"{made.name}-3"


def test_one_of_both_folders_is_named(site):
    plan = str(site.sealed())
    for words in ([], ["--out", "a", "--attempts", "b"]):
        done = CliRunner().invoke(app, ["retrain", plan, *words])
        assert "--out DIR for one attempt, or --attempts DIR" in str(done.exception)
