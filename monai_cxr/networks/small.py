"""Small networks: a LeNet for teaching, and a residual network for films of 28 to 96 px."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from monai_cxr.errors import SettingsError


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
        joined: So many last stages are seen by the linear layer, on the grid of the finest of them,
            for maps that are finer than the last stage.
        dropout: Share of pooled features dropped in training.

    Raises:
        SettingsError: If more stages are joined than there are, or one of them has no block.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 16,
        blocks: Sequence[int] = (1, 1, 2),
        joined: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 1 <= joined <= len(blocks) or 0 in blocks[len(blocks) - joined :]:
            raise SettingsError(
                f"Expected joined from 1 to the number of last stages that have a block, but got "
                f"{joined} with blocks {list(blocks)}."
            )
        stem = [
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        stages: list[list[nn.Module]] = []
        channels = width
        for stage, n_blocks in enumerate(blocks):
            stages.append([])
            for block in range(n_blocks):
                out, stride = width * 2**stage, 2 if stage and block == 0 else 1
                stages[-1].append(_Residual(channels, out, stride))
                channels = out
        first = len(stages) - joined + 1
        layers = [*stem, *(layer for stage in stages[:first] for layer in stage)]
        self.features: nn.Module = nn.Sequential(*layers)
        if joined > 1:
            self.features = _Joined(self.features, [nn.Sequential(*s) for s in stages[first:]])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        seen = sum(width * 2**stage for stage in range(first - 1, len(blocks)))
        self.classifier = nn.Linear(seen if joined > 1 else channels, out_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels) of images (B, in_channels, S, S)."""
        pooled = self.pool(self.features(images)).flatten(1)
        logits: torch.Tensor = self.classifier(self.dropout(pooled))
        return logits


class _Joined(nn.Module):
    """Maps of the last stages one on another, the coarser ones repeated to the finest grid.

    Repeating keeps each map's mean, so a linear layer on the means sees every stage as it is.
    """

    def __init__(self, fine: nn.Module, coarser: Sequence[nn.Module]) -> None:
        super().__init__()
        self.fine = fine
        self.coarser = nn.ModuleList(coarser)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.fine(images)
        joined = [maps]
        for stage in self.coarser:
            maps = stage(maps)
            joined.append(functional.interpolate(maps, size=joined[0].shape[2:], mode="nearest"))
        return torch.cat(joined, dim=1)


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
