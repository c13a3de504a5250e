"""Transfer: which weights learn, and how fast, when a network was trained before."""

from __future__ import annotations

from typing import Any

from torch import nn

from monai_cxr.errors import SettingsError
from monai_cxr.training.distributed import plain

TRAINABLE = ("all", "head")
"""``all``: fine-tune everything. ``head``: a linear probe; the backbone and its running statistics
stay as they are."""


def head_of(network: nn.Module) -> nn.Linear:
    """The last linear layer, which has one output a finding.

    Raises:
        SettingsError: If the network has none.
    """
    linear = [part for part in plain(network).modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise SettingsError(f"{type(plain(network)).__name__} has no linear layer as its head.")
    return linear[-1]


def parameter_groups(
    network: nn.Module, learning_rate: float, *, trainable: str = "all", backbone_rate: float = 1.0
) -> list[dict[str, Any]]:
    """Parameters for an optimiser.

    Args:
        network: The network; with ``trainable="head"`` its backbone is frozen here.
        learning_rate: Learning rate of the head.
        trainable: One of :data:`TRAINABLE`.
        backbone_rate: The backbone's learning rate as a share of the head's (discriminative
            learning rates, Howard and Ruder, ACL 2018).

    Returns:
        One or two groups, each with its ``lr``.

    Raises:
        SettingsError: If ``trainable`` is unknown.
    """
    if trainable not in TRAINABLE:
        raise SettingsError(
            f"Expected trainable as one of {', '.join(TRAINABLE)}, but got '{trainable}'."
        )
    if trainable == "all" and backbone_rate == 1.0:
        return [{"params": list(network.parameters()), "lr": learning_rate}]
    head = head_of(network)
    mine = set(head.parameters())
    rest = [parameter for parameter in network.parameters() if parameter not in mine]
    groups = [{"params": list(head.parameters()), "lr": learning_rate}]
    if trainable == "head":
        _freeze(network, rest)
        return groups
    return [*groups, {"params": rest, "lr": learning_rate * backbone_rate}]


def _freeze(network: nn.Module, parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.requires_grad_(False)

    def keep_statistics(module: nn.Module, _inputs: object) -> None:
        # The trainer has just called train(); what is frozen must not follow.
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd):
                part.eval()

    plain(network).register_forward_pre_hook(keep_statistics)
