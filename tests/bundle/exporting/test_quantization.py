"""Quantization: what int8 leaves in float32, how near it stays, and how it is served."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from monai_cxr.bundle.engines.openvino_engine import OpenVinoRuntime, the_core
from monai_cxr.bundle.exporting.quantization import quantize_openvino

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


@pytest.fixture(scope="module")
def films():
    return np.random.default_rng(0).normal(size=(32, 1, SIZE, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def quantized(network, films):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the tracing that OpenVINO uses
        model = openvino.convert_model(network, example_input=torch.zeros(1, 1, SIZE, SIZE))
        model.reshape([-1, 1, SIZE, SIZE])
        model.outputs[0].set_names({"logits"})
        return quantize_openvino(model, films)


def test_openvino_int8(network, films, quantized):
    kinds = [
        node.input_value(0).get_node().get_type_name()
        for node in quantized.get_ordered_ops()
        if node.get_type_name() in LAYERS
    ]
    assert [kind == "FakeQuantize" for kind in kinds] == [False, True, True, False, False]
    compiled = the_core().compile_model(quantized, "CPU")
    with torch.no_grad():
        exact = network(torch.from_numpy(films)).numpy()
    change = compiled(films)[0] - exact
    assert np.abs(change).max() > 0.0
    assert np.sqrt(np.mean(change**2)) < 0.05 * exact.std()


def test_two_films_a_call_are_the_same_to_the_last_bit_in_every_batch(films, quantized, tmp_path):
    openvino.save_model(quantized, tmp_path / "model.xml", compress_to_fp16=False)
    runtime = OpenVinoRuntime(tmp_path / "model.xml", "cpu", "int8")
    together = runtime.run(films).logits
    assert together.shape == (32, 3)
    assert len(np.unique(together, axis=0)) == 32
    for n in (1, 3, 4):
        starts = range(0, 32, n)
        with ThreadPoolExecutor(runtime.batches_at_once) as pool:  # as predict_chunks runs them
            parts = pool.map(lambda i, n=n: runtime.run(films[i : i + n]).logits, starts)
        assert np.array_equal(np.concatenate(list(parts)), together)
    assert np.array_equal(runtime.run(np.ascontiguousarray(films[::-1])).logits[::-1], together)
