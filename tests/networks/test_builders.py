"""Builders: every network by its name takes films and gives one logit a finding."""

from __future__ import annotations

import pytest
import torch

from monai_cxr.errors import MissingDependency, SettingsError
from monai_cxr.networks import NETWORKS, build
from monai_cxr.networks.wrappers import InputRange, OneVersusRest

REAL = ("densenet121", "resnet18", "mobilenet_v3_small", "small_resnet", "lenet")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_one_logit_a_finding(name):
    # Shapes alone where the weights would be large.
    with torch.device("cpu" if name in REAL else "meta"):
        network = build(name, in_channels=1, out_channels=5, image_size=64).eval()
        with torch.no_grad():
            logits = network(torch.zeros(2, 1, 64, 64))
    assert logits.shape == (2, 5)


@pytest.mark.parametrize("name", REAL)
def test_a_step_reaches_every_weight(name):
    """The others are too large to be trained here: benchmarks/architectures.py does it."""
    torch.manual_seed(0)
    network = build(name, out_channels=3, image_size=64).train()
    network(torch.randn(2, 1, 64, 64)).square().mean().backward()
    gradients = [weight.grad for weight in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", ["resnet18", "vit_small", "lenet"])
def test_three_channels(name):
    network = build(name, in_channels=3, out_channels=2, image_size=32).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


@pytest.mark.parametrize(("name", "size"), [("small_resnet", 28), ("lenet", 28), ("resnet18", 97)])
def test_odd_sizes(name, size):
    assert build(name, 1, 1, image_size=size).eval()(torch.zeros(1, 1, size, size)).shape == (1, 1)


def test_same_seed_same_weights_as_monai_s_own():
    from monai.networks.nets import DenseNet121

    torch.manual_seed(0)
    one = build("densenet121", 1, 14)
    torch.manual_seed(0)
    other = DenseNet121(spatial_dims=2, in_channels=1, out_channels=14)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "densenet122"}, "Unknown network 'densenet122'.*densenet121"),
        ({"name": "vit_small", "image_size": 100}, "multiple of 16, but got 100"),
        ({"name": "resnet18", "image_size": 16}, "at least 32, but got 16"),
        ({"name": "lenet", "options": {"width": 3}}, "cannot be built"),
        ({"name": "lenet", "input_range": "hounsfield"}, "input_range 'hounsfield'"),
        ({"name": "lenet", "input_range": "imagenet", "in_channels": 3}, "expected one channel"),
        ({"name": "lenet", "exclusive": True, "out_channels": 1}, "two or more"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(SettingsError, match=message):
        build(**{"image_size": 32, **arguments})


def test_timm_is_an_extra():
    try:
        import timm  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependency, match="timm"):
            build("timm:resnet18", 1, 1)
    else:
        for name in ("timm:resnet18", "timm:vit_tiny_patch16_224"):  # any size; one size a network
            network = build(name, 1, 3, image_size=64).eval()
            assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 3)


class TestWrappers:
    def test_the_input_range_is_undone(self):
        film = torch.rand(2, 1, 8, 8)
        network = InputRange(torch.nn.Identity(), "torchxrayvision")
        expected = film * 2048 - 1024
        torch.testing.assert_close(network((film - 0.5) / 0.25), expected, atol=1e-2, rtol=1e-4)
        colour = InputRange(torch.nn.Identity(), "imagenet")((film - 0.5) / 0.25)
        assert colour.shape == (2, 3, 8, 8)
        torch.testing.assert_close(colour[:, 1:2], (film - 0.456) / 0.224, atol=1e-5, rtol=1e-4)

    def test_per_image_forgets_exposure(self):
        film = torch.randn(2, 1, 8, 8)
        network = InputRange(torch.nn.Identity(), "per_image")
        torch.testing.assert_close(network(film), network(film + 0.3), atol=1e-5, rtol=1e-4)

    def test_log_odds_are_those_of_the_softmax(self):
        scores = torch.randn(5, 4) * 3
        odds = OneVersusRest(torch.nn.Identity())(scores)
        torch.testing.assert_close(odds.sigmoid(), scores.softmax(dim=1))
        assert torch.equal(odds.argmax(dim=1), scores.argmax(dim=1))

    def test_gradients_are_finite(self):
        scores = torch.tensor([[40.0, -40.0, 0.0]], requires_grad=True)
        OneVersusRest(torch.nn.Identity())(scores).sum().backward()
        assert scores.grad is not None
        assert torch.isfinite(scores.grad).all()

    def test_maps_can_look_inside(self):
        network = build("small_resnet", 1, 2, image_size=28, exclusive=True)
        assert isinstance(network.features, torch.nn.Sequential)
