"""Interruption: training that is killed or stopped, as users do it, ends in the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from monai_cxr.training.run import workflow

BUNDLE = "chest_xray_classification"


def command(index: Path, run: Path, settings: dict[str, object]) -> list[str]:
    given = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    options = [part for setting in given for part in ("--set", setting)]
    start = "from monai_cxr.cli import main; main()"
    verb = ["train", BUNDLE, "--index", str(index), "--out", str(run), *options]
    return ["nice", "-n", "15", sys.executable, "-c", start, *verb]  # slower than who stops it


def wait_until(condition, process: subprocess.Popen | None = None, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.02)


def saved(run: Path) -> int:
    """When the last checkpoint was written, in nanoseconds."""
    last = run / "checkpoints" / "last.pt"
    return last.stat().st_mtime_ns if last.is_file() else 0


def hear_ctrl_c() -> None:
    """As under a terminal; tests that run in the background inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Reads /proc.")
def test_killed_and_stopped_training_ends_in_the_same_weights(
    phantom_index, run_settings, tmp_path
):
    # Many epochs: whoever is slow to press Ctrl-C must still find training under way.
    run_settings = {**run_settings, "max_epochs": 12}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    workflow.train(workflow.prepare_run(BUNDLE, phantom_index.path, whole, run_settings))
    train = command(phantom_index.path, cut, run_settings)

    process = subprocess.Popen(train, stderr=subprocess.DEVNULL)
    wait_until(lambda: saved(cut) > 0, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(children) == 1
    wait_until(lambda: not alive(int(children[0])))  # nobody trains on unseen

    process = subprocess.Popen(
        train, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hear_ctrl_c
    )
    before = saved(cut)
    wait_until(lambda: saved(cut) > before, process)
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err

    workflow.train(workflow.prepare_run(BUNDLE, phantom_index.path, cut, run_settings))
    best = [run / "models" / "model.pt" for run in (cut, whole)]
    assert best[0].read_bytes() == best[1].read_bytes()
    last = [torch.load(run / "checkpoints" / "last.pt", weights_only=True) for run in (cut, whole)]
    for part in ("network", "optimizer"):
        states = [state[part].get("state", state[part]) for state in last]
        torch.testing.assert_close(*states, rtol=0, atol=0)
    tables = [pd.read_csv(run / "metrics.csv") for run in (cut, whole)]
    pd.testing.assert_frame_equal(*(table.drop(columns="images_per_second") for table in tables))
    assert tables[0]["epoch"].tolist() == list(range(1, run_settings["max_epochs"] + 1))
    assert not list(cut.rglob(".*.pt"))
