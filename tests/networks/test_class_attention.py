"""Class attention: the published residue, its map, and how it keeps names and bits."""

from __future__ import annotations

import copy

import pytest
import torch

from monai_cxr.bundle.engines.observed import observed
from monai_cxr.errors import SettingsError
from monai_cxr.networks.builders import build
from monai_cxr.networks.class_attention import ClassAttention
from monai_cxr.networks.grown import grow
from monai_cxr.networks.weights import fit_state

SMALL = {"options": {"width": 8}, "image_size": 32}


@pytest.fixture
def images():
    return torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def head(name="small_resnet", n=4, **options):
    torch.manual_seed(1)
    settings = SMALL if name == "small_resnet" else {"image_size": 32}
    return build(name, 1, n, head="csra", head_options=options, **settings).eval()


class TestResidue:
    @torch.no_grad()
    def test_is_what_the_paper_says(self, images):
        """Zhu and Wu 2021, equations 1 to 5, written out place by place."""
        network = head(strength=0.4, temperature=2.0)
        features = network.features(images)
        weight, bias = (getattr(network.network.classifier, name) for name in ("weight", "bias"))
        for film in range(3):
            for finding in range(4):
                places = features[film].flatten(1).T  # (k, C)
                shares = torch.softmax(2.0 * places @ weight[finding], dim=0)
                attended = (shares[:, None] * places).sum(dim=0)
                feature = places.mean(dim=0) + 0.4 * attended
                expected = feature @ weight[finding] + bias[finding]
                assert network(images)[film, finding] == pytest.approx(expected.item(), abs=1e-4)

    @torch.no_grad()
    def test_of_no_strength_is_the_network(self, images):
        network = head(strength=0.0)
        assert torch.allclose(network(images), network.network(images), atol=1e-6)

    def test_learns(self, images):
        network = head()
        network(images).square().sum().backward()
        assert all(p.grad is not None for p in network.parameters())

    @torch.no_grad()
    def test_a_copy_has_features_of_its_own(self, images):
        network = head()
        other = copy.deepcopy(network)
        for parameter in other.parameters():
            parameter.mul_(0.5)
        assert not torch.allclose(other(images), network(images))
        assert torch.equal(network(images), head()(images))


class TestMap:
    @pytest.mark.parametrize("name", ["small_resnet", "densenet121"])
    @torch.no_grad()
    def test_its_mean_and_the_bias_are_the_logit(self, images, name):
        network = head(name, strength=0.5)
        seen = observed(network, 32).eval()
        logits, embedding, maps = seen(images)
        linear = [p for p in network.modules() if isinstance(p, torch.nn.Linear)][-1]
        assert torch.allclose(maps.mean(dim=(2, 3)) + linear.bias, logits, atol=1e-4)
        assert embedding.shape == (3, linear.in_features)
        assert seen.output_names == ("logits", "embedding", "cam")

    @torch.no_grad()
    def test_a_finding_that_is_added_leaves_the_others_alone(self, images):
        network = head(strength=0.5)
        before = observed(network, 32).eval()(images)
        after = observed(grow(network), 32).eval()(images)
        assert torch.equal(after[0][:, :4], before[0])
        assert torch.equal(after[2][:, :4], before[2])
        linear = network.network.classifier
        assert torch.allclose(after[2].mean(dim=(2, 3)) + linear.bias, after[0], atol=1e-4)


class TestWeights:
    def test_of_a_plain_network_go_in_and_out(self):
        torch.manual_seed(3)
        plain = build("small_resnet", 1, 4, **SMALL)
        attended = head()
        fit_state(attended, plain.state_dict(), names="abcd", findings="abcd")
        assert torch.equal(attended.network.classifier.weight, plain.classifier.weight)
        back = build("small_resnet", 1, 4, **SMALL)
        fit_state(back, attended.state_dict(), names="abcd", findings="abcd")
        assert torch.equal(back.features[0].weight, plain.features[0].weight)


class TestRefused:
    @pytest.mark.parametrize("wrong", [{"strength": -1}, {"temperature": 0}, {"depth": 2}])
    def test_options(self, wrong):
        with pytest.raises(SettingsError):
            head(**wrong)

    @pytest.mark.parametrize("name", ["lenet", "resnet18"])
    def test_networks_of_another_kind(self, name):
        with pytest.raises(SettingsError, match="averaged before one linear layer"):
            head(name)

    def test_a_head_that_nobody_knows(self):
        with pytest.raises(SettingsError, match="linear, csra"):
            build("small_resnet", head="transformer", **SMALL)

    def test_zero_is_no_size(self):
        with pytest.raises(SettingsError, match="averaged"):
            ClassAttention(torch.nn.Linear(3, 2), 32)


class TestStride:
    @pytest.mark.parametrize(("stride", "side"), [(32, 2), (16, 4), (8, 8)])
    @torch.no_grad()
    def test_leaves_a_finer_grid_and_the_same_names(self, stride, side):
        options = {"stride": stride, "init_features": 8, "growth_rate": 4}
        network = build("densenet121", image_size=64, options=options).eval()
        maps = observed(network, 64)(torch.zeros(1, 1, 64, 64))[2]
        assert maps.shape == (1, 14, side, side)
        plain = build("densenet121", image_size=64, options=options | {"stride": 32})
        assert list(network.state_dict()) == list(plain.state_dict())

    def test_others_are_refused(self):
        with pytest.raises(SettingsError, match="32, 16, 8"):
            build("densenet121", image_size=64, options={"stride": 4})
