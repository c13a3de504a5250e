"""Reading: file to float32 film to 224-px tensor, against torchxrayvision and MONAI, on one core.

Usage: python benchmarks/reading.py [--data DIR] [--films 8] [--rounds 5]

Every film is read by every reader in turn, in rounds, so that a slow moment of the machine hits
all alike, in a turning order. Printed are medians of CPU time (all threads of the process, which is
pinned to one core) in ms an image, and how many times more the peers take. What they do not do
(window, polarity of MONOCHROME1, scope) is not charged to them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monai_cxr.bundle.bench.films import SYNTAXES, encode
from monai_cxr.preprocessing import normalise, prepare
from monai_cxr.reading.files import read_for_model, read_radiograph

SIZE = 224
Reader = Callable[[Path], torch.Tensor]


def ours(path: Path) -> torch.Tensor:
    return torch.from_numpy(normalise(prepare(read_radiograph(path), SIZE)))[None]


def ours_with_scope(path: Path) -> torch.Tensor:
    return torch.from_numpy(normalise(prepare(read_for_model(path), SIZE)))[None]


def torchxrayvision_reader() -> Reader:
    """The loop of torchxrayvision's README and scripts."""
    import torchvision
    import torchxrayvision as xrv

    transform = torchvision.transforms.Compose(
        [xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(SIZE)]
    )

    def read(path: Path) -> torch.Tensor:
        return torch.from_numpy(transform(xrv.utils.load_image(str(path))))

    return read


def monai_reader() -> Reader:
    """MONAI's LoadImage, its own scaling, and Resize with the area mode."""
    from monai.transforms import Compose, LoadImage, Resize, ScaleIntensity

    def first_channel(image: torch.Tensor) -> torch.Tensor:
        return image[:1]

    transform = Compose(
        [
            LoadImage(image_only=True, ensure_channel_first=True),
            first_channel,
            ScaleIntensity(),
            Resize((SIZE, SIZE), mode="area"),
        ]
    )
    return lambda path: transform(str(path))


def make_films(data: Path, folder: Path, n_films: int) -> dict[str, list[Path]]:
    """NIH's PNGs, and the same films as 2,500 x 2,000 12-bit DICOM of five syntaxes."""
    pngs = sorted((data / "chestxray14_original/images").glob("*.png"))[:n_films]
    films = {"PNG 1024": pngs}
    rng = np.random.default_rng(0)
    for name, syntax in SYNTAXES.items():
        films[name] = []
        for path in pngs:
            film = Image.fromarray(read_radiograph(path).pixels).resize((2000, 2500))
            noisy = np.asarray(film) * 3500 + rng.normal(0, 6, (2500, 2000))
            stored = np.clip(noisy, 0, 4095).astype(np.uint16)
            target = folder / f"{name.replace(' ', '_')}_{path.stem}.dcm"
            target.write_bytes(encode(stored, syntax))
            films[name].append(target)
    return films


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("MONAI_CXR_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="kinds of file whose name contains this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):  # GDCM decodes JPEG 2000 in threads of its own
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    warnings.simplefilter("ignore")  # the peers' deprecations
    readers: dict[str, Reader] = {
        "monai_cxr": ours,
        "monai_cxr + scope": ours_with_scope,
        "torchxrayvision": torchxrayvision_reader(),
        "MONAI": monai_reader(),
    }
    with tempfile.TemporaryDirectory() as folder:
        films = make_films(arguments.data, Path(folder), arguments.films)
        print(
            "| file | " + " | ".join(f"{name}, CPU ms" for name in readers) + " | ratios to peers |"
        )
        print("|---|" + "--:|" * len(readers) + "---|")
        for kind, paths in films.items():
            if arguments.only not in kind:
                continue
            times: dict[str, list[float]] = {name: [] for name in readers}
            for turn in range(arguments.rounds * len(paths)):
                names = list(readers)
                for name in names[turn % len(names) :] + names[: turn % len(names)]:
                    times[name].append(timed(readers[name], paths[turn % len(paths)]))
            medians = {name: float(np.median(values)) for name, values in times.items()}
            cells = " | ".join(f"{1000 * medians[name]:.1f}" for name in readers)
            own = medians["monai_cxr"]
            ratios = ", ".join(
                f"{peer} {medians[peer] / own:.1f}x" for peer in ("torchxrayvision", "MONAI")
            )
            print(f"| {kind} | {cells} | {ratios} |", flush=True)


def timed(read: Reader, path: Path) -> float:
    start = time.process_time()
    tensor = read(path)
    if tensor.shape[-2:] != (SIZE, SIZE):
        raise SystemExit(f"expected {SIZE} px, but got {tuple(tensor.shape)}")
    return time.process_time() - start


if __name__ == "__main__":
    main()
