"""Published: weights of torchxrayvision as a bundle; without a network it says what to do."""

from __future__ import annotations

import math
import urllib.request

import pytest
import torch

from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.pretrained import OUTPUTS, package_published
from monai_cxr.bundle.verification import verify
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.networks.pretrained import published_weights

BUNDLE = "chest_xray_xrv"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network of torchxrayvision's with random weights, and thresholds for some findings."""
    import torchxrayvision as xrv

    torch.manual_seed(0)
    network = xrv.models.DenseNet()
    network.op_threshs = torch.tensor([0.1] * 13 + [math.nan] * 5)
    path = tmp_path_factory.mktemp("xrv") / "weights.pt"
    torch.save(network.state_dict(), path)
    return path


def test_a_file_becomes_a_bundle(weights, tmp_path):
    package_published(BUNDLE, str(weights), tmp_path / "xrv")
    verified = verify(tmp_path / "xrv")
    assert list(verified.findings) == read_config(find_bundle(BUNDLE), "inference")["findings"]
    model = BundleModel.load(tmp_path / "xrv", device="cpu")
    assert set(model.operating_points) == set(OUTPUTS[:13])
    point = model.operating_points["Mass"]
    assert (point.threshold, point.n) == (pytest.approx(0.1), 0)
    assert "torchxrayvision" in point.criterion


def test_weights_without_a_finding_are_refused(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    state["classifier.weight"], state["classifier.bias"] = (
        state["classifier.weight"][:5],
        state["classifier.bias"][:5],
    )
    torch.save(state, tmp_path / "small.pt")
    with pytest.raises(InvalidBundle, match="say nothing of"):
        package_published(BUNDLE, str(tmp_path / "small.pt"), tmp_path / "xrv")
    assert not (tmp_path / "xrv").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "source", ["torchvision:resnet18", "torchxrayvision:densenet121-res224-nih"]
)
def test_offline_it_says_what_to_do(source, tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(urllib.request, "_opener", None)  # remembers proxies
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match=r"could not be downloaded.*--weights FILE"):
        published_weights(source)


@pytest.mark.parametrize("source", ["torchvision:resnet19", "torchxrayvision:densenet9"])
def test_unknown_names(source):
    with pytest.raises(SettingsError, match="has no"):
        published_weights(source)
