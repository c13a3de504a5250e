"""Augmentation: random changes of a whole batch on the device it lives on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from monai_cxr.preprocessing import MEAN, STANDARD_DEVIATION


class BatchAugmentation:
    """Random affine, brightness, contrast and gamma, drawn per film; the same for the same seed.

    Horizontal flips are off by default: laterality is information (dextrocardia, aortic knob).

    Args:
        rotate_degrees: Rotation is uniform in [-rotate_degrees, rotate_degrees].
        scale: Scale is uniform in [1 - scale, 1 + scale].
        translate: Shift is uniform in +-translate of the side.
        brightness: Added to the film's [0, 1] values, uniform in +-brightness.
        contrast: Factor about mid-gray, uniform in [1 - contrast, 1 + contrast].
        gamma: Exponent is exp(u), u uniform in +-gamma.
        flip_probability: Probability of a left-right flip.
        seed: Seed of all draws, together with the epoch.
    """

    def __init__(
        self,
        *,
        rotate_degrees: float = 7.0,
        scale: float = 0.1,
        translate: float = 0.05,
        brightness: float = 0.1,
        contrast: float = 0.15,
        gamma: float = 0.15,
        flip_probability: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.rotate_degrees = rotate_degrees
        self.scale = scale
        self.translate = translate
        self.brightness = brightness
        self.contrast = contrast
        self.gamma = gamma
        self.flip_probability = flip_probability
        self.seed = seed
        self._generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Start the draws of an epoch; a resumed run draws what an uninterrupted one would."""
        self._generator.manual_seed(self.seed * 100_003 + epoch)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Augment a batch.

        Args:
            images: Normalised float, shape (B, 1, S, S).

        Returns:
            The same shape, dtype, device and memory format.
        """
        n = images.shape[0]
        grid = functional.affine_grid(
            self._matrices(n).to(images), list(images.shape), align_corners=False
        )
        films = images * STANDARD_DEVIATION + MEAN
        films = functional.grid_sample(films, grid, padding_mode="border", align_corners=False)
        bright, contrast, gamma = (
            self._uniform(n, width).to(films).view(n, 1, 1, 1)
            for width in (self.brightness, self.contrast, self.gamma)
        )
        films = ((films - 0.5) * (1 + contrast) + 0.5 + bright).clamp_(0, 1)
        films = films.clamp_min_(1e-6) ** torch.exp(gamma)
        return (films - MEAN) / STANDARD_DEVIATION

    def _uniform(self, n: int, width: float) -> torch.Tensor:
        # Drawn on the CPU, so that every device sees the same numbers.
        return (torch.rand(n, generator=self._generator) * 2 - 1) * width

    def _matrices(self, n: int) -> torch.Tensor:
        angle = self._uniform(n, math.radians(self.rotate_degrees))
        scale = 1 + self._uniform(n, self.scale)
        flip = torch.where(torch.rand(n, generator=self._generator) < self.flip_probability, -1, 1)
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        shift_x, shift_y = (2 * self._uniform(n, self.translate) for _ in range(2))
        rows = torch.stack((cos * flip, -sin, shift_x, sin * flip, cos, shift_y), dim=1)
        return rows.view(n, 2, 3)


class PrepareBatch:
    """Ignite's ``prepare_batch``: to the device, then augmented there when training.

    Args:
        augmentation: Called on the images; None for evaluation.
        channels_last: Bring images to channels_last memory format.
    """

    def __init__(
        self, augmentation: BatchAugmentation | None = None, *, channels_last: bool = True
    ) -> None:
        self.augmentation = augmentation
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(
        self,
        batch: dict[str, Any],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, 1, S, S) float32 and labels (B, F) float32 with NaN unknown."""
        images = batch["image"].to(device=device, non_blocking=non_blocking, **kwargs)
        labels = batch["label"].to(device=device, non_blocking=non_blocking, **kwargs)
        if self.augmentation is not None:
            images = self.augmentation(images)
        return images.contiguous(memory_format=self.memory_format), labels
