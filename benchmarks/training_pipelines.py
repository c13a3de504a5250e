"""Training pipelines: ours, and two that are written in most places, as loader and step.

Used by training_throughput.py, which says what they are.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

FINDINGS = 14
START = "fork"  # of loader processes, as on Linux by default, also below a spawned process
READ_AHEAD = 4  # batches: two loader processes times torch's prefetch_factor of two


@dataclass
class Pipeline:
    """An endless loader and a step."""

    name: str
    batches: Iterator[Any]
    step: Callable[[Any], None]
    read_ahead: int = 0

    def run(self, steps: int) -> tuple[float, float]:
        """Do some steps; seconds a step, and how much of it was waiting for data."""
        for _ in range(self.read_ahead):
            next(self.batches)
        waited = 0.0
        began = time.perf_counter()
        for _ in range(steps):
            before = time.perf_counter()
            batch = next(self.batches)
            waited += time.perf_counter() - before
            self.step(batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / steps, waited / steps


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def plain_step(
    network: nn.Module, optimizer: Any, device: torch.device, half: bool = False
) -> Callable[..., None]:
    loss_function = nn.BCEWithLogitsLoss()

    def step(batch: Any) -> None:
        images, labels = (part.to(device) for part in batch)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = network(images)
        loss_function(logits.float(), labels).backward()
        optimizer.step()

    return step


class PlainFilms(Dataset[Any]):
    """The data set class of most ChestX-ray14 repositories."""

    def __init__(self, paths: list[str], size: int) -> None:
        from torchvision import transforms

        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize(256 * size // 224),
                transforms.RandomCrop(size),
                transforms.RandomRotation(7),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:  # noqa: D105
        return len(self.paths)

    def __getitem__(self, i: int) -> Any:  # noqa: D105
        return self.transform(Image.open(self.paths[i]).convert("RGB")), torch.zeros(FINDINGS)


def plain(paths: list[str], size: int, batch: int, device: torch.device) -> Pipeline:
    from torchvision.models import densenet121

    network = densenet121(weights=None)
    network.classifier = nn.Linear(network.classifier.in_features, FINDINGS)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    loader = DataLoader(
        PlainFilms(paths, size), batch, shuffle=True, num_workers=2, drop_last=True,
        multiprocessing_context=START,
    )  # fmt: skip
    step = plain_step(network, optimizer, device)
    return Pipeline("plain", endless(loader), step, READ_AHEAD)


def monai(paths: list[str], size: int, batch: int, device: torch.device) -> Pipeline:
    import monai.data
    from monai import transforms as mt
    from monai.networks.nets import DenseNet121

    transform = mt.Compose(
        [
            mt.LoadImaged("image", reader="PILReader", image_only=True),
            mt.EnsureChannelFirstd("image"),
            mt.Lambdad("image", lambda image: image[:1]),
            mt.ScaleIntensityd("image"),
            mt.Resized("image", (size, size), mode="area"),
            mt.RandRotated("image", range_x=0.12, prob=0.5),
            mt.RandZoomd("image", min_zoom=0.9, max_zoom=1.1, prob=0.5),
        ]
    )
    data = [{"image": path, "label": torch.zeros(FINDINGS)} for path in paths]
    loader = monai.data.DataLoader(
        monai.data.Dataset(data, transform), batch_size=batch, shuffle=True, num_workers=2,
        drop_last=True, multiprocessing_context=START,
    )  # fmt: skip
    network = DenseNet121(2, 1, FINDINGS).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    step = plain_step(network, optimizer, device)
    return Pipeline("monai", endless(loader), lambda b: step((b["image"], b["label"])), READ_AHEAD)


def our_loader(paths: list[str], size: int, batch: int, folder: Path) -> Any:
    from monai_cxr.data.cache import CacheSettings, FilmCache
    from monai_cxr.data.cache_build import build_cache
    from monai_cxr.data.memory_map import MemoryMappedFilms, collate
    from monai_cxr.data.samplers import EpochSampler

    names = [f"{i:05d}" for i in range(len(paths))]
    cache = FilmCache(folder, pd.DataFrame({"sop_uid": names, "path": paths}), CacheSettings(size))
    build_cache(cache, workers=0)
    data = [{"sop_uid": name, "label": torch.zeros(FINDINGS)} for name in names]
    films = MemoryMappedFilms(cache, data)
    sampler = EpochSampler(len(films))
    return DataLoader(films, batch, sampler=sampler, collate_fn=collate, drop_last=True)


def ours(loader: Any, device: torch.device, options: argparse.Namespace) -> tuple[Pipeline, ...]:
    from monai_cxr.data.augmentation import BatchAugmentation, PrepareBatch

    prepare = PrepareBatch(BatchAugmentation())
    resident = prepare(next(iter(loader)), device)

    def from_map(name: str, step: Callable[..., None]) -> Pipeline:
        return Pipeline(name, endless(loader), lambda batch: step(prepare(batch, device)))

    step = our_step(device, options.compile)
    made = (from_map("ours", step), Pipeline("step", endless([resident]), step))
    if not options.amp:
        return made
    return (*made, from_map("bfloat16", our_step(device, options.compile, half=True)))


def our_step(device: torch.device, compiled: bool, half: bool = False) -> Callable[..., None]:
    from monai.networks.nets import DenseNet121

    from monai_cxr.networks.training_form import training_form
    from monai_cxr.training.step import compiled as compile_where

    network = training_form(DenseNet121(2, 1, FINDINGS)).train()
    network.to(device, memory_format=torch.channels_last)
    compile_where(network, wanted=compiled)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    return plain_step(network, optimizer, device, half)


def pipelines(team: str, paths: list[str], options: argparse.Namespace) -> tuple[Pipeline, ...]:
    """The pipelines of a process; ours makes its cache first."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random.seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size, batch = options.size, options.batch
    if team == "ours":
        loader = our_loader(paths, size, batch, options.folder)
        return ours(loader, device, options)
    return ({"plain": plain, "monai": monai}[team](paths, size, batch, device),)
