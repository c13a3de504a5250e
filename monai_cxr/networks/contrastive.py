"""Contrastive: networks that learn from two views of a film, around the network that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import distributed, nn
from torch.nn import functional

from monai_cxr.errors import SettingsError
from monai_cxr.networks.grown import head_of

PRETEXTS = ("barlow_twins", "moco")
"""``barlow_twins``: no negatives, fit for batches of 32 to 64. ``moco``: a queue of negatives."""


class Embedder(nn.Module):
    """The embedding of a network: what enters its last linear layer, which itself learns nothing.

    Args:
        network: What is kept when pretraining ends; its weights keep their names.

    Raises:
        InvalidBundle: If it does not end in a linear layer.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        _, head = head_of(network)
        self.n_features = head.in_features
        for parameter in head.parameters():
            parameter.requires_grad_(False)
        head.register_forward_pre_hook(self._keep)
        self._seen: torch.Tensor | None = None

    def _keep(self, _module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._seen = inputs[0]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, C) of images (B, 1, S, S)."""
        self.network(images)
        seen, self._seen = self._seen, None
        assert seen is not None
        return seen.flatten(1)


class TwoViews(nn.Module):
    """A network and a projector whose outputs for two views a loss without negatives compares.

    Args:
        embedder: Around the network that is kept.
        width: Outputs of the projector; Barlow Twins gains by many.
    """

    def __init__(self, embedder: Embedder, width: int = 512) -> None:
        super().__init__()
        self.embedder = embedder
        self.projector = _projector(embedder.n_features, width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Projections (2 B, W) of the first views, then the second ones, (2 B, 1, S, S)."""
        projections: torch.Tensor = self.projector(self.embedder(images))
        return projections


class MomentumQueue(nn.Module):
    """Momentum contrast: a slow copy of the network fills a queue of negatives.

    He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020; with
    a projector of two layers (Chen et al., arXiv 2003.04297). On one device the views of a film
    would share the statistics of batch normalisation, by which they can be told without looking;
    so the keys go through the copy in two halves of another order.

    Args:
        embedder: Around the network that is kept.
        width: Outputs of the projector.
        queue: Number of negatives.
        momentum: Of the copy; 0.99 suits the few steps of small sets, 0.999 millions of films.
        temperature: Of the softmax.

    Raises:
        SettingsError: If a number is out of its range.
    """

    queue: torch.Tensor
    place: torch.Tensor

    def __init__(
        self,
        embedder: Embedder,
        width: int = 128,
        *,
        queue: int = 4096,
        momentum: float = 0.99,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        if queue < 1 or not 0 <= momentum < 1 or temperature <= 0:
            raise SettingsError(
                "Expected a queue of 1 or more, momentum in [0, 1) and a temperature above 0, but "
                f"got {queue}, {momentum} and {temperature}."
            )
        self.embedder = embedder
        self.projector = _projector(embedder.n_features, width)
        self.slow = nn.Sequential(deepcopy(embedder), deepcopy(self.projector))
        for parameter in self.slow.parameters():
            parameter.requires_grad_(False)
        self.momentum, self.temperature = momentum, temperature
        self.register_buffer("queue", functional.normalize(torch.randn(queue, width), dim=1))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Similarities (B, 1 + queue) of first views to their second ones, then to the queue."""
        first, second = images.chunk(2)
        query = functional.normalize(self.projector(self.embedder(first)).float(), dim=1)
        with torch.no_grad():
            if self.training:
                self._follow()
            key = functional.normalize(self._keys(second).float(), dim=1)
        own = (query * key).sum(dim=1, keepdim=True)
        others = query @ self.queue.clone().T
        if self.training:
            self._put(key)
        return torch.cat([own, others], dim=1) / self.temperature

    def _follow(self) -> None:
        leading = nn.ModuleList([self.embedder, self.projector]).parameters()
        for slow, fast in zip(self.slow.parameters(), leading, strict=True):
            slow.mul_(self.momentum).add_(fast.detach(), alpha=1 - self.momentum)

    def _keys(self, images: torch.Tensor) -> torch.Tensor:
        if not self.training or len(images) < 4:
            return self.slow(images)  # type: ignore[no-any-return]
        order = torch.randperm(len(images), device=images.device)
        keys = torch.cat([self.slow(part) for part in images[order].chunk(2)])
        return keys[order.argsort()]

    def _put(self, key: torch.Tensor) -> None:
        """Put the keys of all processes where the oldest ones are."""
        if distributed.is_available() and distributed.is_initialized():
            parts = [torch.empty_like(key) for _ in range(distributed.get_world_size())]
            distributed.all_gather(parts, key.contiguous())
            key = torch.cat(parts)
        key = key[-len(self.queue) :]
        places = (self.place + torch.arange(len(key), device=key.device)) % len(self.queue)
        self.queue[places] = key
        self.place.copy_((self.place + len(key)) % len(self.queue))


def pretext_network(
    embedder: Embedder, pretext: str, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """The network that pretraining trains around the one that is kept.

    Args:
        embedder: Around that one.
        pretext: One of :data:`PRETEXTS`.
        options: Of :class:`TwoViews` or :class:`MomentumQueue`, for example ``{"queue": 1024}``.

    Raises:
        SettingsError: If the pretext or an option is unknown.
    """
    if pretext not in PRETEXTS:
        raise SettingsError(
            f"Expected pretext as one of {', '.join(PRETEXTS)}, but got '{pretext}'."
        )
    kind = TwoViews if pretext == "barlow_twins" else MomentumQueue
    try:
        return kind(embedder, **dict(options or {}))
    except TypeError as error:
        raise SettingsError(f"The pretext '{pretext}' cannot be built: {error}.") from error


def _projector(n_features: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_features, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.Linear(width, width),
    )
