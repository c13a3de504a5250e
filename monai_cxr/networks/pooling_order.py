"""Pooling order: a mean over pixels goes before the 1 x 1 convolution that it follows."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def pool_before_convolution(network: nn.Module) -> nn.Module:
    """Swap 1 x 1 convolutions with the average pooling behind them, where they follow directly.

    Both are linear, so the outputs are the same but for rounding, and the convolution has a quarter
    of the pixels: a DenseNet-121, whose transitions are built so, needs 8 % fewer multiplications.
    Weights keep their names.

    Args:
        network: Changed in place.

    Returns:
        The same network.
    """
    for part in network.modules():
        if not isinstance(part, nn.Sequential):
            continue
        children = list(part.named_children())
        swapped = list(children)
        for i, ((_, first), (_, second)) in enumerate(pairwise(children)):
            if _is_pointwise(first) and _is_plain_mean(second):
                swapped[i], swapped[i + 1] = children[i + 1], children[i]
        if swapped != children:
            for name, _ in children:
                delattr(part, name)
            for name, child in swapped:
                part.add_module(name, child)
    return network


def _is_pointwise(part: nn.Module) -> bool:
    return (
        isinstance(part, nn.Conv2d)
        and part.kernel_size == (1, 1)
        and part.stride == (1, 1)
        and part.padding == (0, 0)
    )


def _is_plain_mean(part: nn.Module) -> bool:
    return (
        isinstance(part, nn.AvgPool2d)
        and part.padding in (0, (0, 0))
        and not part.ceil_mode
        and part.divisor_override is None
    )
