"""Bootstrap: how patients are drawn again, as multiplicity weights in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import SettingsError

BLOCK = 32
"""Replicates that are drawn and counted together; a block of weights stays in the cache."""


@dataclass(frozen=True, slots=True)
class BootstrapPlan:
    """How replicates are drawn: whole patients, with replacement.

    Attributes:
        n_patients: Patients to draw from, and drawn in each replicate.
        n_replicates: How many replicates.
        seed: The same seed gives the same replicates, whatever the number of threads.
    """

    n_patients: int
    n_replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse plans that draw nothing."""
        if self.n_patients < 1 or self.n_replicates < 0:
            raise SettingsError(
                f"Expected at least one patient and no negative number of replicates, but got "
                f"{self.n_patients} and {self.n_replicates}."
            )

    @property
    def n_blocks(self) -> int:
        """Number of blocks of at most :data:`BLOCK` replicates."""
        return -(-self.n_replicates // BLOCK)

    def block(self, number: int) -> NDArray[np.float32]:
        """Draw one block of multiplicity weights.

        Args:
            number: In [0, n_blocks).

        Returns:
            float32, shape (n_patients, B): how often each patient is in each replicate. Each
            column sums to n_patients.
        """
        size = min(BLOCK, self.n_replicates - number * BLOCK)
        generator = np.random.default_rng([self.seed, number])
        weights = np.empty((size, self.n_patients), dtype=np.float32)
        for row in weights:
            drawn = generator.integers(0, self.n_patients, self.n_patients, dtype=np.int32)
            row[:] = np.bincount(drawn, minlength=self.n_patients)
        return np.ascontiguousarray(weights.T)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """All blocks in order."""
        return (self.block(number) for number in range(self.n_blocks))
