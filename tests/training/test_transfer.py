"""Transfer: what learns and how fast; a probe leaves the backbone as it was."""

from __future__ import annotations

import pytest
import torch

from monai_cxr.errors import SettingsError
from monai_cxr.networks import build
from monai_cxr.training.transfer import head_of, parameter_groups


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("small_resnet", 1, 2, image_size=28, options={"dropout": 0.5})


def step(network: torch.nn.Module, groups) -> None:
    optimizer = torch.optim.SGD(groups)
    network.train()  # as the trainer does before each step
    network(torch.randn(4, 1, 28, 28)).sum().backward()
    optimizer.step()


def changed(network: torch.nn.Module, before) -> set[str]:
    return {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}


def test_everything_learns_by_default(network):
    groups = parameter_groups(network, 0.1)
    assert [group["lr"] for group in groups] == [0.1]
    assert [*groups[0]["params"]] == [*network.parameters()]


def test_a_probe_changes_the_head_alone(network):
    before = {k: v.clone() for k, v in network.state_dict().items()}
    step(network, parameter_groups(network, 0.1, trainable="head"))
    assert changed(network, before) == {"classifier.weight", "classifier.bias"}


def test_a_slow_backbone(network):
    groups = parameter_groups(network, 0.1, backbone_rate=0.1)
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.01])
    assert {*groups[0]["params"]} == {*head_of(network).parameters()}
    parameters = [p for group in groups for p in group["params"]]
    assert {*parameters} == {*network.parameters()}
    assert len(parameters) == len(set(parameters))


def test_what_is_unknown_is_refused(network):
    with pytest.raises(SettingsError, match="but got 'some'"):
        parameter_groups(network, 0.1, trainable="some")
    with pytest.raises(SettingsError, match="no linear layer"):
        head_of(torch.nn.Conv2d(1, 1, 1))
