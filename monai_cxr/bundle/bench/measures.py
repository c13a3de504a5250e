"""Bench measures: multiplications, engines, reading and the whole, each as a rate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from monai_cxr.bundle.bench.opened import OpenedBundle
from monai_cxr.bundle.bench.report import EndToEndRate, EngineRate
from monai_cxr.bundle.engines.runtime import FilmBatch, Runtime, available_cores
from monai_cxr.errors import SettingsError
from monai_cxr.reading.film_input import InputSpec, RefusedFilm, read_film_input
from monai_cxr.reading.film_readers import read_ahead
from monai_cxr.reading.in_order import in_order

_BATCHES = (1, 8, 32)


def gemm_gflops() -> float:
    """Rate of a large fp32 matrix product on all cores, best of five, in 1e9 a second."""
    rng, side = np.random.default_rng(0), 1536
    a, b = (rng.normal(size=(side, side)).astype(np.float32) for _ in range(2))
    a @ b
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


@dataclass(slots=True)
class _Turn:
    """One engine of one bundle at one batch size, and the seconds that it took."""

    bundle: OpenedBundle
    name: str
    batch: FilmBatch
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    def take(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.bundle.runtimes[self.name].run(self.batch)
        self.walls.append(time.perf_counter() - wall)
        self.cpus.append(time.process_time() - cpu)

    def rate(self, limit: float) -> EngineRate:
        n_films, one = len(self.batch), self.bundle
        rate = n_films / float(np.median(self.walls))
        cpu_ms = 1000 * float(np.median(self.cpus)) / n_films
        share, megabytes = rate * one.network.gflop / limit, one.file_mb[self.name]
        return EngineRate(one.label, self.name, n_films, rate, cpu_ms, share, megabytes)


def engine_rates(
    bundles: Sequence[OpenedBundle], seconds: float, limit: float
) -> tuple[EngineRate, ...]:
    """Median rates by batch size; all engines take turns, so that a slow moment hits all alike.

    Args:
        bundles: Opened.
        seconds: About how long to measure each engine at each batch size.
        limit: Fp32 multiplications and additions that the machine can do in a second, in 1e9.
    """
    rates: list[EngineRate] = []
    for batch_size in _BATCHES:
        turns = [
            _Turn(one, name, _noise(batch_size, one.network.image_size))
            for one in bundles
            for name in one.runtimes
        ]
        for turn in turns:  # the first batch of a size is slow
            turn.bundle.runtimes[turn.name].run(turn.batch)
        end = time.perf_counter() + seconds * len(turns)
        while True:
            for turn in turns:
                turn.take()
            if time.perf_counter() > end:
                break
        rates += [turn.rate(limit) for turn in turns]
    return tuple(rates)


def _noise(batch_size: int, size: int) -> FilmBatch:
    shape = (batch_size, 1, size, size)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def read_ms(path: Path, spec: InputSpec) -> float:
    """Median ms to read, decode, window and resize a file in this thread.

    Raises:
        SettingsError: If it is refused.
    """
    times = []
    for _ in range(4):
        start = time.perf_counter()
        film = read_film_input(path, [spec])
        times.append(1000 * (time.perf_counter() - start))
        if isinstance(film, RefusedFilm):
            raise SettingsError(f"A film of the benchmark was refused: {film.message}")
    return float(np.median(times[1:]))  # the first one imports the decoder


def end_to_end(
    kind: str,
    paths: Sequence[Path],
    spec: InputSpec,
    runtime: Runtime,
    n_films: int,
    processes: bool,
) -> EndToEndRate:
    """Films a second from files to logits; readers and engine are warm when it starts.

    Args:
        kind: Kind of file.
        paths: Files, taken in turn.
        spec: What the network takes.
        runtime: Holds it.
        n_films: How many.
        processes: Read in child processes, else in threads.
    """
    cores = available_cores()
    warm = 2 * cores
    wanted = [paths[i % len(paths)] for i in range(warm + n_films)]
    films = read_ahead(
        wanted, [spec], workers=cores, ahead=2 * (runtime.batch_size + cores), processes=processes
    )
    for _ in range(warm):
        next(films)
    wall = time.perf_counter()
    inputs = (film.inputs[0] for film in films)  # type: ignore[union-attr]
    batches = iter(lambda: list(islice(inputs, runtime.batch_size)), [])
    n = runtime.batches_at_once
    for _ in in_order(runtime.run, map(np.stack, batches), workers=n, ahead=n, name="film-batch"):
        pass
    rate = n_films / (time.perf_counter() - wall)
    return EndToEndRate(kind, "processes" if processes else "threads", rate)
