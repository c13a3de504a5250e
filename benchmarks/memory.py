"""Memory of a long prediction: the resident size of the process after each thousand films.

Usage: python benchmarks/memory.py BUNDLE [--films 5000] [--runtime auto]

One phantom film is written as PNG and predicted over and over, through the pipeline and the writer
of `monai-cxr predict`, embeddings included. Linux only: the size is read from /proc.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from monai_cxr.bundle.inference import predict_chunks
from monai_cxr.bundle.model import BundleModel
from monai_cxr.phantom import PhantomSettings, render_film
from monai_cxr.tables import write_chunks


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def told(chunks: Iterator[pd.DataFrame], step: int) -> Iterator[pd.DataFrame]:
    done = 0
    for chunk in chunks:
        yield chunk
        if done // step != (done + len(chunk)) // step or not done:
            print(f"| {done + len(chunk)} | {resident_mib():.0f} |", flush=True)
        done += len(chunk)
    print(f"| {done}, end | {resident_mib():.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--films", type=int, default=5000)
    parser.add_argument("--runtime", default="auto")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.png"
        film = render_film(PhantomSettings(n_patients=1, size=256), patient=0).pixels
        Image.fromarray((film * 255).astype(np.uint8)).save(path)
        model = BundleModel.load(arguments.bundle, device="cpu", runtime=arguments.runtime)
        print(f"{model}\n\n| films | resident MiB |\n|--:|--:|")
        inputs = pd.DataFrame({"path": [str(path)] * arguments.films})
        chunks = predict_chunks(model, inputs, embeddings=True)
        write_chunks(told(chunks, max(arguments.films // 10, 1)), Path(folder) / "p.parquet")


if __name__ == "__main__":
    main()
