"""MONAI's plain training command: changed by others, in several processes, killed and gone on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from dicom_peers import free_port
from light_network import LIGHT_NETWORK
from plain_monai import QUIET, configs
from zoo import MARKS_OF_MONAI, config_file

from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.model import BundleModel

pytestmark = MARKS_OF_MONAI
SMALL = {"image_size": 32, "batch_size": 8, "max_epochs": 1, "num_workers": 0}


@pytest.fixture
def root(tmp_path) -> Path:
    """The bundle with a network like its own in everything but size."""
    light = {**LIGHT_NETWORK, "out_channels": "$len(@findings)"}
    folder = tmp_path / "my bundle"
    copy_bundle(find_bundle("chest_xray_classification"), folder, {"network_def": light})
    return folder


def train(root: Path, index: Path, *more_configs: str, **override: object) -> None:
    from monai.bundle import run

    options = {"meta_file": str(root / "configs" / "metadata.json"), "logging_file": False}
    files = [*config_file(root, "train"), *more_configs]
    run(config_file=files, bundle_root=str(root), index=str(index), **options, **SMALL, **override)


def test_handlers_by_position(root, phantom_index, tmp_path):
    """A handler put before the others, as MONAI Label does, takes nobody's place."""
    first = {"_target_": "StatsHandler", "name": "first", "iteration_log": False}
    handlers = [first, *read_config(root, "train")["train"]["handlers"]]
    train(root, phantom_index.path, **{"train::handlers": handlers, "ema_decay": 0.5})
    last = torch.load(root / "checkpoints" / "last.pt", weights_only=True)
    assert last["epoch"] == 1
    assert any("averaged" in name for name in last)
    assert len(pd.read_csv(root / "metrics.csv")) == 1


def test_no_config_refers_to_a_place_in_a_list(root):
    for name in ("train", "inference", "evaluate", "multi_gpu_train"):
        text = (root / "configs" / f"{name}.json").read_text(encoding="utf-8")
        assert "handlers::" not in text.replace('"validate::handlers"', "")


def test_outputs_not_tied_to_findings(root, phantom_index):
    """Findings and the size by MONAI's own means: outputs, inference and metadata follow."""
    two = ["Effusion", "Pneumonia"]
    train(root, phantom_index.path, findings=two)
    inference = read_config(root, "inference")
    assert (inference["findings"], inference["image_size"]) == (two, 32)
    weights = torch.load(root / "models" / "model.pt", weights_only=True)
    build_network(inference).load_state_dict(weights)
    assert BundleModel.load(root, device="cpu", runtime="torch").findings == tuple(two)
    metadata = read_config(root, "metadata")
    formats = metadata["network_data_format"]
    assert formats["outputs"]["pred"]["num_channels"] == 2
    assert formats["inputs"]["image"]["spatial_shape"] == [32, 32]
    assert "2 findings" in metadata["task"]


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="This torch has no torch.distributed."
)
def test_ddp_resume_segfault(root, phantom_index, tmp_path):
    """Two processes, killed after an epoch and started again, end in the weights of a whole run.

    Dropout draws from each process's own generator, so that a state that is not restored shows.
    """
    network = {**read_config(root, "train")["network_def"], "dropout_prob": 0.2}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        copy_bundle(root, folder, {"network_def": network})
    assert start(whole, phantom_index.path).wait(600) == 0
    process = start(cut, phantom_index.path)
    last = cut / "checkpoints" / "last.pt"
    deadline = time.monotonic() + 300
    while not last.is_file():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert torch.load(last, weights_only=True)["epoch"] < 5
    assert start(cut, phantom_index.path).wait(600) == 0
    ended = [torch.load(p / "checkpoints" / "last.pt", weights_only=True) for p in (whole, cut)]
    assert [state["epoch"] for state in ended] == [5, 5]
    for name, value in ended[0]["network"].items():
        assert torch.equal(ended[1]["network"][name], value), name
    assert all(len(kept) == 2 for kept in ended[1]["random"])


def start(root: Path, index: Path) -> subprocess.Popen[bytes]:
    """torchrun with two processes, in a group of their own."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"),
        *("--master_addr=127.0.0.1", f"--master_port={free_port()}", "-m", "monai.bundle"),
        *configs(root, "train", "multi_gpu_train"),
        *("--index", str(index), "--image_size", "32", "--batch_size", "4"),
        *("--num_workers", "0", "--max_epochs", "5"),
    ]
    return subprocess.Popen(command, env=os.environ | QUIET, start_new_session=True)
