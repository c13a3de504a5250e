"""Loaders: an index to MONAI data dictionaries, and these to a data set in memory or on disk."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.dataset import CacheDataset
from monai.transforms import Compose, LoadImaged
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monai_cxr.data.cache import CacheSettings, FilmCache
from monai_cxr.data.cache_build import build_cache
from monai_cxr.data.memory_map import MemoryMappedFilms
from monai_cxr.data.reader import RadiographReader
from monai_cxr.data.sets.png_check import check_all, refuse_unreadable
from monai_cxr.data.splits import assert_no_leakage, rows_of_split
from monai_cxr.data.transforms import PrepareRadiographd
from monai_cxr.errors import SettingsError
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
    table = table if split is None else rows_of_split(table, split)
    table = table.head(limit) if limit else table
    labels = columns_array(table, findings).astype(np.float32)
    return [
        {"image": path, "label": torch.from_numpy(label), "sop_uid": uid}
        for path, label, uid in zip(table["path"], labels, table["sop_uid"], strict=True)
    ]


def label_array(items: Sequence[dict[str, Any]]) -> torch.Tensor:
    """Labels of data dictionaries, float32, shape (N, F)."""
    return torch.stack([item["label"] for item in items])


def film_dataset(
    data: Sequence[dict[str, Any]],
    transform: Compose,
    *,
    index: Path | str,
    cache_dir: Path | str = "",
    device: torch.device | str = "cpu",
    cache_rate: float = 1.0,
    num_workers: int = 0,
    on_unreadable: str = "skip",
    progress: bool | None = None,
) -> CacheDataset | MemoryMappedFilms:
    """The data set of a split: MONAI's, or films mapped into memory from a cache on disk.

    Args:
        data: The rows of the split, of :func:`index_items`.
        transform: Reading and preprocessing. A cache takes its settings from it, so that it stays
            the one place where they stand.
        index: The whole index; a cache holds all of its films, whatever their split and labels.
        cache_dir: Folder of caches; what is missing there is made. Empty for MONAI's
            ``CacheDataset``, which reads every film at the start of every run and keeps it as
            float32 in memory.
        device: See :class:`~monai_cxr.data.memory_map.MemoryMappedFilms`.
        cache_rate: ``cache_rate`` of ``CacheDataset``: share of films to keep in memory.
        num_workers: Processes (cache) or threads (``CacheDataset``) that read films.
        on_unreadable: ``"skip"`` names and counts films that cannot be read, and goes on without
            them; ``"stop"`` raises.
        progress: Show a bar; None on a terminal only.

    Raises:
        SettingsError: If a cache cannot stand for this transform, or a setting is unknown.
        UnreadableImage: If a film cannot be read and ``on_unreadable`` is ``"stop"``, or none can.
    """
    progress = sys.stderr.isatty() if progress is None else progress
    if not str(cache_dir):

        def made(films: Sequence[dict[str, Any]]) -> CacheDataset:
            return CacheDataset(
                data=films,
                transform=transform,
                cache_rate=cache_rate,
                num_workers=num_workers,
                copy_cache=False,
                progress=progress,
            )

        if cache_rate < 1.0:  # films that are read later must not end an epoch then
            return made(_readable(data, on_unreadable))
        try:
            return made(data)
        except RuntimeError:  # MONAI's word for any error of a transform
            return made(_readable(data, on_unreadable))
    cache = FilmCache(Path(cache_dir), read_table(index), cache_settings(transform))
    with _bar(progress) as report:
        summary = build_cache(
            cache, workers=max(num_workers, 1), on_unreadable=on_unreadable, progress=report
        )
    _say_left_out(summary.unreadable, summary.n_films)
    return MemoryMappedFilms(cache, data, device=device)


def _readable(data: Sequence[dict[str, Any]], on_unreadable: str) -> list[dict[str, Any]]:
    """The films that can be read; the others are named, or stopped at."""
    reasons = check_all([Path(item["image"]) for item in data], pixels=True)
    found = [(str(i["sop_uid"]), why) for i, why in zip(data, reasons, strict=True) if why]
    refuse_unreadable(found, len(data), on_unreadable)
    _say_left_out(found, len(data))
    return [item for item, why in zip(data, reasons, strict=True) if not why]


def _say_left_out(unreadable: Sequence[tuple[str, str]], n_films: int) -> None:
    if unreadable:
        name, reason = unreadable[0]
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"{len(unreadable)} of {n_films} films cannot be read and are left out; the first is "
            f"'{name}' ({reason}).",
            markup=False,
        )


@contextlib.contextmanager
def _bar(shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    if not shown:
        yield None
        return
    columns = (TextColumn("films"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("films", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def cache_settings(transform: Compose) -> CacheSettings:
    """What a cache must do to stand for a transform: read with our reader, then prepare.

    Raises:
        SettingsError: If the transform does anything else.
    """
    steps = list(transform.flatten().transforms)
    if len(steps) == 2 and isinstance(steps[0], LoadImaged):
        reader = steps[0]._loader.readers[-1]  # the last is asked first: the one of the config
        prepare = steps[1]
        ours = isinstance(reader, RadiographReader) and isinstance(prepare, PrepareRadiographd)
        if ours and not reader.check_scope:
            return CacheSettings(prepare.size, prepare.resize, reader.policy_name)
    raise SettingsError(
        "A cache stands for LoadImaged with RadiographReader and PrepareRadiographd, nothing else, "
        f"but the config's preprocessing is {[type(step).__name__ for step in steps]}. Set "
        "cache_dir to nothing for MONAI's CacheDataset, which takes any transform."
    )
