"""Observed: a network with its embedding, its maps and its members' disagreement, in one pass."""

from __future__ import annotations

import torch
from torch.nn import functional

from monai_cxr.bundle.engines.runtime import OUTPUT_NAMES
from monai_cxr.networks.class_attention import ClassAttention, how_pooled
from monai_cxr.networks.joined import Joined, disagreement


class ObservedNetwork(torch.nn.Module):
    """A network that also gives its embedding and its class activation maps, from the same pass.

    Args:
        network: In evaluation mode. The embedding is what enters its last linear layer; maps exist
            where that is the mean of what its part ``features`` gives, rectified or not.
        size: Side of the input in pixels.
    """

    def __init__(self, network: torch.nn.Module, size: int) -> None:
        super().__init__()
        self.network = network
        self._embedding: torch.Tensor | None = None
        self._features: torch.Tensor | None = None
        linear = [part for part in network.modules() if isinstance(part, torch.nn.Linear)]
        features = getattr(network, "features", None)
        if linear:
            linear[-1].register_forward_pre_hook(self._keep_embedding)
        if isinstance(features, torch.nn.Module) and len(linear) == 1:
            features.register_forward_hook(self._keep_features)
        self.head = linear[-1] if linear else None
        attention = (part for part in network.modules() if isinstance(part, ClassAttention))
        self._attention = [*attention][:1]  # in a list, so that it is no part twice
        self.rectify: bool | None = None
        self.output_names = self._look(size)

    def _keep_embedding(self, _module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._embedding = inputs[0]

    def _keep_features(self, _module: object, _input: object, output: torch.Tensor) -> None:
        self._features = output

    def _look(self, size: int) -> tuple[str, ...]:
        """Find out how features are pooled, and so which outputs there are."""
        noise = _noise(self.network, size)
        if noise is None:
            return OUTPUT_NAMES[:1]
        with torch.no_grad():
            self.network(noise)
            if self._features is not None and self._embedding is not None:
                self.rectify = how_pooled(self._features, self._embedding)
            return OUTPUT_NAMES[: len(self(noise))]

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (B, F); where it has them, the embedding (B, C) and the maps (B, F, r, k)."""
        logits = self.network(image)
        if self.head is None or self._embedding is None or self._embedding.dim() != 2:
            return (logits,)
        if self.rectify is None or self._features is None or not self.head.out_features:
            return logits, self._embedding  # an encoder has no finding to map
        if self._attention:
            return logits, self._embedding, self._attention[0].maps(self._features)
        features = self._features.relu() if self.rectify else self._features
        maps = functional.conv2d(features, self.head.weight[:, :, None, None])
        return logits, self._embedding, maps


class ObservedJoined(torch.nn.Module):
    """The members of an ensemble, observed one by one.

    Args:
        network: In evaluation mode.
        size: Side of the input in pixels.
    """

    def __init__(self, network: Joined, size: int) -> None:
        super().__init__()
        self.network = network
        self.members = torch.nn.ModuleList(ObservedNetwork(one, size) for one in network.members)
        kinds = [set(one.output_names) for one in self.members]  # type: ignore[arg-type]
        self._shared = [name for name in OUTPUT_NAMES[1:3] if all(name in kind for kind in kinds)]
        noise = _noise(network, size)
        if "cam" in self._shared and noise is not None:
            with torch.no_grad():
                sides = {tuple(one(noise)[2].shape[2:]) for one in self.members}
            if len(sides) > 1:  # maps of another grid have no mean
                self._shared.remove("cam")
        self.output_names = ("logits", *self._shared, "disagreement")

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Mean logits; members' embeddings side by side; mean maps; disagreement, (B, F)."""
        outputs = [one(image) for one in self.members]
        orders = self.network.orders
        logits = torch.stack([o[0][:, order] for o, order in zip(outputs, orders, strict=True)])
        given = [logits.mean(dim=0)]
        if "embedding" in self._shared:
            given.append(torch.cat([one[1] for one in outputs], dim=1))
        if "cam" in self._shared:
            maps = [one[2][:, order] for one, order in zip(outputs, orders, strict=True)]
            given.append(torch.stack(maps).mean(dim=0))
        return (*given, disagreement(logits))


Observed = ObservedNetwork | ObservedJoined


def observed(network: torch.nn.Module, size: int) -> Observed:
    """A network, or an ensemble's, with everything it gives in one pass."""
    kind = ObservedJoined if isinstance(network, Joined) else ObservedNetwork
    return kind(network, size)  # type: ignore[arg-type]


def _noise(network: torch.nn.Module, size: int) -> torch.Tensor | None:
    """One film of noise where the network is; None for a network without weights."""
    first = next(network.parameters(), None)
    noise = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    return None if first is None else noise.to(first)
