"""Training throughput: the whole pipeline against two common ones, in one interleaved run.

Usage: python benchmarks/training_throughput.py [--data DIR] [--size 224] [--batch 16]
           [--steps 2] [--rounds 5] [--threads 2] [--amp] [--compile]
           [--only-data] [--json FILE]

Contestants, all on the same PNG films, findings and batch size, a DenseNet-121 each, float32:

plain   the script that is copied most: Pillow decodes each film in each epoch, torchvision's
        transforms augment it, torchvision's network in NCHW, Adam, two loader processes
monai   a bundle as usually written: LoadImaged, ScaleIntensityd, Resized, Rand* per film in two
        loader processes, MONAI's network in NCHW, Adam
ours    films from the memory map in one gather a batch, augmented as a batch on the device,
        MONAI's network in channels_last, fused AdamW; in the environment that `monai-cxr train`
        gives its process (memory of large tensors is kept for the next step)
step    ours on one batch that lies on the device already: the ceiling
bfloat16  with --amp: ours with the network in bfloat16

Each contestant lives in a process of its own (those of ours share one), as a user would start it.
Each round gives every contestant the same number of steps, in a turning order, so that a slow
moment of the machine hits all alike. The loaders stay open in between; the batches that their
processes made while others had their turn are thrown away before the clock starts.

Printed are medians over rounds: seconds a step, images/s, the share of the time that the step
waited for data, and ratios within each round.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from training_pipelines import pipelines


@dataclass
class Contestant:
    """A pipeline in a process, seen from here."""

    name: str
    connection: Any
    seconds: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def run(self, steps: int) -> None:
        """Let it do some steps, and note their time."""
        self.connection.send((self.name, steps))
        seconds, waited = self.connection.recv()
        self.seconds.append(seconds)
        self.waits.append(waited)


def serve(team: str, paths: list[str], options: argparse.Namespace, connection: Any) -> None:
    """What a contestant's process does: steps when asked for."""
    by_name = {pipeline.name: pipeline for pipeline in pipelines(team, paths, options)}
    connection.send("ready")
    while (wanted := connection.recv()) is not None:
        name, steps = wanted
        connection.send(by_name[name].run(steps))


def started(paths: list[str], options: argparse.Namespace) -> list[Contestant]:
    """All contestants, each team in a process with its environment."""
    from monai_cxr.training.run.workflow import training_environment

    context = multiprocessing.get_context("spawn")
    own = ("ours", "step", "bfloat16") if options.amp else ("ours", "step")
    teams = {"plain": ("plain",), "monai": ("monai",), "ours": own}
    contestants = []
    before = dict(os.environ)
    for team, names in teams.items():
        mine, theirs = context.Pipe()
        if team == "ours":
            os.environ.update(training_environment())
        # Not a daemon: the loaders of some have processes of their own.
        context.Process(target=serve, args=(team, paths, options, theirs)).start()
        os.environ.clear()
        os.environ.update(before)
        theirs.close()
        mine.recv()
        contestants += [Contestant(name, mine) for name in names]
    return contestants


def compete(contestants: list[Contestant], steps: int, rounds: int) -> None:
    for contestant in contestants:  # warm up: oneDNN's kernels, the loaders' processes
        contestant.run(2)
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
    parser.add_argument("--amp", action="store_true", help="Also ours in bfloat16.")
    parser.add_argument("--compile", action="store_true", help="ours with torch.compile.")
    parser.add_argument("--only-data", action="store_true", help="Loaders alone, no network.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    paths = sorted(map(str, (options.data / "chestxray14_original" / "images").glob("*.png")))
    if not paths:
        raise SystemExit("No films: give --data the folder of real data.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    what = f"{options.size} px in, batch {options.batch}, {device}, float32"
    print(f"{len(paths)} films of 1024 px, {what}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        if options.only_data:
            n = len(paths) // options.batch
            first, second, third = (
                pipelines(team, paths, options)[0].batches for team in ("plain", "monai", "ours")
            )
            loaders: dict[str, Callable[[], Any]] = {
                "plain": lambda: islice(first, n),
                "monai": lambda: islice(second, n),
                "ours": lambda: islice(third, 100 * n),
            }
            rates = data_alone(loaders, options.batch, options.rounds)
            result: dict[str, Any] = {"images_per_second": rates}
        else:
            contestants = started(paths, options)
            try:
                compete(contestants, options.steps, options.rounds)
            finally:
                for connection in {id(c.connection): c.connection for c in contestants}.values():
                    connection.send(None)
            result = report(contestants, options.batch)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
