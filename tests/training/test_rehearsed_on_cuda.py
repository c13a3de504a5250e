"""A GPU rehearsed without one: tensors that say ``cuda`` and hold nothing go through the training.

Under torch's ``FakeTensorMode`` an operation on tensors of two devices raises, as it does on a GPU,
and so does reading a number. Autograd's engine asks for a real GPU, so gradients go through the
``meta`` device, on which tensors of two devices raise just so. A speed is not claimed here.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_cuda import Transfers, autocast_believes_in_a_gpu, on_cuda
from ignite.engine import Engine
from monai.networks.nets import DenseNet
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

from monai_cxr.bundle.engines.observed import ObservedNetwork
from monai_cxr.bundle.explaining.saliency import _occlusion
from monai_cxr.data.augmentation import BatchAugmentation, PrepareBatch
from monai_cxr.networks.builders import NETWORKS, build
from monai_cxr.networks.training_form import training_form
from monai_cxr.training.failures import LOOK_EVERY, StopOnNaN
from monai_cxr.training.losses import LOSSES, FindingLoss
from monai_cxr.training.progress import EpochProgress
from monai_cxr.training.step import compiled

__all__ = ["autocast_believes_in_a_gpu"]

SIDE, FILMS, FINDINGS = 64, 4, 3


pytestmark = pytest.mark.usefixtures("autocast_believes_in_a_gpu")


def cached_batch() -> dict[str, torch.Tensor]:
    """A batch as the cache gives it: on the CPU, in uint8."""
    images = torch.zeros((FILMS, 1, SIDE, SIDE), dtype=torch.uint8)
    return {"image": images, "label": torch.zeros((FILMS, FINDINGS))}


def small_densenet() -> torch.nn.Module:
    return DenseNet(2, 1, FINDINGS, init_features=8, growth_rate=4, block_config=(2, 2))


def loss_of(name: str = "bce") -> FindingLoss:
    return FindingLoss(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), name=name)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture_trains_on_one_device(name):
    network = training_form(build(name, 1, FINDINGS, image_size=SIDE)).train().to("meta")
    images = torch.zeros((FILMS, 1, SIDE, SIDE), device="meta")
    loss_of()(network(images), torch.zeros((FILMS, FINDINGS), device="meta")).backward()
    assert {weight.grad.device.type for weight in network.parameters()} == {"meta"}

    prepare, loss = PrepareBatch(BatchAugmentation()), loss_of()
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_cuda(network)
        images, labels = prepare(cached_batch(), torch.device("cuda"))
        assert images.is_contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16):
            logits = network(images)
        assert (logits.device.type, tuple(logits.shape)) == ("cuda", (FILMS, FINDINGS))
        value = loss(logits, labels)
        assert (value.device.type, value.dtype) == ("cuda", torch.float32)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_computed_where_the_logits_are(name):
    loss = loss_of(name)
    with FakeTensorMode(allow_non_fake_inputs=True):
        logits = torch.zeros((FILMS, FINDINGS), device="cuda", requires_grad=True)
        value = loss(logits, torch.zeros((FILMS, FINDINGS), device="cuda"))
        assert value.device.type == "cuda"
        assert value.requires_grad


@pytest.mark.parametrize("name", ["densenet121", "resnet18", "vit_small", "lenet"])
def test_inference_gives_logits_embedding_and_maps_on_one_device(name):
    observed = ObservedNetwork(build(name, 1, FINDINGS, image_size=SIDE).eval(), SIDE)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        on_cuda(observed)
        outputs = observed(torch.zeros((FILMS, 1, SIDE, SIDE), device="cuda"))
    assert len(outputs) >= (3 if name == "densenet121" else 1)
    assert {output.device.type for output in outputs} == {"cuda"}


def test_a_map_by_occlusion_is_computed_on_one_device(monkeypatch):
    """One by the class activation comes with the logits; one by gradients needs them."""

    def shape_alone(tensor):
        assert tensor.device.type == "cpu"
        return np.zeros(tensor.shape, dtype=np.float32)

    monkeypatch.setattr(FakeTensor, "numpy", shape_alone, raising=False)
    network = small_densenet().eval()
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_cuda(network)
        maps = _occlusion(network, torch.zeros((1, 1, SIDE, SIDE), device="cuda"), [0, 2])
    assert len(maps) == 2


def test_a_training_step_makes_three_copies_and_waits_for_none(tmp_path):
    """Films, labels and the numbers of the augmentation go up; nothing comes down."""
    network = training_form(build("small_resnet", 1, FINDINGS, image_size=SIDE)).train()
    prepare, loss, count = PrepareBatch(BatchAugmentation()), loss_of(), Transfers()
    stop, progress = StopOnNaN(), EpochProgress(Engine(lambda *_: None), "m", str(tmp_path / "t"))
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_cuda(network)
        loss.to("cuda")
        optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)

        def step(iteration: int) -> None:
            images, labels = prepare(cached_batch(), torch.device("cuda"))
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16):
                logits = network(images)
            value = loss(logits, labels)
            for weight in network.parameters():  # as the backward pass would leave them
                weight.grad = torch.empty_like(weight)
            optimizer.step()
            output = {"loss": value, "label": labels}
            engine = SimpleNamespace(state=SimpleNamespace(output=output, iteration=iteration))
            stop(engine)
            progress._advance(engine)

        step(1)  # the optimiser's own state comes to be
        with count:
            for iteration in range(2, 5):
                step(iteration)
        assert count.copies == ["cpu to cuda"] * 9
        assert count.reads == []
        with pytest.raises(DataDependentOutputException):  # it looks at last, and the count can see
            step(LOOK_EVERY)


def test_a_compiled_step_has_no_graph_break():
    network, loss = training_form(small_densenet()).train(), loss_of()
    assert compiled(network, wanted=True) is network

    def step(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return loss(network(images), labels)

    torch._dynamo.reset()
    said = torch._dynamo.explain(step)(torch.zeros(2, 1, 32, 32), torch.zeros(2, FINDINGS))
    torch._dynamo.reset()
    assert (said.graph_break_count, said.graph_count) == (0, 1), said.break_reasons
