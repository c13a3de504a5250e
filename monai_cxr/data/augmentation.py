"""Augmentation: random changes of a whole batch on the device it lives on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional

from monai_cxr.data.samplers import process_share
from monai_cxr.errors import SettingsError
from monai_cxr.preprocessing import MEAN, STANDARD_DEVIATION


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Films as the network wants them: uint8 of a cache is scaled, float32 is passed on.

    Args:
        images: uint8 with 255 = 1.0, or float32 that is normalised already; any shape.
    """
    if images.dtype != torch.uint8:
        return images
    return images.float().mul_(1 / (255 * STANDARD_DEVIATION)).sub_(MEAN / STANDARD_DEVIATION)


def in_unit_range(images: torch.Tensor) -> torch.Tensor:
    """Films in [0, 1], the opposite way."""
    if images.dtype == torch.uint8:
        return images.float().mul_(1 / 255)
    return images * STANDARD_DEVIATION + MEAN


class BatchAugmentation:
    """Random affine, crop, brightness, contrast and gamma, drawn per film, repeatable by seed.

    Crop, affine and flip are one resampling. Horizontal flips are off by default: laterality is
    information (dextrocardia, aortic knob). In distributed training each process draws the numbers
    of the whole batch and takes its own, so that W processes change their films as one process
    would (see :class:`~monai_cxr.data.samplers.EpochSampler`).

    Args:
        rotate_degrees: Rotation is uniform in [-rotate_degrees, rotate_degrees].
        scale: Scale is uniform in [1 - scale, 1 + scale].
        translate: Shift is uniform in +-translate of the side.
        crop: A square window is kept whose side is uniform in [1 - crop, 1] of the film's, anywhere
            inside it; 0.125 has the geometry of the usual 224 of 256 pixels.
        brightness: Added to the film's [0, 1] values, uniform in +-brightness.
        contrast: Factor about mid-gray, uniform in [1 - contrast, 1 + contrast].
        gamma: Exponent is exp(u), u uniform in +-gamma.
        flip_probability: Probability of a left-right flip.
        seed: Seed of all draws, together with the epoch.

    Raises:
        SettingsError: If a width is negative, or too wide to leave a film.
    """

    def __init__(
        self,
        *,
        rotate_degrees: float = 7.0,
        scale: float = 0.1,
        translate: float = 0.05,
        crop: float = 0.0,
        brightness: float = 0.1,
        contrast: float = 0.15,
        gamma: float = 0.15,
        flip_probability: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.rotate_degrees, self.scale, self.translate = rotate_degrees, scale, translate
        self.crop, self.flip_probability, self.seed = crop, flip_probability, seed
        self.brightness, self.contrast, self.gamma = brightness, contrast, gamma
        for name in ("rotate_degrees", "translate", "brightness", "gamma"):
            self._check(name, math.inf)
        for name in ("scale", "crop", "contrast", "flip_probability"):
            self._check(name, 1.0)
        self._generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Start the draws of an epoch; a resumed run draws what an uninterrupted one would."""
        self._generator.manual_seed(self.seed * 100_003 + epoch)

    def _check(self, name: str, limit: float) -> None:
        value = getattr(self, name)
        if not 0 <= value <= limit or (name in ("scale", "crop") and value == 1):
            raise SettingsError(
                f"Expected {name} from 0 to {'any width' if limit == math.inf else 'below 1'}, "
                f"but got {value}."
            )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Augment a batch.

        Args:
            images: Shape (B, 1, S, S): normalised float32, or uint8 with 255 = 1.0.

        Returns:
            Normalised float32 of the same shape, on the same device.
        """
        n = images.shape[0]
        films = in_unit_range(images)
        drawn = _beside(self._numbers(n), films)
        grid = functional.affine_grid(
            drawn[:, :6].view(n, 2, 3), list(films.shape), align_corners=False
        )
        films = functional.grid_sample(films, grid, padding_mode="border", align_corners=False)
        bright, contrast, gamma = (drawn[:, i].view(n, 1, 1, 1) for i in (6, 7, 8))
        films = ((films - 0.5) * (1 + contrast) + 0.5 + bright).clamp_(0, 1)
        films = films.clamp_min_(1e-6) ** torch.exp(gamma)
        return (films - MEAN) / STANDARD_DEVIATION

    def _draw(self, n: int) -> torch.Tensor:
        # Drawn on the CPU, so that every device sees the same numbers.
        rank, world_size = process_share()
        return torch.rand(n * world_size, generator=self._generator)[rank::world_size]

    def _uniform(self, n: int, width: float) -> torch.Tensor:
        return (self._draw(n) * 2 - 1) * width

    def _numbers(self, n: int) -> torch.Tensor:
        """What changes each film, shape (n, 9): its matrix, and three of its gray values."""
        matrices = self._matrices(n).view(n, 6)
        grays = [self._uniform(n, w) for w in (self.brightness, self.contrast, self.gamma)]
        return torch.cat((matrices, torch.stack(grays, dim=1)), dim=1)

    def _matrices(self, n: int) -> torch.Tensor:
        """From a place in the output to one in the film; both sides run from -1 to 1."""
        angle = self._uniform(n, math.radians(self.rotate_degrees))
        scale = 1 + self._uniform(n, self.scale)
        flip = torch.where(self._draw(n) < self.flip_probability, -1, 1)
        shift_x, shift_y = (2 * self._uniform(n, self.translate) for _ in range(2))
        if self.crop:
            side = 1 - self.crop * self._draw(n)
            shift_x, shift_y = (
                shift + (1 - side) * self._uniform(n, 1.0) for shift in (shift_x, shift_y)
            )
            scale = scale * side
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        rows = torch.stack((cos * flip, -sin, shift_x, sin * flip, cos, shift_y), dim=1)
        return rows.view(n, 2, 3)


def _beside(numbers: torch.Tensor, films: torch.Tensor) -> torch.Tensor:
    """Numbers of the CPU where films are, in one copy that nothing waits for."""
    if films.is_cuda and torch.cuda.is_available():
        numbers = numbers.pin_memory()
    return numbers.to(films, non_blocking=True)


def moved(
    batch: dict[str, Any],
    keys: Sequence[str],
    device: torch.device | str | None,
    non_blocking: bool,
    **kwargs: Any,
) -> Iterator[torch.Tensor]:
    """Tensors of a batch on a device; from pinned memory a copy runs beside the step before."""
    for key in keys:
        beside = non_blocking or batch[key].is_pinned()
        yield batch[key].to(device=device, non_blocking=beside, **kwargs)


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
        """Images (B, 1, S, S) float32, normalised, and labels (B, F) float32 with NaN unknown."""
        images, labels = moved(batch, ("image", "label"), device, non_blocking, **kwargs)
        augmented = normalised if self.augmentation is None else self.augmentation
        images = augmented(images)
        return images.contiguous(memory_format=self.memory_format), labels
