"""Reading, then and now: CPU time of reading the same films by two checkouts, in turns.

    git worktree add --detach ../old 74f5890
    python benchmarks/reading_trees.py ../old . film.dcm film.png ...

Each round runs a process of each tree, in a turning order, on the same core; the faster half of the
readings counts, because what else runs only ever adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

CHILD = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
try:
    from monai_cxr.reading.film_input import InputSpec, read_film_input
except ImportError:  # before decision 129
    from monai_cxr.bundle.film_input import InputSpec, read_film_input
from pathlib import Path
specs, films = [InputSpec(224, "stretch")], [Path(name) for name in sys.argv[2:]]
refused = [f.name for f in films if not hasattr(read_film_input(f, specs), "inputs")]
times = {str(film): [] for film in films}
for _ in range(int(sys.argv[1])):
    for film in films:
        began = time.process_time()
        read_film_input(film, specs)
        times[str(film)].append(time.process_time() - began)
print(json.dumps([times, refused]))
"""


def readings(tree: Path, core: int, times: int, films: list[Path]) -> dict[str, list[float]]:
    """CPU seconds of each reading, by film."""
    command = [sys.executable, "-c", CHILD, str(times), *map(str, films)]
    done = subprocess.run(
        command,
        cwd=tree,  # which Python looks into first
        env={**os.environ, "PYTHONPATH": str(tree)},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        capture_output=True,
        check=True,
        text=True,
    )
    found, refused = json.loads(done.stdout)
    if refused:
        raise SystemExit(f"{tree} refuses {', '.join(refused)}.")
    return found  # type: ignore[no-any-return]


def typical(seconds: list[float]) -> float:
    """Milliseconds of the faster half."""
    half = sorted(seconds)[: max(1, len(seconds) // 2)]
    return 1000.0 * sum(half) / len(half)


def main() -> None:
    """Print a row per film."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--times", type=int, default=10, help="readings a round")
    arguments = parser.parse_args()
    trees = [arguments.old.resolve(), arguments.new.resolve()]
    films = [film.resolve() for film in arguments.films]
    cores = sorted(os.sched_getaffinity(0))
    found: dict[Path, dict[str, list[float]]] = {tree: {} for tree in trees}
    for number in range(arguments.rounds):
        for tree in trees if number % 2 == 0 else trees[::-1]:
            part = readings(tree, cores[number % len(cores)], arguments.times, films)
            for film, seconds in part.items():
                found[tree].setdefault(film, []).extend(seconds)
    print("| film | old, CPU ms | new, CPU ms | change |")
    print("|---|--:|--:|--:|")
    sums = [0.0, 0.0]
    for film in map(str, films):
        old, new = (typical(found[tree][film]) for tree in trees)
        sums = [sums[0] + old, sums[1] + new]
        print(f"| {Path(film).name} | {old:.2f} | {new:.2f} | {100 * (new / old - 1):+.1f} % |")
    old, new = sums
    print(f"| all | {old:.1f} | {new:.1f} | {100 * (new / old - 1):+.1f} % |")


if __name__ == "__main__":
    main()
