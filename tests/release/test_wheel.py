"""The wheel: what the package reads at run time is in it, and nothing of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_wheel_holds_every_file_of_the_package(tmp_path):
    pytest.importorskip("hatchling", reason="comes with the extra dev")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "monai_cxr", "clinical_app", "bundles"],
        **{"cwd": ROOT, "capture_output": True, "text": True, "check": True},
    ).stdout.split()
    expected = {f"monai_cxr/_{n}" if n.startswith("bundles/") else n for n in tracked}
    assert sorted(expected - held) == []
    others = {name for name in held - expected if ".dist-info/" not in name}
    assert sorted(others) == []
    assert any(name.endswith("/licenses/LICENSE") for name in held)
