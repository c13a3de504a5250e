"""Verdicts, then and now: what two checkouts say of the same films with the same bundle.

    git worktree add --detach ../old 74f5890
    python benchmarks/verdicts.py ../old . --bundle BUNDLE ../shared/data/dicom ../shared/cases

Every file in the folders is named to ``predict``, except texts and scripts. Printed are how many
films have the same reason, flags and probabilities, and one row for each film that has not.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TEXTS = (".csv", ".js", ".json", ".md", ".pt", ".py", ".onnx", ".sh", ".txt", "")
"""Suffixes that are no film; a file without a suffix is one if DICM stands at its byte 128."""

TOLERANCE = 1e-5
COMMAND = (sys.executable, "-c", "from monai_cxr.cli import main; main()", "predict")


@dataclass(frozen=True)
class Verdict:
    """What was said of a film: a reason or none, flags, and probabilities by column."""

    reason: str
    flags: tuple[str, ...]
    probabilities: dict[str, float]

    def beside(self, other: Verdict) -> float:
        """Largest change of a probability; infinity where other findings were scored."""
        if self.probabilities.keys() != other.probabilities.keys():
            return float("inf")
        pairs = (
            (self.probabilities[name], other.probabilities[name]) for name in self.probabilities
        )
        return max((abs(a - b) for a, b in pairs), default=0.0)

    def text(self) -> str:
        """One cell of a table."""
        return " ".join((self.reason or "scored", *(f"`{flag}`" for flag in self.flags)))


def films(folders: list[Path]) -> list[Path]:
    """Files that may be films, sorted; links are not followed."""
    found = []
    for path in sorted(p for folder in folders for p in folder.resolve().rglob("*") if p.is_file()):
        if path.suffix.lower() not in TEXTS:
            found.append(path)
        elif path.suffix == "":
            with path.open("rb") as stream:
                found += [path] if stream.read(132)[128:] == b"DICM" else []
    return found


def predict(tree: Path, options: argparse.Namespace, paths: list[Path]) -> dict[str, Verdict]:
    """Verdicts by path; if a film ends the run for all, every film has a run of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "verdicts.csv"
        named = [str(options.bundle.resolve()), *map(str, paths)]
        done = subprocess.run(
            [*COMMAND, *named, "--out", str(out), "--runtime", options.runtime],
            cwd=tree,  # which Python looks into first
            env={**os.environ, "PYTHONPATH": str(tree.resolve())},
            capture_output=True,
            check=False,
        )
        if not out.exists():
            if len(paths) == 1:
                return {str(paths[0]): Verdict(f"ends with {done.returncode}", (), {})}
            half = len(paths) // 2
            return {
                **predict(tree, options, paths[:half]),
                **predict(tree, options, paths[half:]),
            }
        with out.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    if len(rows) != len(paths):
        raise SystemExit(f"{tree} returned {len(rows)} rows for {len(paths)} films.")
    return {str(path): verdict(row) for path, row in zip(paths, rows, strict=True)}


def verdict(row: dict[str, str]) -> Verdict:
    """Read a row of a predictions table."""
    known = {k: float(v) for k, v in row.items() if k.startswith("probability_") and v}
    flags = tuple(sorted(filter(None, row.get("flags", "").split(";"))))
    return Verdict(row["reason"], flags, known)


def main() -> None:
    """Print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--runtime", default="onnx")
    options = parser.parse_args()
    paths = films(options.folders)
    old, new = (predict(tree, options, paths) for tree in (options.before, options.after))
    changed = []
    for path in map(str, paths):
        a, b = old[path], new[path]
        if (a.reason, a.flags) != (b.reason, b.flags) or a.beside(b) > TOLERANCE:
            changed.append((Path(path).parent.name + "/" + Path(path).name, a, b))
    print(f"{len(paths)} films, {len(paths) - len(changed)} with the same verdict.\n")
    print("| film | before | after | largest change of a probability |\n|---|---|---|--:|")
    for name, a, b in changed:
        both = bool(a.probabilities and b.probabilities)
        print(f"| `{name}` | {a.text()} | {b.text()} | {f'{a.beside(b):.1g}' if both else ''} |")


if __name__ == "__main__":
    main()
