"""Workflow: the folder of a run, what it refuses, and MONAI's plain command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from monai_cxr.bundle.config import find_bundle, read_config, write_config
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.data.samplers import film_weights
from monai_cxr.errors import InvalidBundle, InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import write_table
from monai_cxr.training.initialisation import load_initial_weights
from monai_cxr.training.run import workflow

BUNDLE = "chest_xray_classification"


SMALL = {"batch_size": 8}
"""The films are few, and a batch must fill."""


def prepare(phantom_index, run: Path, **settings):
    return workflow.prepare_run(BUNDLE, phantom_index.path, run, {**SMALL, **settings})


def train_an_epoch(run: Path) -> None:
    """What tells that a run has something to lose."""
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "last.pt").touch()


class TestRunFolder:
    def test_is_a_bundle_with_its_settings(self, phantom_index, tmp_path):
        run = tmp_path / "run"
        settings = {"image_size": 48, "train::augmentation::rotate_degrees": 3, "max_epochs": 2}
        command = prepare(phantom_index, run, **settings)
        train, inference = read_config(run, "train"), read_config(run, "inference")
        assert train["image_size"] == inference["image_size"] == 48
        assert train["train"]["augmentation"]["rotate_degrees"] == 3
        image = read_config(run, "metadata")["network_data_format"]["inputs"]["image"]
        assert image["spatial_shape"] == [48, 48]
        assert command[1:4] == ["-m", "monai.bundle", "run"]
        assert Path(command[5]) == run / "configs" / "train.json"
        assert (run / "LICENSE").is_file()

    def test_the_manifest_says_what_was_trained_on(self, phantom_index, tmp_path):
        prepare(phantom_index, tmp_path, image_size=48)
        manifest = json.loads((tmp_path / "run.json").read_text())
        training = phantom_index.rows("train")
        assert manifest["settings"] == {**SMALL, "image_size": 48}
        assert manifest["data"]["n_images"]["train"] == len(training)
        for name in FINDING_NAMES:
            assert manifest["training_priors"][name] == training[name].mean()
            assert manifest["n_positive"][name] == training[name].sum()
        assert torch.__version__.startswith(manifest["versions"]["torch"])

    @pytest.mark.parametrize("weighting", ["none", "pos_weight"])
    def test_the_odds_that_sampling_multiplies_are_known(self, phantom_index, tmp_path, weighting):
        """Drawn by hand: the odds of a positive film in what the network sees, to those on disk."""
        training = phantom_index.rows("train")
        name = max(FINDING_NAMES, key=lambda finding: training[finding].mean())
        settings = {"sampling": "balanced", "weighting": weighting, "findings": [name, "Hernia"]}
        prepare(phantom_index, tmp_path, **settings)
        loss = json.loads((tmp_path / "run.json").read_text())["loss"]
        assert loss["sampling"] == "balanced"
        labels = torch.tensor(training[[name, "Hernia"]].to_numpy())
        drawn = film_weights(labels, "balanced", findings=[name, "Hernia"])
        seen = torch.multinomial(
            drawn, 200_000, replacement=True, generator=torch.Generator().manual_seed(0)
        )
        share, here = (float(column.mean()) for column in (labels[seen, 0], labels[:, 0]))
        weight = {"none": 1.0, "pos_weight": (1 - here) / here}[weighting]
        expected = weight * share / (1 - share) / (here / (1 - here))
        assert loss["positive_weights"][name] == pytest.approx(expected, rel=0.03)

    def test_names_no_patient(self, phantom_index, tmp_path):
        prepare(phantom_index, tmp_path)
        text = (tmp_path / "run.json").read_text()
        assert not any(patient in text for patient in set(phantom_index.table["patient_id"]))


class TestContinuing:
    def test_the_same_settings_or_more_epochs_continue(self, phantom_index, tmp_path):
        prepare(phantom_index, tmp_path, image_size=48, max_epochs=2)
        prepare(phantom_index, tmp_path, image_size=48, max_epochs=2)
        prepare(phantom_index, tmp_path, image_size=48, max_epochs=5)
        assert read_config(tmp_path, "train")["max_epochs"] == 5

    def test_other_settings_are_another_run(self, phantom_index, tmp_path):
        prepare(phantom_index, tmp_path, image_size=48)
        train_an_epoch(tmp_path)
        before = (tmp_path / "configs" / "train.json").read_bytes()
        with pytest.raises(SettingsError, match=r"other settings \(there: image_size=48\)"):
            prepare(phantom_index, tmp_path, image_size=64)
        assert (tmp_path / "configs" / "train.json").read_bytes() == before

    def test_before_the_first_epoch_a_setting_can_be_mended(self, phantom_index, tmp_path):
        prepare(phantom_index, tmp_path, learning_rate=1e30)
        prepare(phantom_index, tmp_path, learning_rate=0.01)
        assert read_config(tmp_path, "train")["learning_rate"] == 0.01
        assert json.loads((tmp_path / "run.json").read_text())["settings"]["learning_rate"] == 0.01

    def test_a_run_that_another_process_trains_keeps_its_configs(self, phantom_index, tmp_path):
        prepare(phantom_index, tmp_path, image_size=48)
        before = (tmp_path / "configs" / "train.json").read_bytes()
        hold = (
            "import sys; from pathlib import Path; from monai_cxr.training.run.run_lock import "
            "take_lock; held = take_lock(Path(sys.argv[1])); print(1, flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", hold, str(tmp_path / "checkpoints")]
        other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.readline()
        with pytest.raises(SettingsError, match="Another process is training this run"):
            prepare(phantom_index, tmp_path, image_size=64)
        other.communicate()
        assert (tmp_path / "configs" / "train.json").read_bytes() == before
        prepare(phantom_index, tmp_path, image_size=64)

    def test_other_data_are_another_run(self, phantom_index, tmp_path):
        prepare(phantom_index, tmp_path / "run")
        train_an_epoch(tmp_path / "run")
        write_table(phantom_index.table.iloc[1:], tmp_path / "other.parquet")
        with pytest.raises(SettingsError, match="a run with other data"):
            workflow.prepare_run(BUNDLE, tmp_path / "other.parquet", tmp_path / "run", SMALL)

    def test_another_bundle_is_another_run(self, phantom_index, tmp_path):
        bundle = tmp_path / BUNDLE
        shutil.copytree(find_bundle(BUNDLE), bundle)
        workflow.prepare_run(bundle, phantom_index.path, tmp_path / "run", SMALL)
        train_an_epoch(tmp_path / "run")
        write_config(bundle, "train", read_config(bundle, "train") | {"learning_rate": 1.0})
        with pytest.raises(SettingsError, match="a run with other bundle configs"):
            workflow.prepare_run(bundle, phantom_index.path, tmp_path / "run", SMALL)

    def test_a_run_is_not_made_in_its_bundle(self, phantom_index, tmp_path):
        bundle = tmp_path / BUNDLE
        shutil.copytree(find_bundle(BUNDLE), bundle)
        with pytest.raises(SettingsError, match="the bundle itself"):
            workflow.prepare_run(bundle, phantom_index.path, bundle, SMALL)


class TestRefusals:
    def test_an_unknown_setting_names_the_known(self, phantom_index, tmp_path):
        with pytest.raises(SettingsError, match=r"'image_sise'.*image_size"):
            prepare(phantom_index, tmp_path / "run", image_sise=48)
        assert not (tmp_path / "run" / "run.json").exists()

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_a_split_that_is_absent(self, phantom_index, tmp_path, split):
        table = phantom_index.table
        write_table(table[table["split"] != split], tmp_path / "index.parquet")
        with pytest.raises(InvalidTable, match=f"no row of split '{split}'"):
            workflow.prepare_run(BUNDLE, tmp_path / "index.parquet", tmp_path / "run", SMALL)

    @pytest.mark.parametrize("names", [["Mass", "Pneumothroax"], ["Fracture"]])
    def test_a_finding_that_nobody_knows(self, phantom_index, tmp_path, names):
        with pytest.raises(InvalidTable, match=rf"has a label of {names[-1]}\.") as caught:
            prepare(phantom_index, tmp_path / "run", findings=names)
        assert caught.value.reason == "no_labels"

    def test_transfer_cannot_be_packaged_is_told_before_training(self, phantom_index, tmp_path):
        table = phantom_index.table.drop(columns="Hernia")
        write_table(table, tmp_path / "index.parquet")
        wanted = r"1 of 14 findings have no label in train.*: Hernia.*--set findings=Atelectasis,"
        with pytest.raises(InvalidTable, match=wanted):
            workflow.prepare_run(BUNDLE, tmp_path / "index.parquet", tmp_path / "run", SMALL)
        assert not (tmp_path / "run").exists()
        thirteen = {**SMALL, "findings": [name for name in FINDING_NAMES if name != "Hernia"]}
        workflow.prepare_run(BUNDLE, tmp_path / "index.parquet", tmp_path / "run", thirteen)
        empty = table.assign(**dict.fromkeys(set(FINDING_NAMES) & {*table.columns}, np.nan))
        write_table(empty, tmp_path / "empty.parquet")
        with pytest.raises(InvalidTable, match="No training film has a label of Atelectasis, "):
            workflow.prepare_run(BUNDLE, tmp_path / "empty.parquet", tmp_path / "other", SMALL)

    def test_a_split_that_leaks(self, phantom_index, tmp_path):
        table = phantom_index.table
        table["patient_id"] = table["patient_id"].iloc[0]
        write_table(table, tmp_path / "index.parquet")
        with pytest.raises(InvalidTable) as caught:
            workflow.prepare_run(BUNDLE, tmp_path / "index.parquet", tmp_path / "run", SMALL)
        assert caught.value.reason == "split_leaks"

    @pytest.mark.parametrize("target", ["DenseNet122", "os.system", "torch.nn.NoSuchLoss"])
    def test_a_class_that_is_unknown_or_forbidden(self, phantom_index, tmp_path, target):
        bundle = tmp_path / BUNDLE
        shutil.copytree(find_bundle(BUNDLE), bundle)
        config = read_config(bundle, "train")
        config["train"]["loss"]["_target_"] = target
        write_config(bundle, "train", config)
        with pytest.raises(InvalidBundle, match=f"configs/train.json names the class '{target}'"):
            workflow.prepare_run(bundle, phantom_index.path, tmp_path / "run", SMALL)
        assert not (tmp_path / "run").exists()

    def test_a_setting_that_names_a_forbidden_class(self, phantom_index, tmp_path):
        with pytest.raises(InvalidBundle, match="outside the allowed modules"):
            prepare(phantom_index, tmp_path, **{"train::loss::_target_": "subprocess.run"})

    @pytest.mark.parametrize(
        ("batch_size", "message"),
        [(10_000, "less than one batch"), (0, "whole number"), (8.5, "whole number")],
    )
    def test_a_batch_that_never_fills(self, phantom_index, tmp_path, batch_size, message):
        with pytest.raises(SettingsError, match=message):
            prepare(phantom_index, tmp_path / "run", batch_size=batch_size)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("stated", [{"Fracture": 0.1}, {"Mass": 1.0}])
    def test_an_impossible_prevalence(self, phantom_index, tmp_path, stated):
        with pytest.raises(SettingsError, match="Expected prevalence as shares"):
            prepare(phantom_index, tmp_path, prevalence=stated)

    def test_a_missing_index(self, tmp_path):
        with pytest.raises(InvalidTable) as caught:
            workflow.prepare_run(BUNDLE, tmp_path / "no.parquet", tmp_path / "run", SMALL)
        assert caught.value.reason == "missing_file"


class TestInitialWeights:
    def test_are_loaded_where_a_path_is_given(self, tmp_path):
        definition = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1}
        one, two = (build_network({"network_def": definition}) for _ in range(2))
        torch.save(one.state_dict(), tmp_path / "model.pt")
        load_initial_weights(two, "")
        assert not torch.equal(one.weight, two.weight)
        load_initial_weights(two, str(tmp_path / "model.pt"))
        assert torch.equal(one.weight, two.weight)

    def test_of_another_network_are_refused(self, tmp_path):
        torch.save(torch.nn.Linear(3, 1).state_dict(), tmp_path / "model.pt")
        with pytest.raises(InvalidBundle, match="to another network"):
            load_initial_weights(torch.nn.Linear(2, 1), str(tmp_path / "model.pt"))


class TestTrain:
    def test_what_it_made(self, trained_run, run_settings):
        table = pd.read_csv(trained_run / "metrics.csv")
        assert table["epoch"].tolist() == list(range(1, run_settings["max_epochs"] + 1))
        assert table["val_macro_auroc"].between(0, 1).all()
        state = torch.load(trained_run / "models" / "model.pt", weights_only=True)
        build_network(read_config(trained_run, "inference")).load_state_dict(state)

    def test_a_failure_is_told(self, phantom_index, tmp_path):
        prepare(phantom_index, tmp_path)
        command = [sys.executable, "-c", "raise SystemExit(5)", "--bundle_root", str(tmp_path)]
        with pytest.raises(workflow.TrainingFailed, match=r"status 5.*with other settings"):
            workflow.train(command)
        train_an_epoch(tmp_path)
        with pytest.raises(workflow.TrainingFailed, match="the same command continues"):
            workflow.train(command)
