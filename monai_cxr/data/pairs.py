"""Pairs: two films of one study, or one film twice, for pretraining without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import Dataset, Sampler

from monai_cxr.data.augmentation import BatchAugmentation, moved
from monai_cxr.data.samplers import EpochSampler
from monai_cxr.data.splits import assert_no_leakage, rows_of_split
from monai_cxr.tables import normalise_index, read_table


class Films(Sized, Protocol):
    """A data set of films that knows its rows."""

    data: Sequence[dict[str, Any]]

    def __getitem__(self, place: int) -> dict[str, Any]:
        """One film."""


def unlabelled_items(index: Path | str, *, limit: int | None = None) -> list[dict[str, Any]]:
    """The films that pretraining may see: those of split train, without labels.

    Args:
        index: An index table on disk, with splits.
        limit: At most so many, in the order of the index.

    Returns:
        Dictionaries of image (path), label (float32, shape (0,)), sop_uid and study: the Study
        Instance UID, or the film's own where the index has none.

    Raises:
        InvalidTable: If a patient is in two splits, or no film is of split train.
    """
    table = normalise_index(read_table(index), ())
    assert_no_leakage(table)
    table = rows_of_split(table, "train").head(limit or len(table))
    studies = table["study_uid"].where(table["study_uid"] != "", table["sop_uid"])
    return [
        {"image": path, "label": torch.empty(0), "sop_uid": uid, "study": study}
        for path, uid, study in zip(table["path"], table["sop_uid"], studies, strict=True)
    ]


class PairSampler(Sampler[tuple[int, int]]):
    """Each film of an epoch with a film of its study: another one where there is one, else itself.

    Positives of one study are MedAug's (Vu et al., MLHC 2021, arXiv 2102.10663): the same disease
    state in another view. Films of one patient and another day are not pairs, because what is on
    them may differ. Order and partners are a function of seed and epoch alone.

    Args:
        data: Rows with a ``study``.
        seed: Of the order and the partners.
    """

    def __init__(self, data: Sequence[dict[str, Any]], seed: int = 0) -> None:
        self.order = EpochSampler(len(data), seed)
        self.seed = seed
        groups: dict[str, list[int]] = {}
        for place, item in enumerate(data):
            groups.setdefault(str(item["study"]), []).append(place)
        self.others = [[p for p in groups[str(d["study"])] if p != i] for i, d in enumerate(data)]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose pairs the next iteration uses."""
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        """Number of pairs of this process in an epoch."""
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Places of both films of each pair."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.order.epoch + 50_021)
        drawn = torch.rand(self.order.n, generator=generator).tolist()
        for place in self.order:
            others = self.others[place]
            yield place, others[int(drawn[place] * len(others))] if others else place


class PairedFilms(Dataset[dict[str, Any]]):
    """A data set that gives two films at a place of :class:`PairSampler`.

    Args:
        films: The data set of single films.
    """

    def __init__(self, films: Films) -> None:
        self.films = films
        self.data = films.data

    def __len__(self) -> int:
        """Number of films."""
        return len(self.films)

    def __getitem__(self, places: tuple[int, int]) -> dict[str, Any]:
        """``image`` and ``partner``, and the empty ``label``."""
        first, second = places
        item = self.films[first]
        partner = item if first == second else self.films[second]
        return {"image": item["image"], "partner": partner["image"], "label": item["label"]}

    def __getitems__(self, pairs: Sequence[tuple[int, int]]) -> Any:
        """A batch at once where the films are given so, else a list of pairs."""
        together = getattr(self.films, "__getitems__", None)
        if together is None:
            return [self[pair] for pair in pairs]
        batch, partners = (together([pair[side] for pair in pairs]) for side in (0, 1))
        return {"image": batch["image"], "partner": partners["image"], "label": batch["label"]}


class PreparePairs:
    """Ignite's ``prepare_batch``: both films of each pair, changed apart from each other.

    Args:
        augmentation: Called on the images.
    """

    def __init__(self, augmentation: BatchAugmentation) -> None:
        self.augmentation = augmentation

    def __call__(
        self,
        batch: dict[str, Any],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """First views, then second ones, (2 B, 1, S, S) float32, and labels of no finding."""
        films = moved(batch, ("image", "partner"), device, non_blocking, **kwargs)
        views = torch.cat([self.augmentation(one) for one in films])
        return views.contiguous(memory_format=torch.channels_last), batch["label"]
