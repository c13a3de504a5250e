"""A release as it is installed: sdist and wheel of a clean tree, in environments of their own.

    python benchmarks/release.py [--bundle BUNDLE --film FILM] [--whole] [--lowest]
        [--python VERSION ...]

Clones the last commit, builds the sdist and from it the wheel, and installs the wheel for each
Python from 3.10 to 3.13 that is on this machine: with what serving needs, or with --whole with
everything. ``--lowest`` takes the lowest version of each requirement that its bound allows and that
has a wheel for this Python, and the newest of what those need in turn (uv chooses). There, outside
of the source folder, it draws phantoms and indexes them, and with a bundle that holds an ONNX
export it predicts a film and evaluates. With --whole it also trains, packages, exports, explains.
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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
    run(python, "-m", "pip", "install", "--quiet", "hatchling>=1.25", "uv", cwd=folder)
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


def needed(tree: Path, *, whole: bool) -> str:
    """The requirements of an installation, a line each."""
    if not whole:
        return (tree / "deploy" / "serving.txt").read_text(encoding="utf-8")
    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return "\n".join([*project["dependencies"], *extras["onnx"], *extras["pacs"]]) + "\n"


def environment(python: str, version: str, folder: Path, options: argparse.Namespace) -> Path:
    """An environment with the wheel and what it needs; prints the versions of the lowest."""
    home = folder / version
    run(python, "-m", "venv", home, cwd=folder)
    own = home / "bin" / "python"
    wheel = next((folder / "dist").glob("*.whl"))
    text = needed(folder / "tree", whole=options.whole)
    (home / "needed.txt").write_text(text, encoding="utf-8")
    if options.lowest:
        uv = [folder / "builder" / "bin" / "uv", "pip"]
        lowest = ["--resolution", "lowest-direct", "--only-binary", ":all:", "--no-cache"]
        given = ["--python", own, "-r", home / "needed.txt"]
        run(*uv, "install", "--quiet", *lowest, *given, cwd=folder)
        names = {
            re.split(r"[\[<>=; ]", line)[0] for line in text.splitlines() if line[:1].isalpha()
        }
        frozen = [*uv, "freeze", "--python", own]
        lines = subprocess.check_output(list(map(str, frozen)), text=True).split()
        print(*(line for line in lines if line.partition("==")[0] in names), flush=True)
    else:
        run(own, "-m", "pip", "install", "--quiet", "-r", home / "needed.txt", cwd=folder)
    run(own, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=folder)
    return home / "bin" / "monai-cxr"


def tried(verb: Path, work: Path, options: argparse.Namespace) -> str:
    """What was done with the wheel in an environment."""
    work.mkdir()
    labels = ("--labels", "films/labels.csv")
    run(verb, "--help", cwd=work)
    run(verb, "phantom", "--out", "films", "--patients", 8, "--size", 256, cwd=work)
    run(verb, "index", "folder", "films", *labels, "--out", "i.csv", cwd=work)
    said = "help, phantom, index"
    if options.whole:
        run(verb, "demo", "--patients", 60, "--epochs", 1, "--out", "demo", cwd=work)
        run(verb, "export", "demo/bundle", "--to", "onnx", cwd=work)
        film = next((work / "films").rglob("*.dcm"))
        run(verb, "explain", film, "--bundle", "demo/bundle", "--out", "maps", cwd=work)
        run(verb, "predict", "demo/bundle", film, "--runtime", "onnx", "--out", "o.csv", cwd=work)
        said += ", demo (train, calibrate, package, evaluate), export, explain, predict"
    if options.bundle and options.film:
        bundle, film = options.bundle.resolve(), options.film.resolve()
        run(verb, "verify", bundle, cwd=work)
        run(verb, "predict", bundle, film, "--runtime", "onnx", "--out", "p.csv", cwd=work)
        run(verb, "predict", bundle, "i.csv", "--runtime", "onnx", "--out", "q.csv", cwd=work)
        run(verb, "evaluate", "q.csv", "--out", "report", "--bootstrap", 100, cwd=work)
        said += "; of the bundle: verify, predict, evaluate"
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--lowest", action="store_true", help="The lower bounds of what is needed.")
    parser.add_argument("--python", nargs="+", choices=PYTHONS, default=PYTHONS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monai-cxr-release-") as name:
        folder = Path(name)
        sdist, wheel = built(folder)
        with zipfile.ZipFile(wheel) as archive:
            files = archive.namelist()
        print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(files)} files")
        for version in options.python:
            python = interpreter(version)
            if python is None:
                print(f"Python {version}: not on this machine", flush=True)
            else:
                verb = environment(python, version, folder, options)
                said = tried(verb, folder / version / "work", options)
                shutil.rmtree(folder / version)
                print(f"Python {version}: {said}", flush=True)


if __name__ == "__main__":
    main()
