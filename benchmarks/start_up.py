"""Start-up: a new process that loads a bundle and predicts one film, by the command line.

Usage: python benchmarks/start_up.py BUNDLE FILM [--runtimes onnx,openvino,auto,torch]
           [--rounds 5] [--json FILE]

Each round starts `monai-cxr predict BUNDLE FILM --workers 0` once for each runtime, in turn. The
clock runs from before the interpreter starts until the process has ended, with the predictions on
disk. The first round is thrown away: it fills the disk cache, and lets `auto` remember its choice.
What is exported is the bundle's own: give one to which `monai-cxr export` has written.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Starts:
    """What the starts of a runtime took: wall and CPU seconds, and the largest memory in MiB."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def start(options: argparse.Namespace, runtime: str, out: Path) -> tuple[float, float, float]:
    """One process from nothing to a prediction."""
    command = [sys.executable, "-c", "from monai_cxr.cli import main; main()", "predict"]
    command += [str(options.bundle), str(options.film), "--out", str(out)]
    command += ["--runtime", runtime, "--workers", "0"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not out.exists():
        raise SystemExit(f"The prediction with {runtime} failed: see above.")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("film", type=Path)
    parser.add_argument("--runtimes", default="onnx,openvino,auto,torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runtimes = options.runtimes.split(",")
    starts = {runtime: Starts() for runtime in runtimes}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(options.rounds + 1):
            turn = i % len(runtimes)
            for runtime in runtimes[turn:] + runtimes[:turn]:
                wall, cpu, memory = start(options, runtime, Path(folder) / f"{i}-{runtime}.csv")
                if i > 0:
                    starts[runtime].wall.append(wall)
                    starts[runtime].cpu.append(cpu)
                    starts[runtime].memory.append(memory)
    print(f"{'runtime':16}{'wall s, median (range)':>26}{'CPU s':>8}{'MiB':>7}")
    for runtime, seen in starts.items():
        wall = f"{statistics.median(seen.wall):.2f} ({min(seen.wall):.2f}-{max(seen.wall):.2f})"
        cpu, memory = statistics.median(seen.cpu), statistics.median(seen.memory)
        print(f"{runtime:16}{wall:>26}{cpu:8.2f}{memory:7.0f}")
    if options.json:
        rows = {name: vars(seen) for name, seen in starts.items()}
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
