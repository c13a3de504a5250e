"""Initialisation: the output bias starts where the loss is smallest without any film."""

from __future__ import annotations

import math

import pytest
import torch

from monai_cxr.training.initialisation import start_at_priors
from monai_cxr.training.losses import TERMS, FindingLoss
from monai_cxr.training.weighting import BY_BATCH, WEIGHTINGS

LABELS = torch.tensor([[1.0, 0.0]] * 300 + [[0.0, 0.0]] * 650 + [[math.nan, 1.0]] * 50)


@pytest.mark.parametrize("weighting", sorted(set(WEIGHTINGS) - BY_BATCH))
def test_no_other_constant_is_better(weighting):
    loss = FindingLoss(LABELS, weighting)
    best = loss.prior_logits.expand_as(LABELS)
    for step in (-0.1, 0.1):
        assert loss(best, LABELS) < loss(best + step, LABELS)


@pytest.mark.parametrize("name", sorted(set(TERMS) - {"softmax"}))
def test_no_other_constant_is_better_for_any_loss(name):
    loss = FindingLoss(LABELS, "pos_weight_sqrt", name=name)
    best = loss.prior_logits.expand_as(LABELS)
    for step in (-0.2, 0.2):
        assert loss(best, LABELS) <= loss(best + step, LABELS)


def test_exclusive_classes_start_at_their_shares():
    labels = torch.eye(3).repeat_interleave(torch.tensor([60, 30, 10]), dim=0)
    bias = FindingLoss(labels, "none", name="softmax").prior_logits
    assert bias.softmax(dim=0).tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.01)


def test_is_the_log_odds_of_the_prevalence():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    first = network[0].bias.clone()
    assert start_at_priors(network, FindingLoss(LABELS, "none")) is network
    expected = [math.log(300.5 / 650.5), math.log(50.5 / 950.5)]
    assert network[1].bias.tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(network[0].bias, first)


def test_is_finite_where_a_finding_has_one_class():
    labels = torch.tensor([[0.0, 1.0, math.nan]] * 9)
    assert FindingLoss(labels, "none").prior_logits.tolist() == pytest.approx(
        [math.log(0.5 / 9.5), math.log(9.5 / 0.5), 0]
    )
    balanced = FindingLoss(labels, "chexnet").prior_logits  # its weights undo prevalence
    assert balanced.tolist() == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    "network", [torch.nn.Linear(3, 5), torch.nn.Linear(3, 2, bias=False), torch.nn.Flatten()]
)
def test_other_networks_stay(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start_at_priors(network, FindingLoss(LABELS))
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
