"""Memory map: a cache as a data set whose batches are one gather, without work per film."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data.utils import list_data_collate
from torch.utils.data import Dataset

from monai_cxr.data.cache import FilmCache, unreadable_films
from monai_cxr.errors import InvalidTable, SettingsError


class MemoryMappedFilms(Dataset[dict[str, Any]]):
    """Films of a finished cache with their labels.

    A loader that knows ``__getitems__`` (torch's does) asks for a whole batch at once and gets it
    from one gather over the memory map. Give it ``collate_fn=monai_cxr.data.memory_map.collate``.

    Args:
        cache: A finished cache.
        data: Data dictionaries of :func:`monai_cxr.data.loaders.index_items`; films that could not
            be read are left out of :attr:`data`.
        device: Where the films live. ``"cpu"``: in the memory map. ``"cuda"``: all of them on the
            device (NIH at 224 px takes 5.6 GB), so that a step never waits for a copy.

    Raises:
        InvalidTable: If a film is not in the cache, or none is left.
        SettingsError: At the first batch, if the device has no memory for the films.
    """

    def __init__(
        self,
        cache: FilmCache,
        data: Sequence[dict[str, Any]],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        row_of = {uid: row for row, uid in enumerate(cache.sop_uids)}
        absent = [item["sop_uid"] for item in data if item["sop_uid"] not in row_of]
        if absent:
            raise InvalidTable(
                f"{len(absent)} of {len(data)} films are not in the cache, the first is "
                f"'{absent[0]}'. Make the cache from this index: monai-cxr cache.",
                reason="not_in_cache",
            )
        unreadable = {uid for uid, _ in unreadable_films(cache, cache.records())}
        self.data = [item for item in data if item["sop_uid"] not in unreadable]
        if not self.data:
            raise InvalidTable("No film of this split can be read.", reason="no_images")
        self.cache = cache
        self.device = torch.device(device)
        self.rows = torch.tensor([row_of[item["sop_uid"]] for item in self.data])
        self.labels = torch.stack([item["label"] for item in self.data]).to(self.device)
        self._films: torch.Tensor | None = None

    @property
    def films(self) -> torch.Tensor:
        """uint8: the whole cache, shape (N, S, S), or on another device the rows of this split."""
        if self._films is None:
            mapped = torch.from_numpy(self.cache.array("c"))
            if self.device.type == "cpu":
                self._films = mapped
            else:
                self._films = self._moved(mapped[self.rows])
                self.rows = torch.arange(len(self.data))
            self.rows = self.rows.to(self.device)
        return self._films

    def _moved(self, films: torch.Tensor) -> torch.Tensor:
        try:
            return films.to(self.device)
        except torch.OutOfMemoryError as error:
            raise SettingsError(
                f"The device '{self.device}' has no memory left for {len(films)} films of "
                f"{self.cache.settings.size} px ({films.nbytes / 2**20:.0f} MiB). Set "
                "cache_device=cpu, with loader_workers=2, or a smaller image_size."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """A worker process maps the file itself; the films never travel."""
        return self.__dict__ | {"_films": None if self.device.type == "cpu" else self._films}

    def __len__(self) -> int:
        """Number of films."""
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One film: image uint8 (1, S, S), label float32 (F,), sop_uid."""
        batch = self.__getitems__([range(len(self))[index]])
        return {key: value[0] for key, value in batch.items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch.

        Args:
            indices: Positions in :attr:`data`.

        Returns:
            image uint8 (B, 1, S, S), label float32 (B, F) and sop_uid, a list.
        """
        films = self.films
        chosen = torch.as_tensor(np.asarray(indices, dtype=np.int64)).to(self.device)
        return {
            "image": films.index_select(0, self.rows[chosen]).unsqueeze(1),
            "label": self.labels[chosen],
            "sop_uid": [self.data[i]["sop_uid"] for i in indices],
        }


def collate(batch: Any) -> Any:
    """MONAI's collation; a batch that came whole is passed on."""
    return batch if isinstance(batch, dict) else list_data_collate(batch)
