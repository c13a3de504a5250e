"""Wrappers: another input range in front of a backbone, exclusive classes behind it."""

from __future__ import annotations

import torch
from torch import nn

from monai_cxr.errors import SettingsError
from monai_cxr.preprocessing import MEAN, STANDARD_DEVIATION

INPUT_RANGES = {
    "package": ((MEAN,), (STANDARD_DEVIATION,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "torchxrayvision": ((0.5,), (1 / 2048,)),
    "medical_mae": ((0.5056,) * 3, (0.252,) * 3),
    "eva_x": ((0.49185243,) * 3, (0.28509309,) * 3),
    "rad_dino": ((0.5307,) * 3, (0.2583,) * 3),
    "per_image": ((), ()),
}
"""Mean and standard deviation, by channel, that a backbone expects of gray in [0, 1].

``package`` is what preprocessing gives; ``imagenet`` repeats the film to three channels;
``torchxrayvision`` is [-1024, 1024]; ``medical_mae`` and ``eva_x`` are what those networks were
trained with (``build_transform`` of github.com/hustvl/EVA-X); ``rad_dino`` is that of its
``preprocessor_config.json``; ``per_image`` gives each film zero mean and unit variance, so that
exposure and contrast are no information.
"""


class InputRange(nn.Module):
    """A backbone that expects another input than this package's preprocessing gives.

    So a bundle with foreign weights still takes the one network input of this package, and its
    preprocessing stays one function.

    Args:
        network: The backbone.
        input_range: One of :data:`INPUT_RANGES`.
    """

    __jit_unused_properties__ = ("features",)  # TorchScript has no properties that are modules

    def __init__(self, network: nn.Module, input_range: str) -> None:
        super().__init__()
        if input_range not in INPUT_RANGES:
            raise SettingsError(
                f"Unknown input_range '{input_range}'. Expected one of: {', '.join(INPUT_RANGES)}."
            )
        mean, std = INPUT_RANGES[input_range]
        self.network = network
        self.per_image = not mean
        scale = STANDARD_DEVIATION / torch.tensor(std)
        shift = (MEAN - torch.tensor(mean)) / torch.tensor(std)
        self.register_buffer("scale", scale.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, -1, 1, 1), persistent=False)

    @property
    def features(self) -> nn.Module:
        """The backbone's features, where class activation maps look."""
        return self.network.features  # type: ignore[return-value]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of this package's network input, shape (B, 1, S, S)."""
        if self.per_image:
            mean = images.mean(dim=(2, 3), keepdim=True)
            std = images.std(dim=(2, 3), keepdim=True)
            scaled = (images - mean) / (std + 0.05)
        else:
            scaled = images * self.scale + self.shift  # type: ignore[operator]
        return self.network(scaled)  # type: ignore[no-any-return]


class OneVersusRest(nn.Module):
    """Softmax over exclusive classes, said as one log odds a class.

    Output k is log(p_k / (1 - p_k)) of the softmax probability p_k. So sigmoid gives the softmax
    probability, and everything that takes one logit a finding (calibration, operating points,
    reports, export) takes exclusive classes too.

    Args:
        network: A backbone with one output a class, two or more.
    """

    __jit_unused_properties__ = ("features",)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def features(self) -> nn.Module:
        """The backbone's features, where class activation maps look."""
        return self.network.features  # type: ignore[return-value]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log odds (B, K)."""
        scores = self.network(images)
        n = scores.shape[1]
        others = ~torch.eye(n, dtype=torch.bool, device=scores.device)
        rest = scores.unsqueeze(1).expand(-1, n, -1)
        return scores - rest.masked_fill(~others, float("-inf")).logsumexp(dim=2)  # type: ignore[no-any-return]
