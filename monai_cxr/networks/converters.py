"""Converters: DenseNet weights between three layouts, EVA-02 weights to timm's.

The three libraries hold the same network under other names: torchvision and torchxrayvision write
``denselayer1.norm1`` and ``classifier``, MONAI ``denselayer1.layers.norm1`` and
``class_layers.out``; old checkpoints of torchvision write ``denselayer1.norm.1``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

State = Mapping[str, torch.Tensor]

LAYOUTS = ("torchvision", "monai", "torchxrayvision")
"""Names of the layouts; those of torchvision and torchxrayvision have the same keys."""

_OLD = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.")
_PLAIN = re.compile(r"(denselayer\d+\.)((?:norm|conv)\d\.)")
_MONAI = re.compile(r"(denselayer\d+\.)layers\.((?:norm|conv)\d\.)")


def convert_densenet(state: State, layout: str) -> dict[str, torch.Tensor]:
    """Rename the weights of a DenseNet; their values stay.

    Args:
        state: A state dictionary in any of the :data:`LAYOUTS`.
        layout: The wanted one.

    Returns:
        A new state dictionary; what is no DenseNet's keeps its names. torchxrayvision's buffer
        ``op_threshs`` is left out.

    Raises:
        ValueError: If the layout is unknown.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"Expected a layout of {', '.join(LAYOUTS)}, but got '{layout}'.")
    result: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if name == "op_threshs":
            continue
        plain = _MONAI.sub(r"\1\2", _OLD.sub(r"\1\2.", name))
        plain = re.sub(r"^class_layers\.out\.", "classifier.", plain)
        if layout == "monai":
            plain = _PLAIN.sub(r"\1layers.\2", plain)
            plain = re.sub(r"^classifier\.", "class_layers.out.", plain)
        result[plain] = value
    return result


_EVA = (("mlp.w12.", "mlp.fc1."), ("mlp.w3.", "mlp.fc2."))


def convert_eva(state: State) -> dict[str, torch.Tensor]:
    """Rename the weights of an EVA-02 with packed SwiGLU (EVA-X-Ti, EVA-X-S) to timm's layout.

    Args:
        state: As EVA-02's own code writes it: ``mlp.w12``, ``mlp.w3``, buffers of the rotary
            embedding, which timm computes anew. What is in timm's layout already stays.

    Returns:
        A new state dictionary with the same values.
    """
    result: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if "rope." not in name:
            for old, new in _EVA:
                name = name.replace(old, new)
            result[name] = value
    return result


def adapt_channels(weight: torch.Tensor, in_channels: int) -> torch.Tensor:
    """Bring a first convolution's weights to another number of channels, for gray films.

    Args:
        weight: Shape (out, C, k, k).
        in_channels: 1 sums over colours, so that a gray film answers as its three equal channels
            did; 3 shares one channel's weights out evenly.

    Returns:
        Shape (out, in_channels, k, k).
    """
    if weight.shape[1] == in_channels:
        return weight
    gray = weight.sum(dim=1, keepdim=True)
    return gray.repeat(1, in_channels, 1, 1) / in_channels
