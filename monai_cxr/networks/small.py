"""Small networks: a LeNet for teaching, and a residual network for films of 28 to 96 px."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class MeanTo(nn.Module):
    """torch's adaptive average pooling as two matrix products.

    ONNX holds torch's own only where the map's side is a multiple of the output's.

    Args:
        side: Side of the output.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, C, side, side)."""
        height, width = (self._bins(int(n)).to(maps) for n in maps.shape[2:])
        return height @ maps @ width.T

    def _bins(self, n: int) -> torch.Tensor:
        rows = torch.zeros(self.side, n)
        for i in range(self.side):
            first, end = i * n // self.side, -(-(i + 1) * n // self.side)
            rows[i, first:end] = 1 / (end - first)
        return rows


class LeNet(nn.Module):
    """LeNet-5 with ReLU and a pooled last map, so that it takes any input from 28 px on.

    LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 1998.

    Args:
        in_channels: Channels of the input.
        out_channels: Outputs.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            MeanTo(5),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, out_channels),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels) of images (B, in_channels, S, S)."""
        logits: torch.Tensor = self.classifier(self.features(images))
        return logits


class SmallResNet(nn.Module):
    """Residual blocks behind a 3 x 3 stem that keeps the resolution, for films of 28 to 96 px.

    The stem and widths follow the CIFAR networks of He et al., "Deep Residual Learning for Image
    Recognition", CVPR 2016, section 4.2.

    Args:
        in_channels: Channels of the input.
        out_channels: Outputs.
        width: Channels of the first stage; doubled in each further one.
        blocks: Blocks a stage; each stage but the first halves the resolution.
        dropout: Share of pooled features dropped in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 16,
        blocks: Sequence[int] = (1, 1, 2),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
        for stage, n_blocks in enumerate(blocks):
            for block in range(n_blocks):
                out, stride = width * 2**stage, 2 if stage and block == 0 else 1
                layers.append(_Residual(channels, out, stride))
                channels = out
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, out_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels) of images (B, in_channels, S, S)."""
        pooled = self.pool(self.features(images)).flatten(1)
        logits: torch.Tensor = self.classifier(self.dropout(pooled))
        return logits


class _Residual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        same = in_channels == out_channels and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.shortcut(images) + self.body(images))
