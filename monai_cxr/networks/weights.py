"""Weights: bring a state dictionary from elsewhere into a network of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from monai_cxr.errors import InvalidBundle
from monai_cxr.findings import FINDINGS
from monai_cxr.networks.converters import (
    adapt_channels,
    convert_densenet,
    convert_dinov2,
    convert_eva,
)

State = Mapping[str, torch.Tensor]


def fit_state(
    network: nn.Module, state: State, *, names: Sequence[str] = (), findings: Sequence[str] = ()
) -> tuple[str, ...]:
    """Load weights of another library, another number of channels, or other findings.

    The backbone must be the same. The head keeps the rows of findings that both have; where the
    names of the outputs are unknown and their number differs, it stays as it is.

    Args:
        network: Filled in place.
        state: In torchvision's, MONAI's or torchxrayvision's layout; a training checkpoint of one
            of these, with its weights below ``state_dict`` or ``model``, will do.
        names: The findings that the given weights' outputs are.
        findings: Those of the network's outputs.

    Returns:
        The findings whose outputs were taken over.

    Raises:
        InvalidBundle: If the weights belong to another network.
    """
    own = network.state_dict()
    given = _renamed(_unwrapped(state), own)
    head = _head_keys(own)
    missing = sorted(set(own) - set(given) - set(head))
    unexpected = sorted(set(given) - set(own) - set(head))
    if missing or unexpected or not given:
        raise InvalidBundle(
            f"The weights belong to another network: {len(missing)} of its {len(own)} tensors are "
            f"not in them, {len(unexpected)} are too many. Use the same architecture."
        )
    taken = _matching_rows(own, given, head, names, findings)
    result: dict[str, torch.Tensor] = {}
    for key, value in own.items():
        if key not in head:
            result[key] = _shaped(key, value, given[key])
        else:
            result[key] = _rows(key, value, given[key], taken) if key in given else value
    network.load_state_dict(result)
    return tuple(findings[row] for row, _ in taken if findings)


def _unwrapped(state: State) -> dict[str, torch.Tensor]:
    for key in ("state_dict", "model", "network"):
        if isinstance(state.get(key), Mapping):
            state = state[key]  # type: ignore[assignment]
    given = {
        str(key).removeprefix("module."): value
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    if given and all(key.startswith("model.") or key == "op_threshs" for key in given):
        given = {key.removeprefix("model."): value for key, value in given.items()}
    return given


def _renamed(given: dict[str, torch.Tensor], own: State) -> dict[str, torch.Tensor]:
    """Bring names to those of the network: foreign layouts, wrappers around the backbone."""
    depth = 0
    while all(key.startswith("network." * (depth + 1)) for key in own):
        depth += 1
    prefix = "network." * depth
    if any("denselayer" in key for key in own):
        layout = "monai" if any(".layers." in key for key in own) else "torchvision"
        bare = {
            key.removeprefix("network.").removeprefix("network."): v for key, v in given.items()
        }
        given = convert_densenet(bare, layout)
    if any(key.endswith("attn.q_bias") for key in own):
        given = convert_eva(given)
    if "embeddings.cls_token" in given:
        given = convert_dinov2(given)
    given.pop("op_threshs", None)  # torchxrayvision's thresholds are not weights
    if prefix and not any(key.startswith(prefix) for key in given):
        given = {prefix + key.removeprefix("network."): value for key, value in given.items()}
    elif not prefix:
        bare = {key.removeprefix("network."): value for key, value in given.items()}
        given = bare if set(bare) & set(own) else given
    return given


def _head_keys(own: State) -> tuple[str, ...]:
    """Weight and bias of the last linear layer: the last matrix, and the vector as long."""
    weight = [key for key, value in own.items() if value.ndim == 2 and key.endswith("weight")][-1:]
    return tuple(key for key in (*weight, *(k[:-6] + "bias" for k in weight)) if key in own)


def _matching_rows(
    own: State, given: State, head: Sequence[str], names: Sequence[str], findings: Sequence[str]
) -> list[tuple[int, int]]:
    """(row of the network, row of the weights) of findings that both have."""
    n_given = min((len(given[key]) for key in head if key in given), default=0)
    if not names:
        same = n_given == min((len(own[key]) for key in head), default=0)
        return [(row, row) for row in range(n_given)] if same else []
    known = {_canonical(name): i for i, name in enumerate(names[:n_given]) if name}
    return [
        (row, known[_canonical(name)])
        for row, name in enumerate(findings)
        if _canonical(name) in known
    ]


def _canonical(name: str) -> str:
    return FINDINGS[name].name if name in FINDINGS else name


def _rows(
    key: str, own: torch.Tensor, given: torch.Tensor, taken: Sequence[tuple[int, int]]
) -> torch.Tensor:
    if given.shape[1:] != own.shape[1:]:
        raise _other_shape(key, own, given)
    result = own.clone()
    for row, source in taken:
        result[row] = given[source]
    return result


def _shaped(key: str, own: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    if own.ndim == 4 == given.ndim and given.shape[1] != own.shape[1]:
        given = adapt_channels(given, own.shape[1])
    if given.shape != own.shape:
        raise _other_shape(key, own, given)
    return given


def _other_shape(key: str, own: torch.Tensor, given: torch.Tensor) -> InvalidBundle:
    return InvalidBundle(
        f"The weights belong to another network: '{key}' has the shape {tuple(given.shape)}, "
        f"expected {tuple(own.shape)}. Use the same architecture and, for transformers, the same "
        "image_size."
    )
