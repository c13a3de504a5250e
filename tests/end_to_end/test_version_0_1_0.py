"""What version 0.1.0 made goes on: its bundles are served, its runs continue."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from light_network import LIGHT_NETWORK
from zoo import MARKS_OF_MONAI, config_file

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.inference import input_table, predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.packaging import package
from monai_cxr.bundle.verification import verify
from monai_cxr.training.run import workflow

pytestmark = MARKS_OF_MONAI
NAME = "chest_xray_classification"
OLD = Path(__file__).parents[1] / "support" / "bundle_0_1_0" / NAME
"""The configs that the package had at version 0.1.0."""


@pytest.fixture(scope="module")
def old_run(phantom_index, tmp_path_factory) -> Path:
    """A run of one epoch, made by the configs of then."""
    run = tmp_path_factory.mktemp("old") / "run"
    workflow.train(workflow.prepare_run(OLD, phantom_index.path, run, settings(1)))
    return run


def settings(epochs: int) -> dict[str, object]:
    small = {"image_size": 32, "batch_size": 8, "num_workers": 0, "network_def": LIGHT_NETWORK}
    return {**small, "max_epochs": epochs}


def plainly(bundle: Path, films: Path, out: Path) -> pd.DataFrame:
    from monai.bundle import run

    options = {"meta_file": str(bundle / "configs" / "metadata.json"), "logging_file": False}
    places = {"bundle_root": str(bundle), "dataset_dir": str(films), "output_dir": str(out)}
    run(config_file=config_file(bundle, "inference"), **options, **places)
    return pd.read_csv(out / "findings.csv").set_index("image")


def test_a_run_begun_then_continues_with_its_own_configs(old_run, phantom_index, tmp_path):
    run = shutil.copytree(old_run, tmp_path / "moved run")
    before = read_config(run, "train")
    assert before["averaging"] == "@train::handlers::4"
    workflow.train(workflow.prepare_run(NAME, phantom_index.path, run, settings(2)))
    assert pd.read_csv(run / "metrics.csv")["epoch"].tolist() == [1, 2]
    last = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert last["epoch"] == 2
    moved = {"max_epochs": 2, "bundle_root": str(run.resolve())}
    assert read_config(run, "train") == before | moved
    assert json.loads((run / "run.json").read_text())["settings"]["max_epochs"] == 2


def test_a_bundle_packaged_of_it_is_verified_and_run_by_plain_monai(
    old_run, phantom_index, tmp_path
):
    package(old_run, tmp_path / "bundle")
    films = tmp_path / "films"
    films.mkdir()
    for i, path in enumerate(phantom_index.table["path"][:2]):
        shutil.copy(path, films / f"{i}.dcm")
    config = read_config(tmp_path / "bundle", "inference")
    assert config["handlers"][1]["images"] == "@datalist"  # as it was then
    assert len(verify(tmp_path / "bundle").findings) == 14
    table = plainly(tmp_path / "bundle", films, tmp_path / "out")
    assert table.index.tolist() == ["0.dcm", "1.dcm"]
    model = BundleModel.load(tmp_path / "bundle", device="cpu", runtime="torch")
    ours = predict_table(model, input_table([films], model.findings))
    np.testing.assert_allclose(table, ours[list(table.columns)], atol=1e-5)


@pytest.fixture(scope="module")
def cases(data_directory) -> Path:
    """A bundle and films of then, with what they gave; not part of the repository."""
    folder = data_directory.parent / "cases"
    if not (folder / "bundle_0_1_0").is_dir():
        pytest.skip("The bundle of version 0.1.0 is not beside the real data.")
    return folder


class TestBundleOfThen:
    @pytest.fixture
    def bundle(self, cases, tmp_path) -> Path:
        return Path(shutil.copytree(cases / "bundle_0_1_0", tmp_path / "bundle of then"))

    def test_verifies(self, bundle):
        assert verify(bundle).not_packaged == ()

    @pytest.mark.parametrize("runtime", ["torch", "onnx"])
    def test_gives_what_it_gave(self, cases, bundle, runtime):
        films = cases / "bundle_0_1_0_films"
        model = BundleModel.load(bundle, device="cpu", runtime=runtime)
        rows = [path for path in sorted(films.iterdir()) if path.suffix == ".dcm"]
        ours = predict_table(model, input_table(rows, model.findings))
        compare(ours.assign(name=[Path(path).name for path in ours["path"]]), films)

    def test_is_run_by_plain_monai(self, cases, bundle, tmp_path):
        films = cases / "bundle_0_1_0_films"
        table = plainly(bundle, films, tmp_path / "out").reset_index(names="name")
        compare(table[table["name"].str.endswith(".dcm")], films)


def compare(table: pd.DataFrame, films: Path) -> None:
    expected = pd.read_csv(films / "expected.csv")
    name = next(column for column in ("image", "path", "film", "sop_uid") if column in expected)
    expected = expected.set_index(expected[name].map(lambda path: Path(path).name))
    columns = [c for c in expected.columns if c.startswith("probability_") and c in table]
    assert len(columns) == 14
    found = table.set_index("name").loc[expected.index, columns]
    np.testing.assert_allclose(found, expected[columns], atol=1e-5)
