"""Joined: several networks as one, whose logits are their mean and which says how they differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from monai_cxr.errors import InvalidBundle


class Joined(nn.Module):
    """The networks of an ensemble, fed with the same films.

    Args:
        networks: The members.
        orders: For each member, the places of the ensemble's findings among its outputs.

    Raises:
        InvalidBundle: If they do not fit together.
    """

    def __init__(self, networks: Sequence[nn.Module], orders: Sequence[Sequence[int]]) -> None:
        super().__init__()
        if len(networks) < 2 or len(networks) != len(orders) or len(set(map(len, orders))) != 1:
            raise InvalidBundle(
                f"Expected two or more networks and an order of as many findings for each, but got "
                f"{len(networks)} and {len(orders)}."
            )
        self.members = nn.ModuleList(networks)
        self.orders = [list(order) for order in orders]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Mean logits (B, F) of images (B, 1, S, S)."""
        return self.of_each(images).mean(dim=0)

    def of_each(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of each member, (M, B, F), in the order of the ensemble's findings."""
        logits = [network(images) for network in self.members]
        return torch.stack([one[:, o] for one, o in zip(logits, self.orders, strict=True)])


def disagreement(logits: torch.Tensor) -> torch.Tensor:
    """How far members are from each other: the standard deviation of their log odds.

    Args:
        logits: (M, B, F).

    Returns:
        (B, F), 0 where all say the same; of two members half of what they differ by.
    """
    return (logits - logits.mean(dim=0)).square().mean(dim=0).sqrt()
