"""Bundles run as a user of MONAI would type it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from dicom_peers import free_port
from light_network import LIGHT_NETWORK
from zoo import BUNDLES, MARKS, SMALL, config_file

from monai_cxr.bundle.config import copy_bundle, read_config
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.model import BundleModel
from monai_cxr.preprocessing import normalise, prepare
from monai_cxr.reading.files import read_radiograph
from monai_cxr.training.metrics import per_finding_auroc

pytestmark = MARKS


def test_inference_gives_the_probabilities_of_the_model(bundle, phantom_index, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for i, path in enumerate(phantom_index.table["path"][:3]):
        shutil.copy(path, folder / f"film_{i}.dcm")
    subprocess.run(
        [
            *(sys.executable, "-m", "monai.bundle", "run"),
            *("--config_file", "configs/inference.json"),
            *("--dataset_dir", str(folder), "--output_dir", str(tmp_path / "out")),
        ],
        cwd=bundle,
        check=True,
    )
    table = pd.read_csv(tmp_path / "out" / "findings.csv")
    model = BundleModel.load(bundle, device="cpu")
    assert table["image"].tolist() == [f"film_{i}.dcm" for i in range(3)]
    for name, row in table.set_index("image").iterrows():
        scores = model.predict([read_radiograph(folder / name)])[0].scores
        columns = [f"probability_{score.finding}" for score in scores]
        assert columns == table.columns[1:].tolist()
        expected = [score.probability for score in scores]
        np.testing.assert_allclose(row[columns].astype(float), expected, atol=1e-5)


def test_train_then_evaluate(source, bundle, phantom_index, tmp_path):
    from monai.bundle import run

    root = tmp_path / "run"
    copy_bundle(source, root, {})
    override = {"bundle_root": str(root), "index": str(phantom_index.path), **SMALL}
    override |= {"train::augmentation::rotate_degrees": 3.0, "weighting": "chexnet"}
    options = {"meta_file": str(root / "configs" / "metadata.json"), "logging_file": False}
    run(config_file=config_file(root, "train"), **options, **override)
    state = torch.load(root / "models" / "model.pt", weights_only=True)
    assert state.keys() == build_network(read_config(root, "train")).state_dict().keys()
    assert len(pd.read_csv(root / "metrics.csv")) == 1

    run(config_file=config_file(root, "train", "evaluate"), **options, **override)
    lines = (root / "eval" / "metrics.csv").read_text().splitlines()
    measured = {name: float(value) for name, value in (line.split(",") for line in lines)}
    expected = auroc(root, phantom_index, "test")
    assert measured["val_macro_auroc"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="This torch has no torch.distributed."
)
def test_two_processes_train_one_network(source, phantom_index, tmp_path):
    if source != BUNDLES[0]:
        pytest.skip("Its configs differ from the first bundle's in network and crop alone.")
    root = tmp_path / "run"
    copy_bundle(source, root, {"network_def": LIGHT_NETWORK})
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"),
        *("--master_addr=127.0.0.1", f"--master_port={free_port()}"),
        *("-m", "monai.bundle", "run"),
        *("--config_file", str(config_file(root, "train", "multi_gpu_train"))),
        *("--meta_file", str(root / "configs" / "metadata.json")),
        *("--bundle_root", str(root), "--index", str(phantom_index.path)),
        *("--image_size", "32", "--batch_size", "4", "--num_workers", "0"),
        *("--max_epochs", "2"),
    ]
    hidden = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    subprocess.run(command, check=True, timeout=600, env=os.environ | hidden)
    table = pd.read_csv(root / "metrics.csv")
    assert table["epoch"].tolist() == [1, 2]
    last = torch.load(root / "checkpoints" / "last.pt", weights_only=True)
    plain = build_network(read_config(root, "train")).state_dict()
    assert last["network"].keys() == plain.keys()
    best = torch.load(root / "models" / "model.pt", weights_only=True)
    assert best.keys() == plain.keys()
    n_train = len(phantom_index.rows("train"))
    assert last["iteration"] == 2 * (-(-n_train // 2) // 4)  # half of the films in each
    # An odd number of films to validate: each is counted once, by the weights of rank 0.
    expected = auroc(root, phantom_index, "val")
    assert table["val_macro_auroc"].max() == pytest.approx(expected, abs=1e-6)


def auroc(root: Path, phantom_index, split: str) -> float:
    """Macro AUROC of a run's weights, film by film."""
    config = read_config(root, "inference")
    model = build_network(config).eval()
    model.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    rows = phantom_index.rows(split)
    resize = config["resize"]
    films = [normalise(prepare(read_radiograph(path), 32, resize=resize)) for path in rows["path"]]
    with torch.no_grad():
        logits = model(torch.from_numpy(np.stack(films))[:, None])
    labels = torch.tensor(rows[config["findings"]].to_numpy())
    return float(np.nanmean([*per_finding_auroc(logits, labels, config["findings"]).values()]))
