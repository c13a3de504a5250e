"""Size and time of an installation: the serving-only route, the default, and each extra on top.

    python benchmarks/install_size.py [--work DIR] [--bundle BUNDLE --film FILM] [EXTRA ...]

``serving`` and the default each get an environment of their own, without pip's cache. The extras
are then added to the default one by one, so that a row says what an extra adds. With a bundle that
holds an ONNX export and a film, the serving environment makes a first prediction. Needs an index.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("onnx", "openvino", "pacs", "fast-codecs", "fhir", "deid", "postgresql", "viewer", "timm",
          "search", "labels", "tracking", "ray", "docs")  # fmt: skip


def size_mb(folder: Path) -> int:
    """Megabytes of the files below a folder; a link counts nothing."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) // 10**6


def environment(folder: Path) -> Path:
    """The Python of a new environment."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin" / "python"


def installed(python: Path, *commands: Sequence[str]) -> float:
    """Seconds that pip took."""
    start = time.perf_counter()
    for words in commands:
        pip = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", *words]
        subprocess.run(pip, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def first_prediction(python: Path, bundle: Path, film: Path, folder: Path) -> float:
    """Seconds of the first prediction of a process."""
    start = time.perf_counter()
    words = ["predict", bundle, film, "--runtime", "onnx", "--out", folder / "first.csv"]
    command = [python.with_name("monai-cxr"), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", default=[])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--serving-only", action="store_true")
    options = parser.parse_args()
    folder = Path(options.work or tempfile.mkdtemp(prefix="monai-cxr-install-"))
    print("| installation | seconds | adds, MB | in all, MB |\n|---|--:|--:|--:|")
    python = environment(folder / "serving")
    empty = size_mb(folder / "serving")
    seconds = installed(python, ("-r", "deploy/serving.txt"), ("--no-deps", "."))
    whole = size_mb(folder / "serving")
    print(f"| serving only | {seconds:.0f} | {whole - empty} | {whole} |", flush=True)
    if options.bundle and options.film:
        seconds = first_prediction(python, options.bundle, options.film, folder)
        print(f"| its first prediction | {seconds:.1f} | | |", flush=True)
    if options.serving_only:
        return
    python = environment(folder / "whole")
    before = empty
    for name in ("", *(options.extras or EXTRAS)):
        seconds = installed(python, (f".[{name}]" if name else ".",))
        now = size_mb(folder / "whole")
        label = f"`[{name}]`" if name else "default"
        print(f"| {label} | {seconds:.0f} | {now - before} | {now} |", flush=True)
        before = now


if __name__ == "__main__":
    main()
