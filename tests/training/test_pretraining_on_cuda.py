"""Pretraining, teachers and newer heads rehearsed on tensors that say ``cuda`` (``fake_cuda``)."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from fake_cuda import Transfers, autocast_believes_in_a_gpu, on_cuda
from torch._subclasses.fake_tensor import FakeTensorMode

from monai_cxr.bundle.engines.observed import ObservedNetwork
from monai_cxr.data.augmentation import BatchAugmentation
from monai_cxr.data.pairs import PreparePairs
from monai_cxr.networks.builders import build
from monai_cxr.networks.contrastive import PRETEXTS, Embedder, pretext_network
from monai_cxr.networks.grown import grow
from monai_cxr.networks.joined import Joined, disagreement
from monai_cxr.networks.training_form import training_form
from monai_cxr.networks.wrappers import INPUT_RANGES
from monai_cxr.training.distillation import DistillationLoss
from monai_cxr.training.losses import FindingLoss
from monai_cxr.training.pretext import PretextLoss
from monai_cxr.training.weighting import WEIGHTINGS

__all__ = ["autocast_believes_in_a_gpu"]

SIDE, FILMS, FINDINGS = 64, 4, 3
LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
EVA_X = {"patch_size": 16, "ref_feat_shape": [14, 14]}
"""As ``eva-x-tiny-cxr14`` of the register builds it, at a smaller size."""

pytestmark = pytest.mark.usefixtures("autocast_believes_in_a_gpu")


def small_resnet() -> torch.nn.Module:
    return build("small_resnet", 1, FINDINGS, image_size=SIDE, options={"width": 8})


def fake(*shape: int) -> torch.Tensor:
    """Zeros that say ``cuda``; call it in the fake mode."""
    made = torch.zeros(shape, device="cuda")
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else made


@pytest.mark.parametrize("pretext", PRETEXTS)
def test_a_step_of_pretraining_makes_four_copies_and_reads_nothing(pretext):
    """Two films of each pair and the numbers of two augmentations go up; nothing comes down."""
    options = {"queue": 8} if pretext == "moco" else {"width": 16}
    network = pretext_network(Embedder(training_form(small_resnet())), pretext, options).train()
    prepare, loss, count = PreparePairs(BatchAugmentation()), PretextLoss(pretext), Transfers()
    films = torch.zeros((FILMS, 1, SIDE, SIDE), dtype=torch.uint8)
    batch = {"image": films, "partner": films, "label": torch.empty(FILMS, 0)}
    with FakeTensorMode(allow_non_fake_inputs=True), count:
        on_cuda(network)
        views, labels = prepare(batch, torch.device("cuda"))
        assert (views.device.type, len(views)) == ("cuda", 2 * FILMS)
        assert views.is_contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16):
            outputs = network(views)
        value = loss(outputs, labels)
    assert (value.device.type, value.dtype, value.requires_grad) == ("cuda", torch.float32, True)
    assert (count.copies, count.reads) == (["cpu to cuda"] * 4, [])


@pytest.mark.parametrize("pretext", PRETEXTS)
def test_gradients_of_pretraining_stay_on_one_device(pretext, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no meta
    network = pretext_network(Embedder(training_form(small_resnet())), pretext).train().to("meta")
    views = torch.zeros((2 * FILMS, 1, SIDE, SIDE), device="meta")
    PretextLoss(pretext)(network(views), torch.empty(FILMS, 0)).backward()
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    assert {weight.grad.device.type for weight in learning} == {"meta"}


@pytest.mark.parametrize("name", ["densenet121", "small_resnet"])
def test_class_attention_gives_logits_and_maps_on_one_device(name):
    network = build(name, 1, FINDINGS, image_size=SIDE, head="csra")
    observed = ObservedNetwork(network, SIDE)
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_cuda(observed).train()
        with torch.autocast("cuda", torch.bfloat16):
            logits = network(fake(FILMS, 1, SIDE, SIDE))
        assert (logits.device.type, tuple(logits.shape)) == ("cuda", (FILMS, FINDINGS))
        with torch.inference_mode():
            outputs = observed.eval()(fake(FILMS, 1, SIDE, SIDE))
    assert {output.device.type for output in outputs} == {"cuda"}
    assert len(outputs) >= 3


@pytest.mark.parametrize(
    ("name", "input_range", "options"),
    [
        *(("small_resnet", one, {"width": 8}) for one in INPUT_RANGES if one != "eva_x"),
        ("timm:eva02_tiny_patch14_224", "eva_x", EVA_X),
    ],
)
def test_published_inputs_are_made_on_the_device(name, input_range, options):
    if name.startswith("timm:"):
        pytest.importorskip("timm", reason="needs the extra timm")
    network = build(name, 1, FINDINGS, image_size=SIDE, input_range=input_range, options=options)
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_cuda(network).train()
        with torch.autocast("cuda", torch.bfloat16):
            logits = network(fake(FILMS, 1, SIDE, SIDE))
        value = FindingLoss(LABELS)(logits, fake(FILMS, FINDINGS))
    assert (value.device.type, value.dtype, value.requires_grad) == ("cuda", torch.float32, True)


def test_exclusive_classes_a_grown_finding_and_an_ensemble_stay_on_one_device():
    exclusive = build("small_resnet", 1, FINDINGS, image_size=SIDE, exclusive=True)
    grown = grow(small_resnet())
    joined = Joined([small_resnet(), small_resnet()], [[0, 1, 2], [2, 1, 0]])
    with FakeTensorMode(allow_non_fake_inputs=True):
        films = fake(FILMS, 1, SIDE, SIDE)
        shapes = [tuple(on_cuda(one)(films).shape) for one in (exclusive, grown, joined)]
        spread = disagreement(joined.of_each(films))
    assert shapes == [(FILMS, FINDINGS), (FILMS, FINDINGS + 1), (FILMS, FINDINGS)]
    assert spread.device.type == "cuda"


def test_a_teacher_s_loss_is_computed_where_the_logits_are():
    loss = DistillationLoss(FindingLoss(LABELS))
    with FakeTensorMode(allow_non_fake_inputs=True):
        value = loss(fake(FILMS, FINDINGS).requires_grad_(), fake(FILMS, 2 * FINDINGS))
    assert (value.device.type, value.requires_grad) == ("cuda", True)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_every_weighting_is_computed_where_the_logits_are(weighting):
    loss = FindingLoss(LABELS, weighting, label_smoothing=0.1, forget_rate=0.1)
    loss.set_epoch(5)
    with FakeTensorMode(allow_non_fake_inputs=True):
        value = loss(fake(FILMS, FINDINGS).requires_grad_(), fake(FILMS, FINDINGS))
    assert value.device.type == "cuda"
