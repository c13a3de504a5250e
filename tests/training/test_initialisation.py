"""Initialisation: the output bias starts where the loss is smallest without any film."""

from __future__ import annotations

import math

import pytest
import torch

from monai_cxr.training.initialisation import start_at_priors
from monai_cxr.training.losses import WEIGHTINGS, ClassWeightedBCE

LABELS = torch.tensor([[1.0, 0.0]] * 300 + [[0.0, 0.0]] * 650 + [[math.nan, 1.0]] * 50)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_no_other_constant_is_better(weighting):
    loss = ClassWeightedBCE(LABELS, weighting)
    best = loss.prior_logits.expand_as(LABELS)
    for step in (-0.1, 0.1):
        assert loss(best, LABELS) < loss(best + step, LABELS)


def test_is_the_log_odds_of_the_prevalence():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    first = network[0].bias.clone()
    assert start_at_priors(network, ClassWeightedBCE(LABELS, "none")) is network
    expected = [math.log(300.5 / 650.5), math.log(50.5 / 950.5)]
    assert network[1].bias.tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(network[0].bias, first)


def test_is_finite_where_a_finding_has_one_class():
    labels = torch.tensor([[0.0, 1.0, math.nan]] * 9)
    assert ClassWeightedBCE(labels, "none").prior_logits.tolist() == pytest.approx(
        [math.log(0.5 / 9.5), math.log(9.5 / 0.5), 0]
    )
    balanced = ClassWeightedBCE(labels, "chexnet").prior_logits  # its weights undo prevalence
    assert balanced.tolist() == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("network", "unless"),
    [
        (torch.nn.Linear(3, 2), "weights.pt"),
        (torch.nn.Linear(3, 5), ""),
        (torch.nn.Linear(3, 2, bias=False), ""),
        (torch.nn.Flatten(), ""),
    ],
)
def test_other_networks_and_given_weights_stay(network, unless):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start_at_priors(network, ClassWeightedBCE(LABELS), unless=unless)
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
