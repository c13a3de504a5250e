"""Distillation: a light network learns what a trained bundle says of each film, beside its labels.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), for findings that
may be present together: the soft targets are the teacher's probabilities of each finding, at a
temperature. The teacher sees the film as the student does, augmentation included, and says
something of every finding, also where the label is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.engines.torch_engine import open_torch
from monai_cxr.data.augmentation import BatchAugmentation, PrepareBatch
from monai_cxr.errors import SettingsError
from monai_cxr.training.losses import FindingLoss


class DistillationLoss(nn.Module):
    """A loss of labels, mixed with the distance to a teacher.

    The distance is binary cross-entropy with the teacher's probabilities at the temperature, times
    its square, so that its gradients stay as large (section 2 of the paper), less the least that it
    can be, so that a student that says the same as its teacher has 0.

    Args:
        supervised: The loss of the labels.
        share: Share of the teacher in the mix, 0 to 1.
        temperature: Divides both logits, at least 1; higher ones soften.

    Raises:
        SettingsError: If a number is out of range.
    """

    def __init__(
        self, supervised: FindingLoss, *, share: float = 0.7, temperature: float = 2.0
    ) -> None:
        super().__init__()
        if not 0 <= share <= 1 or not temperature >= 1:
            raise SettingsError(
                "Expected teacher_share in [0, 1] and teacher_temperature of at least 1, but got "
                f"{share} and {temperature}."
            )
        self.supervised, self.share, self.temperature = supervised, share, temperature

    @property
    def prior_logits(self) -> torch.Tensor:
        """Of the loss of the labels."""
        return self.supervised.prior_logits

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins."""
        self.supervised.set_epoch(epoch)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss.

        Args:
            logits: Shape (B, F).
            labels: Shape (B, F), 0, 1 or NaN: the loss of the labels alone, as in validation. Or
                (B, 2 F), as :class:`TaughtBatch` gives them: labels, then the teacher's logits.

        Returns:
            A scalar.
        """
        n = logits.shape[1]
        supervised: torch.Tensor = self.supervised(logits, labels[:, :n])
        if labels.shape[1] == n:
            return supervised
        student, teacher = logits.float() / self.temperature, labels[:, n:] / self.temperature
        soft = teacher.sigmoid()
        distance = functional.binary_cross_entropy_with_logits(student, soft)
        least = functional.binary_cross_entropy_with_logits(teacher, soft)
        taught = self.temperature**2 * (distance - least)
        return (1 - self.share) * supervised + self.share * taught


class TaughtBatch:
    """Ignite's ``prepare_batch`` of training with a teacher.

    Args:
        augmentation: As for :class:`monai_cxr.data.augmentation.PrepareBatch`.
        teacher: A bundle or a run, by path or by name.
        findings: The student's outputs; the teacher must know all of them.
        image_size: Side of the student's input; the teacher gets its own side of the same film.
        resize: The student's resize policy; the teacher's must be the same.

    Raises:
        InvalidBundle: If the teacher is not a bundle.
        SettingsError: If it was trained on other findings or otherwise shaped films.
    """

    def __init__(
        self,
        augmentation: BatchAugmentation | None,
        *,
        teacher: str,
        findings: Sequence[str],
        image_size: int,
        resize: str,
    ) -> None:
        if not teacher:
            raise SettingsError("Name the trained bundle to learn from: --set teacher=BUNDLE.")
        bundle = find_bundle(teacher)
        config = read_config(bundle, "inference")
        missing = [name for name in findings if name not in config["findings"]]
        if missing:
            raise SettingsError(
                f"The teacher '{bundle.name}' does not know {', '.join(missing)}. Set findings to "
                "some of its own, or choose another teacher."
            )
        if config["resize"] != resize:
            raise SettingsError(
                f"The teacher '{bundle.name}' was trained with resize={config['resize']}, the "
                f"student is with resize={resize}. Set resize={config['resize']}."
            )
        self._prepare = PrepareBatch(augmentation)
        self._columns = [config["findings"].index(name) for name in findings]
        self._size = int(config["image_size"]) if config["image_size"] != image_size else None
        self._network = open_torch(bundle, config, "cpu").network.requires_grad_(False)

    def __call__(
        self,
        batch: dict[str, Any],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images as the student takes them; labels and the teacher's logits, shape (B, 2 F)."""
        images, labels = self._prepare(batch, device, non_blocking, **kwargs)
        self._network.to(device=images.device)
        with torch.no_grad():
            logits = self._network(self._seen_by_teacher(images))[:, self._columns]
        return images, torch.cat([labels, logits.to(labels.dtype)], dim=1)

    def _seen_by_teacher(self, images: torch.Tensor) -> torch.Tensor:
        if self._size is None:
            return images
        sides = (self._size, self._size)
        return functional.interpolate(images, sides, mode="bilinear", antialias=True)
