"""One exported bundle for the tests of export and of the engines."""

from __future__ import annotations

import shutil

import pytest
import torch

from monai_cxr.bundle.config import read_config, write_config
from monai_cxr.bundle.digests import WEIGHTS_NAME, write_digests
from monai_cxr.bundle.export import export
from monai_cxr.bundle.torch_runtime import build_network

LIGHT = {
    **{"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 14},
    **{"init_features": 16, "growth_rate": 8, "block_config": [2, 2]},
}
"""A DenseNet in everything but size: it is exported in seconds."""


@pytest.fixture(scope="session")
def light_bundle(packaged_bundle, tmp_path_factory):
    """The packaged bundle with a small untrained network. Read it, do not change it."""
    bundle = shutil.copytree(packaged_bundle, tmp_path_factory.mktemp("light") / "bundle")
    for name in ("train", "inference"):
        write_config(bundle, name, read_config(bundle, name) | {"network_def": LIGHT})
    torch.manual_seed(0)
    network = build_network(read_config(bundle, "inference"))
    torch.save(network.state_dict(), bundle / WEIGHTS_NAME)
    write_digests(bundle)
    return bundle


@pytest.fixture(scope="session")
def exported_bundle(light_bundle, phantom_index, tmp_path_factory):
    """The light bundle with an fp32 export of each format. Read it, do not change it."""
    bundle = shutil.copytree(light_bundle, tmp_path_factory.mktemp("exported") / "bundle")
    for name in ("torchscript", "onnx", "openvino"):
        export(bundle, name, films=[phantom_index.path])
    return bundle


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """No test reads or writes what this machine remembers."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MONAI_CXR_CACHE", str(folder))
    return folder
