"""Exports of bundles with class attention, plain and with a finding added from a few films."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from monai_cxr.bundle.config import read_config, write_config
from monai_cxr.bundle.digests import WEIGHTS_NAME, write_digests
from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.learning.few_shot import add_finding
from monai_cxr.bundle.model import BundleModel
from monai_cxr.tables import read_table, write_table


@pytest.fixture(scope="module")
def attended(packaged_bundle, tmp_path_factory):
    """The bundle's own weights under a CSRA head."""
    bundle = shutil.copytree(packaged_bundle, tmp_path_factory.mktemp("csra") / "bundle")
    for name in ("train", "inference"):
        config = read_config(bundle, name)
        inner = {**config["network_def"], "out_channels": 14}
        target = "monai_cxr.networks.class_attention.ClassAttention"
        head = {"_target_": target, "network": inner, "image_size": 32, "strength": 0.5}
        write_config(bundle, name, config | {"network_def": head})
    state = torch.load(bundle / WEIGHTS_NAME, weights_only=True)
    torch.save({f"network.{name}": value for name, value in state.items()}, bundle / WEIGHTS_NAME)
    write_digests(bundle)
    return bundle


@pytest.fixture(scope="module")
def grown(attended, phantom_index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown")
    table = phantom_index.table
    patients = {name: i % 2 for i, name in enumerate(sorted(table["patient_id"].unique()))}
    write_table(table.assign(Gout=table["patient_id"].map(patients)), folder / "index.parquet")
    add_finding(attended, "Gout", folder / "index.parquet", folder / "bundle", workers=0)
    return folder


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_say_what_torch_says(attended, grown, phantom_index, tmp_path, kind):
    films = sorted(phantom_index.films.rglob("*.dcm"))[:4]
    rows = phantom_index.rows("test").head(4)
    for name, source in (("plain", attended), ("grown", grown / "bundle")):
        bundle = shutil.copytree(source, tmp_path / name)
        export(bundle, kind, films=films)  # refuses what differs
        tables = [
            predict_table(BundleModel.load(bundle, runtime=r), rows, workers=0, cam=True)
            for r in ("torch", kind)
        ]
        columns = [c for c in tables[0] if c.startswith(("logit_", "probability_"))]
        assert len(columns) == (28 if name == "plain" else 30)
        np.testing.assert_allclose(tables[1][columns], tables[0][columns], atol=1e-3)
        maps = [np.stack(list(table["cam_Nodule"])) for table in tables]
        np.testing.assert_allclose(maps[1], maps[0], atol=1e-3)


def test_a_finding_that_is_added_is_the_linear_model(attended, grown):
    rows = read_table(grown / "index.parquet").head(5)
    old = predict_table(BundleModel.load(attended, runtime="torch"), rows, workers=0)
    model = BundleModel.load(grown / "bundle", runtime="torch")
    new = predict_table(model, rows, workers=0, embeddings=True)
    names = [c for c in old if c.startswith(("logit_", "probability_"))]
    assert new[names].equals(old[names])
    head = model.runtime.observed.head
    features = torch.tensor(np.stack(list(new["embedding"])))
    expected = features @ head.weight[-1] + head.bias[-1]
    np.testing.assert_allclose(new["logit_Gout"], expected.detach(), atol=1e-4)
