"""Recipes: what a config can ask of training, run as MONAI runs it, on tiny films with a truth."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.packaging import package
from monai_cxr.bundle.presets import read_preset
from monai_cxr.data.sets.medmnist import index_medmnist
from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.networks.small import LeNet
from monai_cxr.reading.files import read_radiograph
from monai_cxr.tables import read_table, write_table
from monai_cxr.training.failures import causes
from monai_cxr.training.run.runs import compare_runs, find_runs
from monai_cxr.training.run.workflow import prepare_run

BUNDLE = "chest_xray_classification"
TINY = {
    "findings": ["Pneumonia"],
    "architecture": "lenet",
    "image_size": 28,
    "batch_size": 16,
    "num_workers": 0,
    "max_epochs": 2,
    "learning_rate": 0.003,
}
N_TRAIN = 64

pytestmark = [
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader"),
    pytest.mark.filterwarnings("ignore:parsing config_file"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A MedMNIST file in which pneumonia is a bright patch in a noisy film."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", N_TRAIN), ("val", 40)):
        films = rng.integers(40, 120, (n, 28, 28))
        labels = np.arange(n) % 2
        films[labels == 1, 10:16, 6:12] += 90
        arrays[f"{split}_images"] = films.astype(np.uint8)
        arrays[f"{split}_labels"] = labels[:, None].astype(np.uint8)
    path = tmp_path_factory.mktemp("medmnist") / "pneumoniamnist.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def index(archive) -> Path:
    path = archive.parent / "index.parquet"
    write_table(index_medmnist(archive, archive.parent / "films"), path)
    return path


def run_monai(run: Path, **override) -> None:
    from monai.bundle import run as monai_run

    monai_run(
        config_file=str(run / "configs" / "train.json"),
        meta_file=str(run / "configs" / "metadata.json"),
        logging_file=False,
        bundle_root=str(run),
        **override,
    )


def train(index: Path, run: Path, **settings) -> Path:
    prepare_run(BUNDLE, index, run, {**TINY, **settings})
    run_monai(run)
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "models" / "model.pt", weights_only=True)


EVERYTHING = {
    "max_epochs": 3,
    "ema_decay": 0.9,
    "ema_warm_up": 4,
    "accumulation_steps": 2,
    "clip_norm": 0.5,
    "loss": "focal",
    "loss_options": {"gamma": 1.0},
    "forget_rate": 0.2,
    "forget_epochs": 2,
    "label_smoothing": 0.05,
    "deterministic": True,
    "tensorboard": True,
    "patience": 5,
}


class TestEverythingOn:
    @pytest.fixture(scope="class")
    def whole(self, index, tmp_path_factory) -> Path:
        return train(index, tmp_path_factory.mktemp("whole") / "run", **EVERYTHING)

    def test_an_interrupted_run_ends_with_the_same_weights(self, index, whole, tmp_path):
        run = tmp_path / "run"
        prepare_run(BUNDLE, index, run, {**TINY, **EVERYTHING})
        run_monai(run, **{"train::trainer::max_epochs": 2})
        assert len(pd.read_csv(run / "metrics.csv")) == 2
        run_monai(run)
        ours, theirs = (
            torch.load(path / "checkpoints" / "last.pt", weights_only=True) for path in (run, whole)
        )
        for part in ("network", "averaged"):
            assert all(torch.equal(v, theirs[part][k]) for k, v in ours[part].items())
        assert weights(run).keys() == weights(whole).keys()
        assert all(torch.equal(v, weights(whole)[k]) for k, v in weights(run).items())

    def test_the_averaged_weights_are_what_is_validated(self, whole):
        last = torch.load(whole / "checkpoints" / "last.pt", weights_only=True)
        table = pd.read_csv(whole / "metrics.csv")
        if table["val_macro_auroc"].idxmax() == len(table) - 1:
            assert all(torch.equal(v, last["averaged"][k]) for k, v in weights(whole).items())
        assert not all(torch.equal(v, last["network"][k]) for k, v in weights(whole).items())

    def test_an_optimiser_steps_once_for_two_batches(self, whole):
        last = torch.load(whole / "checkpoints" / "last.pt", weights_only=True)
        steps = {float(state["step"]) for state in last["optimizer"]["state"].values()}
        assert steps == {3 * N_TRAIN // 16 / 2}

    def test_the_folder_shows_how_it_learned(self, whole):
        picture = (whole / "curves.svg").read_text()
        assert picture.startswith("<svg")
        assert "Macro AUROC of validation" in picture
        assert list((whole / "tensorboard").glob("events.*"))
        assert {"val_loss", "val_macro_auroc_Pneumonia"} <= set(
            pd.read_csv(whole / "metrics.csv").columns
        )

    def test_the_manifest_says_how(self, whole):
        manifest = json.loads((whole / "run.json").read_text())
        assert manifest["loss"] == {"name": "focal", "weighting": "pos_weight_sqrt"}
        assert manifest["hardware"]["cores"] == os.cpu_count()
        assert manifest["seed"] == 0
        rates = pd.read_csv(whole / "metrics.csv")["images_per_second"]
        rate = {"images_per_second": pytest.approx(rates.median(), abs=0.06), "epochs": 3}
        assert manifest["throughput"] == rate

    def test_a_finished_run_that_is_asked_for_again_keeps_its_throughput(self, index, whole):
        before = json.loads((whole / "run.json").read_text())
        prepare_run(BUNDLE, index, whole, {**TINY, **EVERYTHING})
        assert json.loads((whole / "run.json").read_text()) == before


@pytest.mark.parametrize("training", [True, False])
def test_out_of_memory_names_the_knobs_and_keeps_what_was_trained(
    index, training, tmp_path, monkeypatch
):
    """Raised where a GPU would: in a forward pass, of training or validation, of epoch 2."""
    prepare_run(BUNDLE, index, tmp_path, TINY)
    run_monai(tmp_path, **{"train::trainer::max_epochs": 1})
    before = (tmp_path / "checkpoints" / "last.pt").read_bytes()
    forward = LeNet.forward

    def out_of_memory(self, x):
        if self.training == training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return forward(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(LeNet, "forward", out_of_memory)
        with pytest.raises(RuntimeError) as caught:
            run_monai(tmp_path)
    reason = next(cause for cause in causes(caught.value) if isinstance(cause, SettingsError))
    assert "Set batch_size=8 with accumulation_steps=2" in str(reason)
    assert "weights are kept, and train --from this run starts at them" in str(reason)
    assert (tmp_path / "checkpoints" / "last.pt").read_bytes() == before
    run_monai(tmp_path)
    assert pd.read_csv(tmp_path / "metrics.csv")["epoch"].tolist() == [1, 2]


class TestTasks:
    @pytest.fixture(scope="class")
    def classes(self, archive, tmp_path_factory) -> Path:
        folder = tmp_path_factory.mktemp("classes")
        names = ["Normal", "Pneumonia"]
        table = index_medmnist(archive, archive.parent / "films", findings=names)
        write_table(table, folder / "index.parquet")
        settings = {"findings": names, "task": "multi_class", "scope": "any", "max_epochs": 3}
        return train(folder / "index.parquet", folder / "run", **settings)

    def test_exclusive_classes_report_their_accuracy(self, classes):
        table = pd.read_csv(classes / "metrics.csv")
        assert table["val_accuracy"].between(0, 1).all()

    def test_exclusive_classes_go_through_the_same_bundle(self, classes, archive, tmp_path):
        package(classes, tmp_path / "bundle")
        model = BundleModel.load(tmp_path / "bundle", device="cpu")
        films = [read_radiograph(path) for path in sorted((archive.parent / "films").glob("val*"))]
        logits = model.logits(np.stack([model.prepare(film) for film in films[:6]]))
        shares = 1 / (1 + np.exp(-logits))
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        rows = read_table(classes / "index.parquet").query("split == 'val'")
        scored = load_predictions(predict_table(model, rows.reset_index(drop=True), workers=0))
        found = evaluate(scored, n_bootstrap=0, subgroups=False).classification
        assert (found.classes, found.n) == (("Normal", "Pneumonia"), len(rows))
        metadata = read_config(tmp_path / "bundle", "metadata")
        pred = metadata["network_data_format"]["outputs"]["pred"]
        assert pred["channel_def"] == {"0": "Normal", "1": "Pneumonia"}

    def test_one_finding_has_no_accuracy_column_and_the_weights_of_chexnet(self, index, tmp_path):
        settings = read_preset(find_bundle(BUNDLE), "pneumonia")
        run = train(index, tmp_path / "run", **{**settings, "max_epochs": 1})
        assert "val_accuracy" not in pd.read_csv(run / "metrics.csv").columns
        loss = json.loads((run / "run.json").read_text())["loss"]
        assert loss["weighting"] == "chexnet"
        assert loss["positive_weights"]["Pneumonia"] == pytest.approx(1.0)  # as many of each


class TestPresets:
    def test_chexnet_keeps_the_epoch_of_lowest_validation_loss(self, index, tmp_path):
        settings = {**read_preset(find_bundle(BUNDLE), "chexnet"), **TINY}
        del settings["input_range"]
        run = train(index, tmp_path / "run", **settings)
        last = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
        table = pd.read_csv(run / "metrics.csv")
        assert last["best_value"] == pytest.approx(table["val_loss"].min())
        assert last["scheduler"]["last_epoch"] == len(table)


class TestTransfer:
    def test_a_probe_keeps_the_backbone_and_the_shared_finding(self, index, tmp_path):
        first = train(index, tmp_path / "first", scope="any")
        package(first, tmp_path / "bundle")
        settings = {
            "initial_weights": str(tmp_path / "bundle"),
            "findings": ["Hernia", "Pneumonia"],
            "trainable": "head",
            "max_epochs": 1,
            "learning_rate": 1e-9,
        }
        names = {k: v for k, v in TINY.items() if k not in ("findings", "architecture")}
        table = read_table(index)
        other = tmp_path / "other.parquet"
        write_table(table.assign(Hernia=1 - table["Pneumonia"]), other)
        prepare_run(tmp_path / "bundle", other, tmp_path / "second", {**names, **settings})
        run_monai(tmp_path / "second")
        before, after = weights(tmp_path / "bundle"), weights(tmp_path / "second")
        head = "classifier.5.weight"
        assert after[head].shape[0] == 2
        torch.testing.assert_close(after[head][1:], before[head], atol=1e-6, rtol=1e-4)
        assert all(torch.equal(v, before[k]) for k, v in after.items() if "classifier.5" not in k)
        package(tmp_path / "second", tmp_path / "again")
        for path in (tmp_path / "again" / "configs").iterdir():
            assert str(tmp_path) not in path.read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="This machine trains on its GPU.")
def test_mixed_precision_reaches_the_network_on_a_cpu(index, tmp_path):
    """MONAI's trainer casts on CUDA alone, and said nothing of it."""
    tables = [
        pd.read_csv(train(index, tmp_path / str(amp), amp=amp, max_epochs=1) / "metrics.csv")
        for amp in (False, True)
    ]
    for name in ("loss", "val_loss"):
        exact, half = (float(table[name].iloc[0]) for table in tables)
        assert half != exact
        assert half == pytest.approx(exact, rel=0.02)


class TestRuns:
    def test_are_compared_by_what_differs(self, index, tmp_path):
        for name, rate in (("a", 0.003), ("b", 0.0001)):
            train(index, tmp_path / name, learning_rate=rate, max_epochs=1)
        table = compare_runs(find_runs([tmp_path]))
        assert sorted(table["run"]) == ["a", "b"]
        assert set(table["learning_rate"]) == {"0.003", "0.0001"}
        assert table["val_macro_auroc"].is_monotonic_decreasing
        assert "architecture" not in table

    def test_one_that_was_not_validated_yet_has_no_auroc(self, index, tmp_path):
        train(index, tmp_path / "a", max_epochs=3, val_interval=2)
        table = pd.read_csv(tmp_path / "a" / "metrics.csv")
        assert table["val_macro_auroc"].isna().tolist() == [True, False, True]
        assert compare_runs([tmp_path / "a"])["best_epoch"].tolist() == [2]
        first = table.loc[[0], ["epoch", "loss", "learning_rate", "images_per_second"]]
        first.to_csv(tmp_path / "a" / "metrics.csv", index=False)  # as after the first epoch
        assert compare_runs([tmp_path / "a"])["val_macro_auroc"].isna().all()


@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="This torch has no torch.distributed."
)
def test_two_processes_are_one_with_twice_the_batch(index, tmp_path):
    """One batch holds all films, so that their order is no difference; LeNet has no statistics."""
    still = {
        f"train::augmentation::{name}": 0.0
        for name in ("rotate_degrees", "scale", "translate", "brightness", "contrast", "gamma")
    }
    settings = {**TINY, **still, "max_epochs": 3}
    one, two = tmp_path / "one", tmp_path / "two"
    train(index, one, **{**settings, "batch_size": N_TRAIN})
    prepare_run(BUNDLE, index, two, {**settings, "batch_size": N_TRAIN // 2})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    names = [str(two / "configs" / f"{name}.json") for name in ("train", "multi_gpu_train")]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"),
        *("--master_addr=127.0.0.1", f"--master_port={port}", "-m", "monai.bundle", "run"),
        *("--config_file", str(names), "--bundle_root", str(two)),
        *("--meta_file", str(two / "configs" / "metadata.json")),
    ]
    hidden = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    subprocess.run(command, check=True, timeout=900, env=os.environ | hidden)
    ours, theirs = (
        torch.load(run / "checkpoints" / "last.pt", weights_only=True)["network"]
        for run in (two, one)
    )
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=2e-4, rtol=1e-3, msg=name)
