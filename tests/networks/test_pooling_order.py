"""Pooling order: the same outputs and the same weights, with fewer multiplications."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from monai_cxr.bundle.bench.opened import network_gflop
from monai_cxr.networks import build
from monai_cxr.networks.pooling_order import pool_before_convolution


def test_a_densenet_says_the_same_for_less():
    torch.manual_seed(0)
    plain = build("densenet121", out_channels=3).eval()
    swapped = pool_before_convolution(copy.deepcopy(plain))
    films = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(swapped(films), plain(films), atol=1e-5, rtol=1e-5)
    assert swapped.state_dict().keys() == plain.state_dict().keys()
    before, after = network_gflop(plain, 224), network_gflop(swapped, 224)
    # Three transitions: 256 x 128 x 56^2, 512 x 256 x 28^2 and 1024 x 512 x 14^2, of which 3/4.
    saved = 2 * 0.75 * (256 * 128 * 56**2 + 512 * 256 * 28**2 + 1024 * 512 * 14**2) / 1e9
    assert before - after == pytest.approx(saved)
    assert 0.07 < saved / before < 0.09


@pytest.mark.parametrize(
    "parts",
    [
        [nn.Conv2d(2, 3, 3), nn.AvgPool2d(2)],
        [nn.Conv2d(2, 3, 1, stride=2), nn.AvgPool2d(2)],
        [nn.Conv2d(2, 3, 1, padding=1), nn.AvgPool2d(2)],
        [nn.Conv2d(2, 3, 1), nn.MaxPool2d(2)],
        [nn.Conv2d(2, 3, 1), nn.ReLU(), nn.AvgPool2d(2)],
        [nn.Conv2d(2, 3, 1), nn.AvgPool2d(2, padding=1)],
        [nn.Conv2d(2, 3, 1), nn.AvgPool2d(2, ceil_mode=True)],
        [nn.Conv2d(2, 3, 1), nn.AvgPool2d(2, divisor_override=3)],
    ],
)
def test_what_does_not_commute_stays(parts):
    network = pool_before_convolution(nn.Sequential(*parts))
    assert list(network) == parts


def test_a_bias_commutes():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(2, 3, 1), nn.AvgPool2d(2))
    swapped = pool_before_convolution(copy.deepcopy(plain))
    assert isinstance(swapped[0], nn.AvgPool2d)
    films = torch.randn(1, 2, 8, 8)
    torch.testing.assert_close(swapped(films), plain(films))
