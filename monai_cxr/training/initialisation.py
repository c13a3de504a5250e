"""Initialisation: an untrained network that already says each finding's prevalence."""

from __future__ import annotations

import torch

from monai_cxr.training.distributed import plain
from monai_cxr.training.losses import ClassWeightedBCE


def start_at_priors(
    network: torch.nn.Module, loss: ClassWeightedBCE, *, unless: str = ""
) -> torch.nn.Module:
    """Set the output bias to the log odds that minimise the loss without looking at any film.

    The first epochs are then not spent on learning how rare findings are (Lin et al., "Focal Loss
    for Dense Object Detection", ICCV 2017, section 3.3).

    Args:
        network: Ends in a linear layer with one output a finding; any other is left as it is.
        loss: Knows the training labels and their weights.
        unless: Path of initial weights; where given, nothing is changed.

    Returns:
        The same network.
    """
    linear = [part for part in plain(network).modules() if isinstance(part, torch.nn.Linear)]
    last = linear[-1] if linear else None
    if unless or last is None or last.bias is None or last.bias.shape != loss.prior_logits.shape:
        return network
    with torch.no_grad():
        last.bias.copy_(loss.prior_logits)
    return network
