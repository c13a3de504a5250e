"""One exported bundle for the tests of export and of the engines."""

from __future__ import annotations

import shutil

import pytest

from monai_cxr.bundle.config import read_config, write_config
from monai_cxr.bundle.digests import write_digests
from monai_cxr.bundle.exporting.network import export


@pytest.fixture(scope="session")
def exported_bundle(packaged_bundle, phantom_index, tmp_path_factory):
    """The packaged bundle with an fp32 export of each format. Read it, do not change it."""
    bundle = shutil.copytree(packaged_bundle, tmp_path_factory.mktemp("exported") / "bundle")
    for name in ("torchscript", "onnx", "openvino"):
        export(bundle, name, films=[phantom_index.path])
    return bundle


@pytest.fixture(scope="session")
def other_bundle(packaged_bundle, tmp_path_factory):
    """The same network, fed at another size. Read it, do not change it."""
    bundle = shutil.copytree(packaged_bundle, tmp_path_factory.mktemp("other") / "other")
    config = read_config(bundle, "inference") | {"image_size": 48, "resize": "pad"}
    write_config(bundle, "inference", config)
    write_digests(bundle)
    return bundle


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """No test reads or writes what this machine remembers."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MONAI_CXR_CACHE", str(folder))
    return folder
