"""Saliency: what the network used, as a map in the radiograph's own pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from monai_cxr.bundle.engines.torch_engine import TorchRuntime
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.preprocessing import cropped_side
from monai_cxr.radiograph import Radiograph

Maps = NDArray[np.float32]


def saliency(
    model: BundleModel,
    film: Radiograph,
    findings: Sequence[str],
    method: str = "cam",
    *,
    shape: tuple[int, int] | None = None,
) -> Maps:
    """Maps of some findings on one film.

    Args:
        model: A bundle whose network ends in pooled features and one linear layer.
        film: The radiograph.
        findings: Whose maps.
        method: ``"cam"`` (Zhou et al., CVPR 2016; its mean over the input is the logit less the
            bias; of a CSRA head the map of its attention), ``"grad_cam"`` (Selvaraju et al., ICCV
            2017) or ``"occlusion"`` (Zeiler and Fergus, ECCV 2014; the fall of the logit when a
            patch is hidden).
        shape: (rows, columns) of the maps, of the film's aspect; None for the film's own.

    Returns:
        float32, shape (len(findings), rows, columns) of the film or of ``shape``; larger is hotter,
        negative speaks against the finding.

    Raises:
        SettingsError: If the method or a finding is unknown, or the method needs torch and the
            bundle is served by another engine.
        InvalidBundle: If the network has no linear head on pooled features.
    """
    if method not in METHODS:
        raise SettingsError(f"Unknown method '{method}'. Expected one of: {', '.join(METHODS)}.")
    unknown = [name for name in findings if name not in model.findings]
    if unknown:
        raise SettingsError(
            f"The model has no finding '{unknown[0]}'. Expected: {', '.join(model.findings)}."
        )
    columns = [model.findings.index(name) for name in findings]
    prepared = model.prepare(film)[None]
    if method == "cam":
        maps = _cam(model, prepared)[columns]
    elif isinstance(model.runtime, TorchRuntime):
        batch = torch.from_numpy(prepared).to(model.runtime.device)
        maps = _BY_TORCH[method](model.runtime.network, batch, columns)
    else:
        raise SettingsError(
            f"Method '{method}' needs the network in torch, but this is {model.runtime.name}. Load "
            "the bundle with runtime='torch', or use method cam."
        )
    return np.stack([_in_film(one, shape or film.shape, model.resize) for one in maps])


def _cam(model: BundleModel, batch: NDArray[np.float32]) -> Maps:
    """What the pass that gives the logits gives too, in any engine."""
    maps = model.runtime.run(batch).cam
    if maps is None:
        raise InvalidBundle(
            f"The network of '{model.identity.name}' does not end in pooled features and one "
            "linear layer, so it has no class activation maps. Load the bundle with "
            "runtime='torch' and use method grad_cam or occlusion."
        )
    return np.asarray(maps[0], dtype=np.float32)


def _grad_cam(network: torch.nn.Module, batch: torch.Tensor, columns: Sequence[int]) -> Maps:
    with torch.enable_grad(), _features_of(network) as seen:
        logits = network(batch.clone().requires_grad_())
        features = seen[0]
        maps = []
        for column in columns:
            (gradient,) = torch.autograd.grad(logits[0, column], features, retain_graph=True)
            weights = gradient[0].mean(dim=(1, 2))
            maps.append(torch.einsum("c,crk->rk", weights, functional.relu(features[0])))
    return np.asarray(torch.stack(maps).detach().float().cpu().numpy())


def _occlusion(network: torch.nn.Module, batch: torch.Tensor, columns: Sequence[int]) -> Maps:
    side = batch.shape[-1]
    patch, stride = max(side // 7, 1), max(side // 14, 1)
    starts = range(0, side - patch + 1, stride)
    hidden = []
    for top in starts:
        for left in starts:
            film = batch[0].clone()
            film[:, top : top + patch, left : left + patch] = 0.0  # mid-gray
            hidden.append(film)
    with torch.inference_mode():
        whole = network(batch)[0, list(columns)]
        parts = [network(torch.stack(hidden[i : i + 16])) for i in range(0, len(hidden), 16)]
        fall = whole - torch.cat(parts)[:, list(columns)]
    maps = fall.T.reshape(len(columns), len(starts), len(starts))
    return np.asarray(maps.float().cpu().numpy())


_BY_TORCH: Mapping[str, Callable[[torch.nn.Module, torch.Tensor, Sequence[int]], Maps]] = {
    "grad_cam": _grad_cam,
    "occlusion": _occlusion,
}

METHODS = ("cam", *_BY_TORCH)
"""Saliency methods by name."""


@contextmanager
def _features_of(network: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Keep the last feature map (1, C, r, k) of the next forward pass."""
    features = getattr(network, "features", None)
    if not isinstance(features, torch.nn.Module):
        raise InvalidBundle(f"{type(network).__name__} has no part 'features' to look at.")
    seen: list[torch.Tensor] = []
    handle = features.register_forward_hook(lambda _module, _input, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()


def _in_film(values: NDArray[np.float32], shape: tuple[int, int], resize: str) -> Maps:
    """Bring a map from the network input to the film, undoing the resize policy."""
    rows, columns = shape
    if resize == "stretch":
        return _enlarge(values, rows, columns)
    side = max(rows, columns) if resize == "pad" else cropped_side(shape, resize)
    square = _enlarge(values, side, side)
    top, left = abs(side - rows) // 2, abs(side - columns) // 2
    if resize == "pad":
        return square[top : top + rows, left : left + columns]
    film = np.full(shape, float(square.min()), dtype=np.float32)
    film[top : top + side, left : left + side] = square
    return film


def _enlarge(values: NDArray[np.float32], rows: int, columns: int) -> Maps:
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR), dtype=np.float32)
