"""Training throughput: the whole pipeline against two common ones, in one interleaved run.

Usage: python benchmarks/training_throughput.py [--data DIR] [--size 224] [--batch 16]
           [--steps 2] [--rounds 5] [--threads 2] [--only-data] [--json FILE]

Contestants, all on the same PNG films, findings and batch size, a DenseNet-121 each, float32:

plain   the script that is copied most: Pillow decodes each film in each epoch, torchvision's
        transforms augment it, torchvision's network in NCHW, Adam, two loader processes
monai   a bundle as usually written: LoadImaged, ScaleIntensityd, Resized, Rand* per film in two
        loader processes, MONAI's network in NCHW, Adam
ours    films from the memory map in one gather a batch, augmented as a batch on the device,
        MONAI's network in channels_last, fused AdamW
step    ours on one batch that lies on the device already: the ceiling

Each round gives every contestant the same number of steps, in a turning order, so that a slow
moment of the machine hits all alike. The loaders stay open in between; the batches that their
processes made while others had their turn are thrown away before the clock starts.

Printed are medians over rounds: seconds a step, images/s, the share of the time that the step
waited for data, and ratios within each round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

FINDINGS = 14
READ_AHEAD = 4  # batches: two loader processes times torch's prefetch_factor of two


@dataclass
class Contestant:
    """One pipeline: an endless loader and a step."""

    name: str
    batches: Iterator[Any]
    step: Callable[[Any], None]
    read_ahead: int = 0
    seconds: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def run(self, steps: int) -> None:
        """Do some steps, and note their time and how much of it was waiting."""
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
        self.seconds.append((time.perf_counter() - began) / steps)
        self.waits.append(waited / steps)


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def plain_step(network: nn.Module, optimizer: Any, device: torch.device) -> Callable[..., None]:
    loss_function = nn.BCEWithLogitsLoss()

    def step(batch: Any) -> None:
        images, labels = (part.to(device) for part in batch)
        optimizer.zero_grad()
        loss_function(network(images), labels).backward()
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


def plain(paths: list[str], size: int, batch: int, device: torch.device) -> Contestant:
    from torchvision.models import densenet121

    network = densenet121(weights=None)
    network.classifier = nn.Linear(network.classifier.in_features, FINDINGS)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    loader = DataLoader(PlainFilms(paths, size), batch, shuffle=True, num_workers=2, drop_last=True)
    step = plain_step(network, optimizer, device)
    return Contestant("plain", endless(loader), step, READ_AHEAD)


def monai(paths: list[str], size: int, batch: int, device: torch.device) -> Contestant:
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
        drop_last=True,
    )  # fmt: skip
    network = DenseNet121(2, 1, FINDINGS).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    step = plain_step(network, optimizer, device)
    return Contestant(
        "monai", endless(loader), lambda b: step((b["image"], b["label"])), READ_AHEAD
    )


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


def ours(loader: Any, device: torch.device) -> tuple[Contestant, Contestant]:
    from monai.networks.nets import DenseNet121

    from monai_cxr.data.augmentation import BatchAugmentation, PrepareBatch

    network = DenseNet121(2, 1, FINDINGS).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    step = plain_step(network, optimizer, device)
    prepare = PrepareBatch(BatchAugmentation())
    resident = prepare(next(iter(loader)), device)
    return (
        Contestant("ours", endless(loader), lambda batch: step(prepare(batch, device))),
        Contestant("step", endless([resident]), step),
    )


def compete(contestants: list[Contestant], steps: int, rounds: int) -> None:
    for contestant in contestants:  # warm up: oneDNN's kernels, the loaders' processes
        contestant.run(1)
        contestant.seconds.clear()
        contestant.waits.clear()
    for i in range(rounds):
        turn = i % len(contestants)
        for contestant in contestants[turn:] + contestants[:turn]:
            contestant.run(steps)
        print(f"round {i + 1} of {rounds}", flush=True)


def report(contestants: list[Contestant], batch: int) -> dict[str, Any]:
    own = next(c for c in contestants if c.name == "ours")
    rows = {}
    print(f"\n{'':8}{'s/step':>9}{'images/s':>10}{'waits':>8}{'ours is':>10}")
    for c in contestants:
        seconds = statistics.median(c.seconds)
        share = statistics.median(w / s for w, s in zip(c.waits, c.seconds, strict=True))
        ratio = statistics.median(a / b for a, b in zip(c.seconds, own.seconds, strict=True))
        rows[c.name] = {
            "seconds_a_step": seconds,
            "images_per_second": batch / seconds,
            "share_waiting_for_data": share,
            "speed_of_ours_over_it": ratio,
            "ratio_range": [
                min(a / b for a, b in zip(c.seconds, own.seconds, strict=True)),
                max(a / b for a, b in zip(c.seconds, own.seconds, strict=True)),
            ],
        }
        print(f"{c.name:8}{seconds:9.3f}{batch / seconds:10.2f}{share:8.1%}{ratio:9.2f}x")
    return rows


def data_alone(loaders: dict[str, Callable[[], Any]], batch: int, rounds: int) -> dict[str, float]:
    """Images/s that come out of each loader when nothing else has to be done."""
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(rounds):
        for name, make in loaders.items():
            began, n = time.perf_counter(), 0
            for _ in make():
                n += batch
            rates[name].append(n / (time.perf_counter() - began))
    print("\nLoaders alone, images/s: ", end="")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(", ".join(f"{name} {rate:.0f}" for name, rate in medians.items()))
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).resolve().parents[1]
    default = Path(os.environ.get("MONAI_CXR_DATA", root / ".." / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only-data", action="store_true", help="Loaders alone, no network.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    random.seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paths = sorted(map(str, (arguments.data / "chestxray14_original" / "images").glob("*.png")))
    if not paths:
        raise SystemExit("No films: give --data the folder of real data.")
    size, batch = arguments.size, arguments.batch
    print(f"{len(paths)} films of 1024 px, {size} px in, batch {batch}, {device}, float32")
    with tempfile.TemporaryDirectory() as folder:
        loader = our_loader(paths, size, batch, Path(folder))
        first, second = plain(paths, size, batch, device), monai(paths, size, batch, device)
        if arguments.only_data:
            n = len(paths) // batch
            loaders: dict[str, Callable[[], Any]] = {
                "plain": lambda: islice(first.batches, n),
                "monai": lambda: islice(second.batches, n),
                "ours": lambda: islice(endless(loader), 100 * n),
            }
            rates = data_alone(loaders, batch, arguments.rounds)
            result: dict[str, Any] = {"images_per_second": rates}
        else:
            contestants = [first, second, *ours(loader, device)]
            compete(contestants, arguments.steps, arguments.rounds)
            result = report(contestants, batch)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
