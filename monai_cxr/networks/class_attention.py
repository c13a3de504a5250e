"""Class attention: each finding looks at its own places, by a residue on the pooled features."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.networks.grown import head_of


class ClassAttention(nn.Module):
    """Class-specific residual attention around a network of pooled features and one linear layer.

    A finding's logit is the mean of its scores over the last feature map, as before, plus
    ``strength`` times their mean weighted by their own softmax: small findings are not averaged
    away. There are no further weights (Zhu and Wu, "Residual Attention: A Simple but Effective
    Method for Multi-Label Recognition", ICCV 2021).

    Args:
        network: Has a part ``features`` whose maps are averaged before the linear layer.
        image_size: Side of the input in pixels, for one pass that finds out how they are averaged.
        strength: Weight of the residue; 0 is the network itself.
        temperature: Of the softmax; large looks at the one strongest place.

    Raises:
        SettingsError: If a number is out of its range, or the network is of another kind.
    """

    __jit_unused_properties__ = ("features",)

    def __init__(
        self,
        network: nn.Module,
        image_size: int,
        *,
        strength: float = 0.1,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if strength < 0 or temperature <= 0:
            raise SettingsError(
                "Expected strength of 0 or more and a temperature above 0, but got "
                f"{strength} and {temperature}."
            )
        self.network = network
        self.strength, self.temperature = strength, temperature
        self.rectify = self._how_pooled(image_size)
        self.n_outputs = head_of(network)[1].out_features
        self._seen: torch.Tensor | None = None
        self.features.register_forward_hook(self._keep)

    @property
    def features(self) -> nn.Module:
        """The network's features, where class activation maps look."""
        return self.network.features  # type: ignore[return-value]

    def _keep(self, _module: object, _inputs: object, output: torch.Tensor) -> None:
        self._seen = output

    def _how_pooled(self, size: int) -> bool:
        problem = (
            f"head=csra needs a network whose features are averaged before one linear layer, but "
            f"{type(self.network).__name__} is not of this kind. Take densenet121 or small_resnet."
        )
        linear = [part for part in self.network.modules() if isinstance(part, nn.Linear)]
        if len(linear) != 1 or not isinstance(getattr(self.network, "features", None), nn.Module):
            raise SettingsError(problem)
        seen: list[torch.Tensor] = []
        handles = [
            self.features.register_forward_hook(
                lambda _module, _input, output: seen.append(output)
            ),
            linear[0].register_forward_pre_hook(lambda _part, inputs: seen.append(inputs[0])),
        ]
        noise = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
        was_training = self.network.training
        with torch.no_grad():
            self.network.eval()(noise)
        self.network.train(was_training)
        for handle in handles:
            handle.remove()
        rectify = how_pooled(seen[0], seen[1])
        if rectify is None:
            raise SettingsError(problem)
        return rectify

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, F) of images (B, 1, S, S); outputs that were grown have no residue."""
        logits: torch.Tensor = self.network(images)
        features, self._seen = self._seen, None
        if features is None:
            raise InvalidBundle("The network did not compute its features.")
        scores = self.scores(features)
        residue = self.strength * (self._attention(scores) * scores).sum(dim=2)
        n = self.n_outputs
        if logits.shape[1] == n:
            return logits + residue
        return torch.cat([logits[:, :n] + residue, logits[:, n:]], dim=1)

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Each finding's score at each place, (B, F, r k), of features (B, C, r, k)."""
        weight = head_of(self.network)[1].weight[: self.n_outputs]
        seen = features.relu() if self.rectify else features
        return functional.conv2d(seen, weight[:, :, None, None]).flatten(2)

    def _attention(self, scores: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.temperature * scores, dim=2)

    def maps(self, features: torch.Tensor) -> torch.Tensor:
        """What each place adds to a logit, (B, F, r, k); the mean is the logit less the bias.

        Args:
            features: As the part ``features`` gives them, (B, C, r, k).
        """
        scores = self.scores(features)
        n_places = features.shape[2] * features.shape[3]
        shares = scores * (1 + self.strength * n_places * self._attention(scores))
        own = shares.reshape(*shares.shape[:2], *features.shape[2:])
        grown = head_of(self.network)[1].weight[self.n_outputs :]
        if not len(grown):
            return own
        seen = features.relu() if self.rectify else features
        return torch.cat([own, functional.conv2d(seen, grown[:, :, None, None])], dim=1)


def how_pooled(features: torch.Tensor, embedding: torch.Tensor) -> bool | None:
    """Whether features are rectified before their mean is the embedding; None if it is not.

    Args:
        features: (B, C, r, k), or of another shape.
        embedding: (B, C), or of another shape.
    """
    if features.dim() != 4 or embedding.dim() != 2:
        return None
    for rectify in (True, False):
        pooled = (features.relu() if rectify else features).mean(dim=(2, 3))
        if pooled.shape == embedding.shape and torch.allclose(pooled, embedding, atol=1e-5):
            return rectify
    return None
