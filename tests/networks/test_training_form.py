"""Training form: the same outputs, gradients, weights and names, whatever the processor."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from monai_cxr.networks import build
from monai_cxr.networks.pooling_order import pool_before_convolution
from monai_cxr.networks.training_form import ProductGradientConv2d, training_form, weight_gradient


@given(
    films=st.integers(1, 3),
    channels=st.integers(1, 9),
    outputs=st.integers(1, 5),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    last=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_gradient_of_the_weights_is_torchs(films, channels, outputs, height, width, last):
    layout = torch.channels_last if last else torch.contiguous_format
    generator = torch.Generator().manual_seed(films + 10 * channels + 100 * height)
    image = torch.randn(films, channels, height, width, generator=generator)
    image = image.contiguous(memory_format=layout)
    weight = torch.randn(outputs, channels, 3, 3, generator=generator, requires_grad=True)
    output = nn.functional.conv2d(image, weight, padding=1)
    gradient = torch.randn(output.shape, generator=generator).contiguous(memory_format=layout)
    (expected,) = torch.autograd.grad(output, weight, gradient)
    torch.testing.assert_close(weight_gradient(gradient, image), expected, atol=1e-4, rtol=1e-4)


@pytest.fixture
def avx2(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


def _learn(network: nn.Module, films: torch.Tensor) -> dict[str, torch.Tensor]:
    network.zero_grad()
    nn.functional.softplus(network(films)).sum().backward()
    return {name: part.grad for name, part in network.named_parameters()}


def test_a_densenet_learns_the_same(avx2):
    """The order of pooling is compared in float64: in float32 some gradients are all rounding."""
    torch.manual_seed(0)
    plain = build("densenet121", out_channels=3).to(memory_format=torch.channels_last).train()
    pooled = pool_before_convolution(copy.deepcopy(plain))
    formed = training_form(copy.deepcopy(plain))
    assert sum(isinstance(part, ProductGradientConv2d) for part in formed.modules()) == 58
    films = torch.randn(2, 1, 224, 224).contiguous(memory_format=torch.channels_last)
    same = _learn(pooled, films), _learn(formed, films), plain.state_dict(), formed.state_dict()
    exact = _learn(plain.double(), films.double()), _learn(pooled.double(), films.double())
    assert list(same[2]) == list(same[3])
    for tolerance, expected, found in ((1e-5, *same[:2]), (1e-9, *exact)):
        assert list(found) == list(expected)
        for name, gradient in found.items():
            error = (gradient - expected[name]).norm() / expected[name].norm()
            assert error < tolerance, (name, tolerance)


def test_only_the_large_maps_take_the_product(avx2, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "monai_cxr.networks.training_form.weight_gradient",
        lambda gradient, image: seen.append(image.shape[2]) or image.new_zeros(32, 128, 3, 3),
    )
    network = training_form(build("densenet121", out_channels=3))
    films = torch.randn(1, 1, 224, 224).contiguous(memory_format=torch.channels_last)
    _learn(network.to(memory_format=torch.channels_last), films)
    assert seen == [28] * 12 + [56] * 6


def test_without_gradient_or_with_autocast_it_is_torchs_own(avx2, monkeypatch):
    def never(*_args: object) -> None:
        raise AssertionError("the product was used")

    monkeypatch.setattr("monai_cxr.networks.training_form._Convolution.apply", never)
    layer = training_form(nn.Sequential(nn.Conv2d(8, 4, 3, padding=1, bias=False)))
    assert isinstance(layer[0], ProductGradientConv2d)
    films = torch.randn(1, 8, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        layer(films)
    with torch.autocast("cpu", torch.bfloat16):
        layer(films)
    layer(films.contiguous())
    layer(films[..., :4, :4].contiguous(memory_format=torch.channels_last))
    with pytest.raises(AssertionError, match="product"):
        layer(films)


@pytest.mark.parametrize(
    "part",
    [
        nn.Conv2d(8, 4, 3, padding=1),
        nn.Conv2d(8, 4, 3, bias=False),
        nn.Conv2d(8, 4, 3, padding=1, stride=2, bias=False),
        nn.Conv2d(8, 4, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(8, 4, 3, padding=1, padding_mode="reflect", bias=False),
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.Conv2d(8, 4, 5, padding=2, bias=False),
    ],
)
def test_other_convolutions_stay(part, avx2):
    assert type(training_form(nn.Sequential(part))[0]) is nn.Conv2d


def test_other_processors_keep_torchs(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    network = training_form(build("densenet121", out_channels=3))
    assert not any(isinstance(part, ProductGradientConv2d) for part in network.modules())
