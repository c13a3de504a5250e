"""Pretrained: published weights, downloaded only when asked for by name."""

from __future__ import annotations

import urllib.error
from typing import Any

import torch

from monai_cxr.errors import SettingsError

SOURCES = ("torchvision", "torchxrayvision")
"""Who publishes weights that can be named: ``torchvision:resnet18`` (ImageNet) or
``torchxrayvision:densenet121-res224-nih``."""


def is_published(source: str) -> bool:
    """Whether a source of weights is a name to download and not a path."""
    return source.partition(":")[0] in SOURCES


def published_weights(source: str) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Download published weights, or take them from that library's own cache.

    Args:
        source: ``torchvision:NAME`` for ImageNet weights, or ``torchxrayvision:NAME``.

    Returns:
        The state dictionary, and names of the outputs where they are findings ("" for none).

    Raises:
        SettingsError: If the name is unknown, or the weights cannot be downloaded.
    """
    kind, _, name = source.partition(":")
    load = _torchvision if kind == "torchvision" else _torchxrayvision
    try:
        return load(name)
    except (urllib.error.URLError, OSError) as error:
        raise SettingsError(
            f"The weights '{source}' are not on this machine and could not be downloaded "
            f"({type(error).__name__}). Fetch them where there is a network and name the file: "
            "initial_weights=FILE (of fetch: --weights FILE); or train without: initial_weights=."
        ) from error


def _torchvision(name: str) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    from torchvision.models import get_model_weights, list_models

    if name not in list_models():
        raise SettingsError(f"torchvision has no network '{name}'.")
    state: Any = get_model_weights(name).DEFAULT.get_state_dict(progress=True)
    return dict(state), ()


def _torchxrayvision(name: str) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    import torchxrayvision as xrv

    known = [key for key in xrv.models.model_urls if key.startswith(("densenet", "resnet50"))]
    if name not in known:
        raise SettingsError(
            f"torchxrayvision has no DenseNet or ResNet-50 weights '{name}'. Expected: "
            f"{', '.join(known)}."
        )
    kind = xrv.models.DenseNet if name.startswith("densenet") else xrv.models.ResNet
    network = kind(weights=name)
    return dict(network.state_dict()), tuple(network.pathologies)
