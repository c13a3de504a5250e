"""Memory of a long prediction: resident size of the process and of its reader processes.

Usage: python benchmarks/memory.py BUNDLE [--films 100000] [--files 256] [--runtime auto]

Some phantom films are written as PNG and predicted in turn, over and over, through the pipeline and
the writer of `monai-cxr predict`, embeddings included, with child processes that read. Printed each
time that so many more films are done: MiB (PSS) of this process and of all its children. Linux
only: sizes are read from /proc.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from monai_cxr.bundle.inference import predict_chunks
from monai_cxr.bundle.model import BundleModel
from monai_cxr.phantom import PhantomSettings, render_film
from monai_cxr.tables import write_chunks


def own_mib(process: int) -> float:
    """Proportional set size: a page that processes share counts once among them."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def descendants() -> list[int]:
    """The template that readers are forked from, and the readers."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it has ended
    found = [os.getpid()]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def told(chunks: Iterator[pd.DataFrame], marks: list[int]) -> Iterator[pd.DataFrame]:
    done, start = 0, time.monotonic()
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if marks and done >= marks[0]:
            while marks and done >= marks[0]:
                marks.pop(0)
            readers = descendants()
            sizes = f"{own_mib(os.getpid()):.0f} | {len(readers)} | "
            sizes += f"{sum(own_mib(one) for one in readers):.0f}"
            print(f"| {done} | {sizes} | {done / (time.monotonic() - start):.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--films", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=256)
    parser.add_argument("--runtime", default="auto")
    arguments = parser.parse_args()
    n_films = arguments.films
    marks = sorted({100, 512, 1024, *range(n_films // 20, n_films + 1, max(n_films // 20, 1))})
    with tempfile.TemporaryDirectory() as folder:
        settings = PhantomSettings(n_patients=arguments.files, size=128)
        paths = []
        for i in range(arguments.files):
            paths.append(Path(folder) / f"{i}.png")
            film = render_film(settings, patient=i).pixels
            Image.fromarray((film * 255).astype(np.uint8)).save(paths[-1])
        model = BundleModel.load(arguments.bundle, device="cpu", runtime=arguments.runtime)
        print(f"{model}, {arguments.files} files in turn\n")
        print("| films | MiB | children | their MiB | films/s |\n|--:|--:|--:|--:|--:|")
        inputs = pd.DataFrame({"path": [str(paths[i % len(paths)]) for i in range(n_films)]})
        chunks = predict_chunks(model, inputs, embeddings=True)
        write_chunks(told(chunks, marks), Path(folder) / "p.parquet")


if __name__ == "__main__":
    main()
