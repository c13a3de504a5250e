"""A release as it is installed: sdist and wheel of a clean tree, in environments of their own.

    python benchmarks/release.py [--bundle BUNDLE --film FILM] [--whole | --lowest]

Clones the last commit, builds the sdist and from it the wheel, and installs the wheel for each
Python from 3.10 to 3.13 that is on this machine: with what serving needs (--lowest: in its lowest
versions), or with --whole with everything. There, outside of the source folder, it draws phantoms
and indexes them, and with a bundle that holds an ONNX export it predicts a film and evaluates.
Needs a package index. Ends with 1 if something fails.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def run(*words: object, cwd: Path) -> None:
    """Run a command; its output is shown if it fails."""
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")


def built(folder: Path) -> tuple[Path, Path]:
    """The sdist of a clean clone, and the wheel that is made of it."""
    tree, out = folder / "tree", folder / "dist"
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, tree, cwd=folder)
    run(sys.executable, "-m", "venv", folder / "builder", cwd=folder)
    python = folder / "builder" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "hatchling>=1.25", cwd=folder)
    run(python, "-m", "hatchling", "build", "--target", "sdist", "--directory", out, cwd=tree)
    (sdist,) = out.glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    run(python, "-m", "hatchling", "build", "--target", "wheel", "--directory", out, cwd=unpacked)
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def interpreter(version: str) -> str | None:
    """A Python of a version that starts: on the path, or one that pyenv keeps."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in (shutil.which(f"python{version}"), *map(str, kept)):
        if candidate and not subprocess.run([candidate, "-V"], capture_output=True).returncode:
            return candidate
    return None


def tried(python: str, version: str, wheel: Path, folder: Path, options: argparse.Namespace) -> str:
    """What was done with the wheel in an environment of a Python."""
    home = folder / version
    run(python, "-m", "venv", home, cwd=folder)
    pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet"]
    if options.whole:
        run(*pip, f"{wheel}[onnx,pacs]", cwd=folder)
    else:
        needed = (ROOT / "deploy" / "serving.txt").read_text(encoding="utf-8")
        if options.lowest:
            needed = re.sub(r">=([\w.]+)(,<\w+)?", r"==\1", needed)
        (home / "needed.txt").write_text(needed, encoding="utf-8")
        run(*pip, "-r", home / "needed.txt", cwd=folder)
        run(*pip, "--no-deps", wheel, cwd=folder)
    verb, work = home / "bin" / "monai-cxr", home / "work"
    work.mkdir()
    run(verb, "phantom", "--out", "films", "--patients", 8, "--size", 256, cwd=work)
    run(
        verb, "index", "folder", "films", "--labels", "films/labels.csv", "--out", "i.csv", cwd=work
    )
    if not (options.bundle and options.film):
        return "phantom, index"
    bundle, film = options.bundle.resolve(), options.film.resolve()
    run(verb, "verify", bundle, cwd=work)
    run(verb, "predict", bundle, film, "--runtime", "onnx", "--out", "p.csv", cwd=work)
    run(verb, "predict", bundle, "i.csv", "--runtime", "onnx", "--out", "q.csv", cwd=work)
    run(verb, "evaluate", "q.csv", "--out", "report", "--bootstrap", 100, cwd=work)
    return "phantom, index, verify, predict, evaluate"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--lowest", action="store_true", help="The lower bounds of serving.txt.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monai-cxr-release-") as name:
        folder = Path(name)
        sdist, wheel = built(folder)
        with zipfile.ZipFile(wheel) as archive:
            files = archive.namelist()
        print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(files)} files")
        for version in PYTHONS:
            python = interpreter(version)
            if python is None:
                print(f"Python {version}: not on this machine", flush=True)
            else:
                said = tried(python, version, wheel, folder, options)
                print(f"Python {version}: {said}", flush=True)


if __name__ == "__main__":
    main()
