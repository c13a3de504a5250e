"""Loaders: an index to MONAI data dictionaries, and an order of films that can be resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from monai_cxr.data.splits import assert_no_leakage
from monai_cxr.errors import InvalidTable
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import columns_array, normalise_index, read_table


def index_items(
    index: Path | str,
    split: str | None,
    findings: Sequence[str] = FINDING_NAMES,
    *,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """The rows of an index as MONAI data dictionaries.

    Args:
        index: An index table on disk.
        split: Rows of this split; None for all.
        findings: Order of the labels.
        limit: At most so many rows.

    Returns:
        Dictionaries of image (path), label (float32, shape (F,), NaN unknown) and sop_uid.

    Raises:
        InvalidTable: If the split leaks, or holds no row.
    """
    table = normalise_index(read_table(index), findings)
    assert_no_leakage(table)
    if split is not None:
        present = sorted(set(table["split"]) - {""})
        table = table[table["split"] == split]
        if table.empty:
            raise InvalidTable(
                f"The index has no row of split '{split}'; it has {present or 'no split'}. "
                "Make one with: monai-cxr split.",
                reason="no_split",
            )
    table = table.head(limit) if limit else table
    labels = columns_array(table, findings).astype(np.float32)
    return [
        {"image": path, "label": torch.from_numpy(label), "sop_uid": uid}
        for path, label, uid in zip(table["path"], labels, table["sop_uid"], strict=True)
    ]


def label_array(items: Sequence[dict[str, Any]]) -> torch.Tensor:
    """Labels of data dictionaries, float32, shape (N, F)."""
    return torch.stack([item["label"] for item in items])


class EpochSampler(Sampler[int]):
    """A random order that depends on the seed and the epoch alone.

    Args:
        n: Number of films.
        seed: Seed of the order.
    """

    def __init__(self, n: int, seed: int = 0) -> None:
        self.n = n
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of films."""
        return self.n

    def __iter__(self) -> Iterator[int]:
        """The order of the epoch."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        return iter(torch.randperm(self.n, generator=generator).tolist())
