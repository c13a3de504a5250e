"""Quantization: what int8 leaves in float32, and how near it stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_cxr.bundle.quantization import quantize_openvino

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")

SIZE = 16
LAYERS = ("Convolution", "MatMul")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    widths = [1, 8, 16, 16]
    layers = [
        layer
        for i in range(3)
        for layer in (torch.nn.Conv2d(widths[i], widths[i + 1], 3, padding=1), torch.nn.ReLU())
    ]
    pooled = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    head = [torch.nn.Linear(16, 8), torch.nn.Linear(8, 3)]
    return torch.nn.Sequential(*layers, *pooled, *head).eval()


@pytest.mark.filterwarnings("ignore")  # torch deprecates the tracing that OpenVINO uses
def test_openvino_int8(network):
    films = np.random.default_rng(0).normal(size=(32, 1, SIZE, SIZE)).astype(np.float32)
    model = openvino.convert_model(network, example_input=torch.zeros(1, 1, SIZE, SIZE))
    model.reshape([-1, 1, SIZE, SIZE])
    quantized = quantize_openvino(model, films)
    kinds = [
        node.input_value(0).get_node().get_type_name()
        for node in quantized.get_ordered_ops()
        if node.get_type_name() in LAYERS
    ]
    assert [kind == "FakeQuantize" for kind in kinds] == [False, True, True, False, False]
    compiled = openvino.Core().compile_model(quantized, "CPU")
    with torch.no_grad():
        exact = network(torch.from_numpy(films)).numpy()
    change = compiled(films)[0] - exact
    assert np.abs(change).max() > 0.0
    assert np.sqrt(np.mean(change**2)) < 0.05 * exact.std()
