"""Pretraining: MONAI's plain command, alone and in two processes, gone on with, and handed over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from plain_monai import configs, typed
from typer.testing import CliRunner
from zoo import MARKS_OF_MONAI, config_file

from monai_cxr.bundle.config import check_targets, copy_bundle, find_bundle, read_config
from monai_cxr.bundle.presets import expand_settings
from monai_cxr.cli import app
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.tables import read_table, write_table
from monai_cxr.training.run.pretraining import BUNDLE
from monai_cxr.training.run.workflow import prepare_run, train

pytestmark = MARKS_OF_MONAI
NETWORK = {"architecture": "small_resnet", "network_options": {"width": 8}}
MOCO = {"pretext": "moco", "pretext_options": {"queue": 32}}
SMALL = {"image_size": 32, "batch_size": 8, "max_epochs": 2, "num_workers": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The bundle with a small network."""
    folder = tmp_path_factory.mktemp("pretraining") / BUNDLE
    source = find_bundle(BUNDLE)
    copy_bundle(source, folder, expand_settings(NETWORK | SMALL, read_config(source, "train")))
    return folder


@pytest.fixture(scope="module")
def pretrained(phantom_index, tmp_path_factory) -> Path:
    """A run by the verb. Read it, do not change it."""
    run = tmp_path_factory.mktemp("pretrained") / "run"
    done = pretrain(phantom_index.path, run, **MOCO)
    assert done.exit_code == 0, done.output
    return run


def pretrain(index: Path, run: Path, **settings: object):
    chosen = [f"{k}={json.dumps(v)}" for k, v in (NETWORK | SMALL | settings).items()]
    options = [word for text in chosen for word in ("--set", text)]
    return CliRunner().invoke(app, ["pretrain", str(index), "--out", str(run), *options])


class TestBundle:
    def test_metadata_fit_the_schema_and_classes_are_allowed(self, root, tmp_path):
        from monai.bundle import verify_metadata

        schema = Path(__file__).parents[1] / "schemas" / "meta_schema_20240725.json"
        (tmp_path / "eval").mkdir()
        shutil.copy(schema, tmp_path / "eval" / "schema.json")
        verify_metadata(
            meta_file=str(root / "configs" / "metadata.json"),
            filepath=str(tmp_path / "eval" / "schema.json"),
        )
        for name in ("train", "inference", "multi_gpu_train"):
            check_targets(read_config(root, name), name)
        assert "small_resnet" in read_config(root, "metadata")["description"]

    def test_configs_say_the_same(self):
        source = find_bundle(BUNDLE)
        train, inference = read_config(source, "train"), read_config(source, "inference")
        for name in ("image_size", "resize", "findings", "network_def"):
            assert train[name] == inference[name]
        assert train["train"]["preprocessing"] == inference["preprocessing"]

    def test_monai_misses_no_property(self, root, phantom_index):
        from monai.bundle import ConfigWorkflow

        workflow = ConfigWorkflow(
            config_file=config_file(root, "train"),
            meta_file=str(root / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="train",
            bundle_root=str(root),
            index=str(phantom_index.path),
        )
        workflow.initialize()
        assert not workflow.check_properties()


class TestRun:
    def test_logs_loss_and_collapse(self, pretrained):
        table = pd.read_csv(pretrained / "metrics.csv")
        assert list(table["epoch"]) == [1, 2]
        assert table["collapse"].between(0, 1).all()
        assert np.isfinite(table["loss"]).all()

    def test_goes_on_bit_for_bit(self, pretrained, phantom_index, tmp_path):
        """Ended after the first of two epochs and started again, it is the run that was not."""
        source = read_config(find_bundle(BUNDLE), "train")
        settings = expand_settings(NETWORK | SMALL | MOCO, source)
        command = prepare_run(BUNDLE, phantom_index.path, tmp_path / "cut", settings)
        train([*command, "--train::trainer::max_epochs", "1"])
        assert len(pd.read_csv(tmp_path / "cut" / "metrics.csv")) == 1
        train(command)
        ended = [
            torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["network"]
            for folder in (pretrained, tmp_path / "cut")
        ]
        assert all(torch.equal(value, ended[1][name]) for name, value in ended[0].items())

    def test_keeps_its_queue_and_hands_the_network_over(self, pretrained, phantom_index):
        state = torch.load(pretrained / "checkpoints" / "last.pt", weights_only=True)
        n_batches = (phantom_index.table["split"] == "train").sum() // 8
        assert int(state["network"]["place"]) == 2 * n_batches * 8 % 32
        names = torch.load(pretrained / "models" / "model.pt", weights_only=True)
        assert not any(name.startswith(("slow", "projector")) for name in names)

    def test_weights_go_on_and_features_are_probed(self, pretrained, phantom_index, tmp_path):
        settings = [f"{k}={json.dumps(v)}" for k, v in (NETWORK | SMALL).items()]
        options = [word for text in settings for word in ("--set", text)]
        command = ["train", "chest_xray_classification", "--index", str(phantom_index.path)]
        command += ["--out", str(tmp_path / "run"), "--set", f"initial_weights={pretrained}"]
        command += ["--set", "trainable=head"]
        done = CliRunner().invoke(app, [*command, *options])
        assert done.exit_code == 0, done.output
        before = torch.load(pretrained / "models" / "model.pt", weights_only=True)
        after = torch.load(tmp_path / "run" / "models" / "model.pt", weights_only=True)
        assert torch.equal(before["features.0.weight"], after["features.0.weight"])
        probe = ["probe", str(pretrained), str(phantom_index.path), "--share", "1", "--draws", "1"]
        done = CliRunner().invoke(app, [*probe, "--out", str(tmp_path), "--workers", "0"])
        assert done.exit_code == 0, done.output
        assert len(read_table(tmp_path / "curve.csv"))


class TestPlain:
    def test_barlow_twins_in_the_bundle_s_own_folder(self, root, phantom_index, tmp_path):
        from monai.bundle import run

        folder = tmp_path / "own"
        copy_bundle(root, folder, {"max_epochs": 1})
        run(
            config_file=config_file(folder, "train"),
            meta_file=str(folder / "configs" / "metadata.json"),
            logging_file=False,
            bundle_root=str(folder),
            index=str(phantom_index.path),
        )
        assert json.loads((folder / "run.json").read_text())["loss"] == {"name": "barlow_twins"}
        assert len(pd.read_csv(folder / "metrics.csv")) == 1

    def test_two_processes_learn_what_one_learns(self, root, phantom_index, tmp_path):
        """MONAI's plain command; the queue of both processes is the same one."""
        index, folder = ("--index", str(phantom_index.path)), tmp_path / "two"
        copy_bundle(root, folder, MOCO | {"pretext_options": {"queue": 64}, "max_epochs": 1})
        words = configs(folder, "train", "multi_gpu_train")
        typed(*words, *index, "--batch_size", "4", cwd=tmp_path, processes=2)
        state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
        norms = state["network"]["queue"].norm(dim=1)
        assert torch.allclose(norms, torch.ones(64), atol=1e-5)
        assert int(state["network"]["place"]) % 8 == 0


class TestRefused:
    def test_films_of_no_split(self, phantom_index, tmp_path):
        table = phantom_index.table
        table.loc[table["split"] == "val", "split"] = ""
        write_table(table, tmp_path / "index.parquet")
        done = pretrain(tmp_path / "index.parquet", tmp_path / "run")
        assert isinstance(done.exception, InvalidTable)
        assert "of no split" in str(done.exception)
        assert not (tmp_path / "run").exists()

    def test_weights_that_have_seen_the_judges(self, pretrained, phantom_index, tmp_path):
        table = phantom_index.table
        table["split"] = table["split"].replace({"train": "val", "val": "train"})
        write_table(table, tmp_path / "index.parquet")
        for weights in (pretrained, pretrained / "models" / "model.pt"):
            with pytest.raises(InvalidTable, match="were pretrained on"):
                prepare_run(
                    "chest_xray_classification",
                    tmp_path / "index.parquet",
                    tmp_path / "run",
                    {"initial_weights": str(weights), "batch_size": 8},
                )

    @pytest.mark.parametrize(
        ("setting", "said"),
        [({"pretext": "simclr"}, "pretext"), ({"pretext_options": {"depth": 3}}, "depth")],
    )
    def test_what_is_unknown(self, phantom_index, tmp_path, setting, said):
        with pytest.raises(SettingsError, match=said):
            prepare_run(BUNDLE, phantom_index.path, tmp_path, {"batch_size": 8} | setting)
