"""Memory of a long prediction: resident size of the process and of its reader processes.

Usage: python benchmarks/memory.py BUNDLE [--films 100000] [--files 256] [--runtime auto]

Some phantom films are written as PNG and predicted in turn, over and over, through the pipeline and
the writer of `monai-cxr predict`, embeddings included, with child processes that read. Printed each
time that so many more films are done: resident MiB of this process and of all its children. Linux
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


def resident_mib(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def children() -> list[int]:
    """Every process whose parent is this one."""
    own = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it has ended
        if parent == os.getpid():
            own.append(int(stat.parent.name))
    return own


def told(chunks: Iterator[pd.DataFrame], marks: list[int]) -> Iterator[pd.DataFrame]:
    done, start = 0, time.monotonic()
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if marks and done >= marks[0]:
            while marks and done >= marks[0]:
                marks.pop(0)
            readers = children()
            sizes = f"{resident_mib(os.getpid()):.0f} | {len(readers)} | "
            sizes += f"{sum(resident_mib(one) for one in readers):.0f}"
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
