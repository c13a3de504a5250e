"""Soak, the short version: every part is killed, and every neighbour fails, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dicom_peers import program
from postgres_peer import is_installed

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "soak_screening.py"


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_there_twice(packaged_bundle):
    program("Orthanc", package="orthanc orthanc-dicomweb")
    if os.geteuid() != 0:
        pytest.skip("The soak mounts a small disk: run as root.")
    command = [sys.executable, SCRIPT, "--bundle", packaged_bundle, "--films", "12", "--kills", "2"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["nothing_lost_nothing_twice"]
    n_reported = 12 - sum(said["refused_by_the_model"].values())
    assert n_reported > 6
    assert said["films_finished_once"] == said["films_delivered_once_each"] == n_reported
    assert said["reports_in_each_archive"] == n_reported
    assert said["archives_hold_the_same"]
    assert said["objects_under_another_name"] == said["ended_by_themselves"] == 0
    assert said["odd_answers"]
    assert said["kills"] >= 3  # one more while Orthanc is away
    assert [said[name] for name in ("orthanc_stops", "full_disks", "clock_jumps")] == [1, 1, 1]
    assert said.get("database_restarts", 0) == int(is_installed())
