"""Grown: a network with further outputs, whose first ones stay bit for bit as they were."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from monai_cxr.errors import InvalidBundle
from monai_cxr.networks.joined import Joined


class GrownLinear(nn.Linear):
    """A linear layer in parts, each multiplied alone, so that a part's outputs keep their bits.

    Args:
        in_features: Length of the embedding.
        parts: Outputs of each part, in order.
    """

    def __init__(self, in_features: int, parts: Sequence[int]) -> None:
        super().__init__(in_features, sum(parts))
        self.parts = tuple(parts)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch names it
        """Outputs (B, sum of parts) of embeddings (B, C)."""
        parts = list(self.parts)
        weights, biases = torch.split(self.weight, parts), torch.split(self.bias, parts)
        outputs = [
            functional.linear(input, weight, bias)
            for weight, bias in zip(weights, biases, strict=True)
        ]
        return torch.cat(outputs, dim=1)


def grow(network: nn.Module, n_added: int = 1) -> nn.Module:
    """Give a network's last linear layer further outputs; a bundle's ``network_def`` names this.

    Args:
        network: Changed in place; its last linear layer is its head.
        n_added: Number of further outputs, with random weights until weights are loaded.

    Returns:
        The network.

    Raises:
        InvalidBundle: If it has no linear layer.
    """
    path, head = head_of(network)
    parts = head.parts if isinstance(head, GrownLinear) else (head.out_features,)
    parts = tuple(part for part in (*parts, n_added) if part)  # an encoder had no outputs
    grown = GrownLinear(head.in_features, parts)
    with torch.no_grad():
        grown.weight[: head.out_features] = head.weight
        grown.bias[: head.out_features] = head.bias
    holder, _, last = path.rpartition(".")
    setattr(network.get_submodule(holder), last, grown)
    return network


def head_of(network: nn.Module) -> tuple[str, nn.Linear]:
    """Path and module of a network's last linear layer.

    Raises:
        InvalidBundle: If it has none.
    """
    if isinstance(network, Joined):
        raise InvalidBundle(
            "The network is an ensemble, whose members have a head each. Add the finding to the "
            "members, then make the ensemble of them."
        )
    found = [(p, m) for p, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not found or found[-1][1].bias is None:
        raise InvalidBundle(
            f"{type(network).__name__} does not end in a linear layer with a bias, so its "
            "features cannot be read and no finding can be added on them."
        )
    return found[-1]
