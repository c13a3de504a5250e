"""Bench measures: multiplications, engines, reading and the whole, each as a rate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr.bundle.bench.report import EndToEndRate, EngineRate
from monai_cxr.bundle.engines.runtime import Runtime, available_cores
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


def network_gflop(network: Any, size: int) -> float:
    """Cost of one film in 1e9 multiplications and additions, counted by torch.

    Args:
        network: ``torch.nn.Module`` in evaluation mode, on the CPU.
        size: Side of its input in pixels.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.zeros(1, 1, size, size))
    return float(counter.get_total_flops()) / 1e9


def engine_rates(
    runtimes: Mapping[str, Runtime], size: int, seconds: float, gflop: float | None, limit: float
) -> tuple[EngineRate, ...]:
    """Median rates by batch size; the engines take turns, so that a slow moment hits all alike."""
    noise = np.random.default_rng(0).normal(size=(max(_BATCHES), 1, size, size)).astype(np.float32)
    rates = []
    for batch_size in _BATCHES:
        batch = noise[:batch_size]
        walls: dict[str, list[float]] = {name: [] for name in runtimes}
        cpus: dict[str, list[float]] = {name: [] for name in runtimes}
        for runtime in runtimes.values():
            runtime.run(batch)
        end = time.perf_counter() + seconds * len(runtimes)
        while True:
            for name, runtime in runtimes.items():
                wall, cpu = time.perf_counter(), time.process_time()
                runtime.run(batch)
                walls[name].append(time.perf_counter() - wall)
                cpus[name].append(time.process_time() - cpu)
            if time.perf_counter() > end:
                break
        for name in runtimes:
            rate = batch_size / float(np.median(walls[name]))
            cpu_ms = 1000 * float(np.median(cpus[name])) / batch_size
            share = None if gflop is None else rate * gflop / limit
            rates.append(EngineRate(name, batch_size, rate, cpu_ms, share))
    return tuple(rates)


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
