"""Initialisation: weights to start from, and outputs that already say each finding's prevalence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.digests import WEIGHTS_NAME
from monai_cxr.bundle.engines.torch_engine import read_weights
from monai_cxr.networks.pretrained import is_published, published_weights
from monai_cxr.networks.weights import fit_state
from monai_cxr.training.distributed import plain
from monai_cxr.training.losses import FindingLoss


def start_at_priors(network: torch.nn.Module, loss: FindingLoss) -> torch.nn.Module:
    """Set the output bias to the log odds that minimise the loss without looking at any film.

    The first epochs are then not spent on learning how rare findings are (Lin et al., "Focal Loss
    for Dense Object Detection", ICCV 2017, section 3.3). Call it before initial weights are
    loaded: what they say of a finding goes before.

    Args:
        network: Ends in a linear layer with one output a finding; any other is left as it is.
        loss: Knows the training labels and their weights.

    Returns:
        The same network.
    """
    linear = [part for part in plain(network).modules() if isinstance(part, torch.nn.Linear)]
    last = linear[-1] if linear else None
    if last is None or last.bias is None or last.bias.shape != loss.prior_logits.shape:
        return network
    with torch.no_grad():
        last.bias.copy_(loss.prior_logits)
    return network


def load_initial_weights(
    network: torch.nn.Module, source: str, findings: Sequence[str] = ()
) -> tuple[str, ...]:
    """Start from trained weights.

    Args:
        network: The network, after :func:`start_at_priors`.
        source: Empty for random weights; a bundle's or a run's folder; a file with a state
            dictionary of MONAI, torchvision or torchxrayvision; or a published name,
            ``torchvision:resnet18`` or ``torchxrayvision:densenet121-res224-nih``, which is
            downloaded.
        findings: Findings of the network's outputs; those that the weights know keep their output.

    Returns:
        The findings whose outputs were taken over.

    Raises:
        InvalidBundle: If the file is absent, damaged or of another network.
        SettingsError: If published weights are unknown or cannot be downloaded.
    """
    if not source:
        return ()
    names: Sequence[str] = ()
    path = Path(source)
    if is_published(source):
        state, names = published_weights(source)
    elif path.is_dir():
        state = read_weights(path / WEIGHTS_NAME)
        names = read_config(path, "inference")["findings"]
    else:
        state = read_weights(path)  # says nothing of names: as many outputs are the same ones
    return fit_state(plain(network), state, names=names, findings=findings)
