"""End to end, files to logits: this package beside three ways to do it, on the same films.

Usage: python benchmarks/peers.py [--bundle BUNDLE] [--data DIR] [--films 64] [--rounds 3]
           [--runtimes openvino,onnx] [--kinds TEXT]

    (a) torchxrayvision's recommended loop: load_image, XRayCenterCrop, XRayResizer, batch of 1
    (b) a MONAI bundle as usually written: LoadImaged ... Resized, DataLoader, SupervisedEvaluator
    (c) a plain PyTorch script: PIL or pydicom, torchvision transforms, DataLoader
    (d) monai_cxr: predict_table with an exported network, decoded exactly
    (d2) the same with decoding="reduced": JPEG 2000 at reduced resolution, on mixed syntaxes alone

All run the same DenseNet-121 (224 px, one channel; a bundle's weights, or random ones) on the same
films: NIH's own 1,024-px PNGs, and 2,500 x 2,000 12-bit DICOM, uncompressed and in five transfer
syntaxes in turn. The pipelines take turns within a round, so that a slow moment of the machine hits
all alike. Start of the reader and loader processes is included for all, import and model loading
for none: each takes 16 films first, loaders are forked from this process, and (d)'s readers from a
template that those films start. Below 16 films (d) reads in threads. --repeat passes over the films
several times in one run, as an archive of as many films would; --own-repeat does so for (d) alone.
CPU time is that of the process and of its children; with --one-core it is also comparable on a
machine that is busy with other work, where images/s are not. Printed are medians with the range
over the rounds, the ratio to (d)'s first runtime, and how near each engine is to torch fp32 (int8
of random weights left out: it would say nothing).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from peer_pipelines import SIZE, Pipeline, monai_bundle, plain_script, torchxrayvision_loop
from PIL import Image

from monai_cxr.bundle.bench.films import SYNTAXES, encode
from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.digests import WEIGHTS_NAME, write_digests
from monai_cxr.bundle.engines import parity
from monai_cxr.bundle.engines.rates import processor
from monai_cxr.bundle.engines.runtime import RuntimeName
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.exports import read_exports
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.reading.files import read_radiograph
from monai_cxr.reading.reader_template import template_pid

MIXED = "DICOM, five syntaxes"
WARM_UP = 16


def ours(bundle: Path, runtime: str, decoding: str = "exact") -> Pipeline:
    model = BundleModel.load(bundle, device="cpu", runtime=runtime, decoding=decoding)

    def run(paths: list[Path]) -> np.ndarray:
        inputs = pd.DataFrame({"path": [str(path) for path in paths]})
        table = predict_table(model, inputs)
        if (table["reason"] != "").any():
            raise SystemExit(f"refused: {set(table['reason'])}")
        return table.filter(like="logit_").to_numpy()

    return run


def copy_exported(source: Path, folder: Path, runtimes: list[str]) -> Path:
    """A copy of a trained bundle that has its exports already, int8 having passed its gate."""
    size = read_config(source, "inference")["image_size"]
    has = {"torch", "openvino-bf16", *(one.name for one in read_exports(source))}
    if size != SIZE or not has.issuperset(runtimes):
        raise SystemExit(f"expected a bundle of {SIZE} px with {runtimes}, got {size} px, {has}")
    return shutil.copytree(source, folder / "trained")


def make_bundle(folder: Path, runtimes: list[str], films: list[Path]) -> Path:
    """The shipped bundle with random weights, exported for each runtime."""
    bundle = folder / "random_weights"
    copy_bundle(find_bundle("chest_xray_classification"), bundle, {"image_size": SIZE})
    torch.manual_seed(0)
    (bundle / "models").mkdir()
    network = build_network(read_config(bundle, "inference"))
    torch.save(network.state_dict(), bundle / WEIGHTS_NAME)
    write_digests(bundle)
    for runtime in runtimes:
        name = RuntimeName.parse(runtime)
        if name.precision != "fp32":
            # Random weights say nothing of accuracy: what int8 costs is measured here, no more.
            parity.MAX_MEAN_PROBABILITY_CHANGE = parity.MAX_AUROC_CHANGE = 2.0
            export(bundle, name.engine, name.precision)
        elif name.engine != "torch":
            export(bundle, name.engine, films=films)
    return bundle


def make_films(data: Path, folder: Path, n_films: int) -> dict[str, list[Path]]:
    """Real PNGs, and the same films as DICOM."""
    pngs = sorted((data / "chestxray14_original/images").glob("*.png"))[:n_films]
    rng = np.random.default_rng(0)
    films: dict[str, list[Path]] = {"PNG 1024": pngs, "DICOM uncompressed": []}
    mixed = []
    for number, path in enumerate(pngs):
        film = Image.fromarray(read_radiograph(path).pixels).resize((2000, 2500))
        noisy = np.asarray(film) * 3500 + rng.normal(0, 6, (2500, 2000))
        stored = np.clip(noisy, 0, 4095).astype(np.uint16)
        for kind in ("DICOM uncompressed", list(SYNTAXES)[number % len(SYNTAXES)]):
            target = folder / f"{kind.replace(' ', '_')}_{path.stem}.dcm"
            target.write_bytes(encode(stored, SYNTAXES[kind]))
            films["DICOM uncompressed"] += [target] if kind == "DICOM uncompressed" else []
        mixed.append(target)
    films["DICOM uncompressed"] = list(dict.fromkeys(films["DICOM uncompressed"]))
    return films | {MIXED: mixed}


def cpu_s() -> float:
    """CPU seconds of this process, its children, and the readers (children of their template)."""
    template = template_pid()
    if template is None:
        return sum(os.times()[:4])
    ticks = Path(f"/proc/{template}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(os.times()[:4]) + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def timed(run: Pipeline, paths: list[Path]) -> tuple[float, float]:
    """(images per second, CPU milliseconds an image)."""
    before, start = cpu_s(), time.perf_counter()
    logits = run(paths)
    wall, cpu = time.perf_counter() - start, cpu_s() - before
    if len(logits) != len(paths):
        raise SystemExit(f"expected {len(paths)} rows, but got {logits.shape}")
    return len(paths) / wall, 1000 * cpu / len(paths)


def spread(values: list[float]) -> str:
    return f"{np.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def compare(
    pipelines: dict[str, Pipeline], films: dict[str, list[Path]], rounds: int, own_repeat: int
) -> None:
    own = next(name for name in pipelines if name.startswith("(d) "))
    print("| films | pipeline | images/s | CPU ms/image | (d) is faster | (d) needs less CPU |")
    print("|---|---|--:|--:|--:|--:|", flush=True)
    for kind, paths in films.items():
        names = [name for name in pipelines if not name.startswith("(d2)") or kind == MIXED]
        rates: dict[str, list[float]] = {name: [] for name in names}
        costs: dict[str, list[float]] = {name: [] for name in names}
        for name in names:
            pipelines[name](paths[:WARM_UP])
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                passes = own_repeat if name.startswith("(d") else 1
                rate, cost = timed(pipelines[name], paths * passes)
                rates[name].append(rate)
                costs[name].append(cost)
        for name in names:
            faster = np.median(rates[own]) / np.median(rates[name])
            cheaper = np.median(costs[name]) / np.median(costs[own])
            cells = (kind, name, spread(rates[name]), spread(costs[name]))
            print(f"| {' | '.join(cells)} | {faster:.1f}x | {cheaper:.1f}x |", flush=True)


def agreement(bundle: Path, runtimes: list[str], films: list[Path]) -> None:
    """Change of the sigmoid of the logits against torch fp32, on the same network inputs."""
    reference = BundleModel.load(bundle, device="cpu", runtime="torch")
    batch = np.stack([reference.prepare(read_radiograph(path)) for path in films])
    exact = 1 / (1 + np.exp(-reference.logits(batch)))
    print(f"\n| engine | max |dp| | mean |dp| | on {len(batch)} real films |\n|---|--:|--:|---|")
    for runtime in runtimes:
        model = BundleModel.load(bundle, device="cpu", runtime=runtime)
        change = np.abs(1 / (1 + np.exp(-model.logits(batch))) - exact)
        print(f"| {model.identity.runtime} | {change.max():.1e} | {change.mean():.1e} | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("MONAI_CXR_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--bundle", type=Path, help="trained and exported; default: random weights")
    parser.add_argument("--films", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=1, help="passes over the films in one run")
    parser.add_argument("--own-repeat", type=int, default=1, help="passes of (d) over those films")
    parser.add_argument("--kinds", default="", help="only films whose kind holds this text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one-core", action="store_true", help="pin all of it to one core")
    parser.add_argument("--runtimes", default="openvino,onnx", help="of (d), the first one leads")
    arguments = parser.parse_args()
    if arguments.one_core and hasattr(os, "sched_setaffinity"):
        # On a machine that others use, waiting threads would be counted as work.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' deprecations
    runtimes = arguments.runtimes.split(",")
    with tempfile.TemporaryDirectory() as folder:
        films = make_films(arguments.data, Path(folder), arguments.films)
        if arguments.bundle is None:
            bundle = make_bundle(Path(folder), runtimes, films["PNG 1024"])
        else:
            bundle = copy_exported(arguments.bundle, Path(folder), runtimes)
        network = build_network(read_config(bundle, "inference")).eval()
        network.load_state_dict(torch.load(bundle / WEIGHTS_NAME))
        pipelines = {
            "(a) torchxrayvision's loop": torchxrayvision_loop(network),
            "(b) MONAI bundle": monai_bundle(network),
            "(c) plain script": plain_script(network),
            **{f"(d) monai_cxr, {name}": ours(bundle, name) for name in runtimes},
            **{
                f"(d2) monai_cxr, {name}, reduced": ours(bundle, name, "reduced")
                for name in runtimes
            },
        }
        chosen = {kind: paths for kind, paths in films.items() if arguments.kinds in kind}
        chosen = {kind: paths * arguments.repeat for kind, paths in chosen.items()}
        load = os.getloadavg()
        print(f"{processor()}, {os.cpu_count()} cores, load before: {load[0]:.1f}", flush=True)
        for run in pipelines.values():
            run(films["PNG 1024"][:2])
        compare(pipelines, chosen, arguments.rounds, arguments.own_repeat)
        accurate = [one for one in runtimes if arguments.bundle or not one.endswith("int8")]
        agreement(bundle, accurate, sorted(set(films["PNG 1024"])))
        print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
