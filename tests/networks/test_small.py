"""Small networks: a pooling that exports must still be torch's pooling."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from monai_cxr.bundle.engines.observed import ObservedNetwork
from monai_cxr.bundle.exporting.formats import file_names, write_network
from monai_cxr.networks import build
from monai_cxr.networks.small import MeanTo


@pytest.mark.parametrize("height", [3, 5, 10, 12, 54])
@pytest.mark.parametrize("width", [5, 14, 17])
def test_mean_is_adaptive_pooling(height, width):
    maps = torch.randn(2, 3, height, width)
    expected = functional.adaptive_avg_pool2d(maps, 5)
    torch.testing.assert_close(MeanTo(5)(maps), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("size", [28, 64, 100])
def test_a_lenet_of_any_size_exports_to_onnx(size, tmp_path):
    import onnxruntime

    network = build("lenet", out_channels=3, image_size=size).eval()
    observed = ObservedNetwork(network, size).eval()
    films = torch.randn(5, 1, size, size)
    write_network(observed, size, tmp_path, "onnx", "fp32", films[:2].numpy())
    path = tmp_path / file_names("onnx", "fp32")[0]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"image": films.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(logits), network(films).detach())
