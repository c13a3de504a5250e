"""Every GPU figure in one run of under ten minutes, to be typed on the day when there is a GPU.

    python benchmarks/gpu.py [--json gpu.json]
    python benchmarks/gpu.py --rehearse          # the same branches on the CPU, small; no figure

Printed, each with its own line as soon as it is known:

step        images/s of a training step on a batch that lies on the device: the ceiling; in fp32,
            bf16 and bf16 compiled, with the peak of memory and the seconds of the compiler
loader      ours as `monai-cxr train` runs it: films from the memory map (of the CPU, and of the
            device), augmented there; images/s, share of the ceiling, share of the wait for data
train       the verb itself for two epochs: images/s of the second, as metrics.csv has it
waits       reads of a number by the host in a training step, by torch's own warning (CUDA alone)
inference   BundleModel's runtime against the bare forward pass, in fp32, bf16 and compiled
processes   two processes of torchrun; on one GPU they are left out
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.data import DataLoader

from monai_cxr.bundle.engines.torch_engine import TorchRuntime
from monai_cxr.data.augmentation import BatchAugmentation, PrepareBatch
from monai_cxr.data.cache import CacheSettings, FilmCache
from monai_cxr.data.cache_build import build_cache
from monai_cxr.data.memory_map import MemoryMappedFilms, collate
from monai_cxr.data.samplers import EpochSampler
from monai_cxr.networks.builders import build
from monai_cxr.networks.training_form import training_form
from monai_cxr.training.losses import FindingLoss
from monai_cxr.training.step import compiled

FINDINGS = 14


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and how much of it."""

    device: torch.device
    network: str
    size: int
    batches: tuple[int, ...]
    n_files: int
    n_films: int
    seconds: float
    patients: int


REAL = Plan(torch.device("cuda"), "densenet121", 224, (64, 256), 512, 16_384, 8.0, 600)
REHEARSED = Plan(torch.device("cpu"), "small_resnet", 64, (4, 8), 16, 32, 0.2, 24)

Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def settled(plan: Plan) -> float:
    """Now, once the device has done what it was told."""
    if plan.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def training_step(plan: Plan, kind: str) -> Step:
    """A step as the train config makes it; ``kind`` is fp32, bf16 or bf16-compiled."""
    network = training_form(build(plan.network, 1, FINDINGS, image_size=plan.size)).train()
    network.to(plan.device, memory_format=torch.channels_last)
    compiled(network, wanted=kind.endswith("compiled"))
    loss = FindingLoss(torch.tensor([[0.0] * FINDINGS, [1.0] * FINDINGS]))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)

    def step(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast(plan.device.type, torch.bfloat16, enabled=kind != "fp32"):
            logits = network(images)
        value = loss(logits, labels)
        value.backward()
        optimizer.step()
        return value

    return step


def resident(plan: Plan, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch that lies on the device."""
    images = torch.randn(batch, 1, plan.size, plan.size, device=plan.device)
    labels = torch.randint(0, 2, (batch, FINDINGS), device=plan.device).float()
    return images.contiguous(memory_format=torch.channels_last), labels


def rate(plan: Plan, call: Callable[[], Any], films: int) -> float:
    """Films a second of a call: the median over rounds of several calls, after two that warm up."""
    for _ in range(2):
        call()
    rates, end = [], settled(plan) + plan.seconds
    while not rates or time.perf_counter() < end:
        start = settled(plan)
        for _ in range(5):
            call()
        rates.append(5 * films / (settled(plan) - start))
    return statistics.median(rates)


def steps(plan: Plan) -> Iterator[tuple[str, dict[str, float]]]:
    """The ceiling by kind and batch."""
    for kind in ("fp32", "bf16", "bf16-compiled"):
        for batch in plan.batches:
            if plan.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            step, (images, labels) = training_step(plan, kind), resident(plan, batch)
            start = settled(plan)
            step(images, labels)
            first = settled(plan) - start
            row = {"images_per_second": rate(plan, partial(step, images, labels), batch)}
            row["first_step_seconds"] = first
            if plan.device.type == "cuda":
                row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
            yield f"step {kind} batch {batch}", row
            torch._dynamo.reset()


def film_cache(plan: Plan, folder: Path) -> tuple[FilmCache, list[dict[str, Any]]]:
    """A cache of noise films: a few files, each under many names."""
    rng = np.random.default_rng(0)
    for i in range(plan.n_files):
        coarse = rng.integers(0, 255, (32, 32), dtype=np.uint8)
        Image.fromarray(coarse).resize((plan.size, plan.size)).save(folder / f"{i}.png")
    names = [f"{i:06d}" for i in range(plan.n_films)]
    paths = [str(folder / f"{i % plan.n_files}.png") for i in range(plan.n_films)]
    table = pd.DataFrame({"sop_uid": names, "path": paths})
    cache = FilmCache(folder / "cache", table, CacheSettings(plan.size))
    build_cache(cache, workers=None if plan.device.type == "cuda" else 0)
    return cache, [{"sop_uid": name, "label": torch.zeros(FINDINGS)} for name in names]


def loaders(plan: Plan, folder: Path, ceiling: float) -> Iterator[tuple[str, dict[str, float]]]:
    """Training from the cache, and how long it waits for data."""
    cache, data = film_cache(plan, folder)
    batch, cuda = plan.batches[-1], plan.device.type == "cuda"
    for place in ("cpu", str(plan.device)) if cuda else ("cpu",):
        films = MemoryMappedFilms(cache, data, device=place)
        loader = DataLoader(
            films, batch, sampler=EpochSampler(len(films)), collate_fn=collate, drop_last=True,
            pin_memory=cuda and place == "cpu",
        )  # fmt: skip
        step, prepare = training_step(plan, "bf16"), PrepareBatch(BatchAugmentation())
        for item in islice(loader, 2):
            step(*prepare(item, plan.device))
        waited, n, start = 0.0, 0, settled(plan)
        iterator = iter(loader)
        while True:
            before = time.perf_counter()
            item = next(iterator, None)
            waited += time.perf_counter() - before
            if item is None:
                break
            step(*prepare(item, plan.device))
            n += batch
        seconds = settled(plan) - start
        yield (
            f"loader, films on {place}, batch {batch}",
            {
                "images_per_second": n / seconds,
                "share_of_ceiling": n / seconds / ceiling,
                "share_waiting_for_data": waited / seconds,
            },
        )


def verb(plan: Plan, folder: Path, *, processes: int = 1) -> Iterator[tuple[str, dict[str, float]]]:
    """`monai-cxr train` itself on phantoms, or two processes of torchrun on its run."""
    index, run = folder / "split.parquet", folder / f"run{processes}"
    if not index.exists():
        _cli("phantom", "--out", folder / "films", "--patients", plan.patients, "--size", 256)
        labels = folder / "films" / "labels.csv"
        _cli("index", "folder", folder / "films", "--labels", labels, "--out", folder / "i.parquet")
        _cli("split", folder / "i.parquet", "--fractions", 0.7, 0.2, 0.1, "--out", index)
        _cli("cache", index, "--size", plan.size, "--out", folder / "film_cache")
    settings = {
        "max_epochs": 2, "image_size": plan.size, "batch_size": plan.batches[0] // processes,
        "cache_dir": folder / "film_cache", "architecture": plan.network,
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    bundle = ["chest_xray_classification", "--index", index, "--out", run]
    if processes == 1:
        _cli("train", *bundle, *words)
    else:
        _cli("train", *bundle, *words, "--dry-run")
        configs = str([f"{run}/configs/{n}.json" for n in ("train", "multi_gpu_train")])
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc_per_node={processes}", "-m", "monai.bundle", "run"]
        command += ["--config_file", configs, "--bundle_root", str(run), "--index", str(index)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=run)
    table = pd.read_csv(run / "metrics.csv")
    found = {"images_per_second": float(table["images_per_second"].iloc[-1])}
    yield f"train, {processes} process(es), batch {plan.batches[0]}", found


def waits(plan: Plan) -> Iterator[tuple[str, dict[str, float]]]:
    """How often the host reads a number of the device in a step, by torch's own warning."""
    step, (images, labels) = training_step(plan, "bf16"), resident(plan, plan.batches[0])
    step(images, labels)
    cuda = plan.device.type == "cuda"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if cuda:
            torch.cuda.set_sync_debug_mode("warn")
        for _ in range(5):
            step(images, labels)
        if cuda:
            torch.cuda.set_sync_debug_mode("default")
    n = sum("synchroniz" in str(one.message) for one in told)
    yield "waits of the host in five steps", {"n": n if cuda else float("nan")}


def inference(plan: Plan) -> Iterator[tuple[str, dict[str, float]]]:
    """The runtime that serves a bundle against the network alone."""
    batch = plan.batches[-1]
    films = np.random.default_rng(0).normal(size=(batch, 1, plan.size, plan.size))
    films = films.astype(np.float32)
    for precision, fast in (("fp32", False), ("bf16", False), ("bf16", True)):
        network = build(plan.network, 1, FINDINGS, image_size=plan.size).eval()
        runtime = TorchRuntime(
            network, plan.device, size=plan.size, precision=precision, compiled=fast
        )
        served = rate(plan, partial(runtime.run, films), batch)
        bare_network, (images, _) = runtime.network, resident(plan, batch)

        def bare(network: Any = bare_network, images: Any = images, cast: str = precision) -> None:
            half = torch.autocast(plan.device.type, torch.bfloat16, enabled=cast != "fp32")
            with torch.inference_mode(), half:
                network(images)

        alone = rate(plan, bare, batch)
        name = f"inference {precision}{' compiled' if fast else ''}, batch {batch}"
        yield (
            name,
            {
                "images_per_second": served,
                "bare_images_per_second": alone,
                "share_of_bare": served / alone,
            },
        )
        torch._dynamo.reset()


def _cli(*words: object) -> None:
    program = "from monai_cxr.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def rows(plan: Plan, folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Every figure, the most wanted first."""
    ceiling = 0.0
    for name, row in steps(plan):
        if name == f"step bf16 batch {plan.batches[-1]}":
            ceiling = row["images_per_second"]
        yield name, row
    yield from loaders(plan, folder, ceiling)
    yield from waits(plan)
    yield from inference(plan)
    yield from verb(plan, folder)
    if plan.device.type == "cpu" or torch.cuda.device_count() > 1:
        yield from verb(plan, folder, processes=2)
    else:
        yield "train, 2 processes: left out, one GPU", {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.rehearse and not torch.cuda.is_available():
        raise SystemExit("There is no GPU here. --rehearse goes the same way on the CPU.")
    plan = REHEARSED if options.rehearse else REAL
    if options.rehearse:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        print("A rehearsal on the CPU: that it runs is all that it says.")
        machine = "CPU"
    else:
        torch.backends.cudnn.benchmark = True
        machine = torch.cuda.get_device_name()
    print(f"{machine}, torch {torch.__version__}, {plan.network}, {plan.size} px", flush=True)
    began, said = time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, row in rows(plan, Path(folder)):
            said[name] = row
            numbers = ", ".join(f"{key} {value:.3g}" for key, value in row.items())
            print(f"[{time.perf_counter() - began:4.0f} s] {name}: {numbers}", flush=True)
            if options.json:
                options.json.write_text(json.dumps({"machine": machine, "rows": said}, indent=2))


if __name__ == "__main__":
    main()
