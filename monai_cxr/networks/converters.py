"""Converters: DenseNet weights between three layouts; EVA-02 and DINOv2 weights to timm's.

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
            embedding, which timm computes again. What is in timm's layout already stays.

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


_DINO = (
    *(("embeddings.cls_token", "cls_token"), ("embeddings.position_embeddings", "pos_embed")),
    *(("embeddings.patch_embeddings.projection.", "patch_embed.proj."), ("layernorm.", "norm.")),
    *(("encoder.layer.", "blocks."), (".attention.attention.", ".attention.")),
    *((".attention.output.dense.", ".attn.proj."), (".attention.o_proj.", ".attn.proj.")),
    *((".attention.q_proj.", ".attention.query."), (".attention.k_proj.", ".attention.key.")),
    *((".attention.v_proj.", ".attention.value."), (".layer_scale1.lambda1", ".ls1.gamma")),
    (".layer_scale2.lambda1", ".ls2.gamma"),
)
_PARTS = ("query", "key", "value")


def convert_dinov2(state: State) -> dict[str, torch.Tensor]:
    """Bring the weights of transformers' ``Dinov2Model`` to timm's layout.

    Args:
        state: As that library writes it, before its version 5 or since. What is in timm's layout
            already stays.

    Returns:
        A new state dictionary: query, key and value of a layer are one matrix, and the token that
        masks patches in pretraining is left out.
    """
    named: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if name != "embeddings.mask_token":
            for old, new in _DINO:
                name = name.replace(old, new)
            named[name] = value
    result: dict[str, torch.Tensor] = {}
    for name, value in named.items():
        found = re.fullmatch(r"(.*)\.attention\.(query|key|value)\.(weight|bias)", name)
        if found is None:
            result[name] = value
            continue
        block, part, kind = found.groups()
        parts = [named.get(f"{block}.attention.{one}.{kind}") for one in _PARTS]
        whole = [one for one in parts if one is not None]
        if len(whole) < len(_PARTS):
            result[name] = value  # so that its name says what is missing
        elif part == _PARTS[0]:
            result[f"{block}.attn.qkv.{kind}"] = torch.cat(whole)
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
