"""Bench: what a machine does with a bundle, against the multiplications it can do, and advice."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr.bundle.bench_films import write_bench_films
from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.digests import model_digest, read_digests
from monai_cxr.bundle.engine_rates import processor, remember_rates, versions
from monai_cxr.bundle.engines import installed, open_named
from monai_cxr.bundle.exports import read_exports
from monai_cxr.bundle.film_input import InputSpec, RefusedFilm, read_film_input
from monai_cxr.bundle.read_ahead import read_ahead
from monai_cxr.bundle.runtime import ENGINES, Runtime, RuntimeName, available_cores
from monai_cxr.errors import BundleError, MissingDependency, SettingsError

Progress = Callable[[int, int], None]

_BATCHES = (1, 8, 32)
_DENSENET121_GFLOP = 2 * 2.87
"""Of one 224-px film of one channel, counted as two operations a multiplication."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured.

    Attributes:
        processor: Its name.
        cores: That this process may use.
        load: Mean number of running processes in the minute before; NaN where unknown.
        gflops: Fp32 multiplications and additions a second of a large matrix product, in 1e9.
        versions: Of the engines.
    """

    processor: str
    cores: int
    load: float
    gflops: float
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EngineRate:
    """One engine at one batch size.

    Attributes:
        runtime: As ``--runtime`` takes it.
        batch_size: Films at a time.
        films_per_second: Median of the rounds.
        cpu_ms: CPU time of all threads, a film.
        flop_share: Share of the measured FLOP limit; None where the network's cost is not known.
    """

    runtime: str
    batch_size: int
    films_per_second: float
    cpu_ms: float
    flop_share: float | None


@dataclass(frozen=True, slots=True)
class ReadingTime:
    """One kind of file: median ms to read, decode, window and resize, in one thread."""

    kind: str
    ms: float


@dataclass(frozen=True, slots=True)
class EndToEndRate:
    """Files to logits, through the pipeline of ``monai-cxr predict``.

    Attributes:
        kind: Of file.
        readers: ``"processes"`` or ``"threads"``.
        films_per_second: Over all films; starting the readers is left out.
    """

    kind: str
    readers: str
    films_per_second: float


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that was measured.

    Attributes:
        machine: Where.
        image_size: Side of the network input in pixels.
        engines: The network alone.
        reading: Files alone.
        end_to_end: Both.
        unavailable: Why an engine was not measured, by name.
        recommendation: Options of ``monai-cxr predict``.
    """

    machine: Machine
    image_size: int
    engines: tuple[EngineRate, ...]
    reading: tuple[ReadingTime, ...]
    end_to_end: tuple[EndToEndRate, ...]
    unavailable: Mapping[str, str]
    recommendation: str

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def bench(
    name: Path | str | None = None,
    *,
    seconds: float = 2.0,
    n_films: int = 32,
    progress: Progress | None = None,
) -> Bench:
    """Measure engines, reading and the whole, and remember the fp32 rates for ``--runtime auto``.

    Args:
        name: A bundle; None for the one that ships with the package, with random weights.
        seconds: About how long to measure each engine at each batch size.
        n_films: Films of the end-to-end measurement.
        progress: Called with (done, total) steps.

    Raises:
        InvalidBundle: If the bundle is.
    """
    tell = progress or (lambda done, total: None)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    steps = 4
    tell(0, steps)
    machine = Machine(processor(), available_cores(), load, gemm_gflops(), versions())
    with tempfile.TemporaryDirectory(prefix="monai-cxr-") as folder:
        bundle = _random_bundle(Path(folder)) if name is None else find_bundle(name)
        config = read_config(bundle, "inference")
        packaged = (bundle / "digests.json").is_file()
        digest = model_digest(read_digests(bundle)) if packaged else ""
        runtimes, unavailable = _open_all(bundle, config, digest)
        tell(1, steps)
        size = int(config["image_size"])
        engines = _engine_rates(runtimes, size, seconds, _gflop(config), machine.gflops)
        best = _best(engines)
        if packaged:
            remember_rates(digest, {name: rate for name, rate in best.items() if "-" not in name})
        tell(2, steps)
        films = write_bench_films(Path(folder))
        spec = InputSpec(size, config["resize"])
        reading = tuple(ReadingTime(kind, _read_ms(path, spec)) for kind, path in films.items())
        tell(3, steps)
        fastest = max((one for one in best if "-" not in one), key=lambda one: best[one])
        mixed = {"the five syntaxes in turn": list(films.values())}
        whole = {"PNG 1024": [films["PNG 1024"]], **mixed}
        end_to_end = tuple(
            _end_to_end(kind, paths, spec, runtimes[fastest], n_films, processes)
            for kind, paths in whole.items()
            for processes in (True, False)
        )
        tell(4, steps)
    advice = _recommend(fastest, engines, end_to_end, machine)
    return Bench(machine, size, engines, reading, end_to_end, unavailable, advice)


def gemm_gflops(side: int = 1536, rounds: int = 5) -> float:
    """Rate of a large fp32 matrix product on all cores, best of some rounds, in 1e9 a second."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(side, side)).astype(np.float32) for _ in range(2))
    a @ b
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def _random_bundle(folder: Path) -> Path:
    """The bundle that ships with the package, with random weights."""
    import torch

    from monai_cxr.bundle.config import copy_bundle
    from monai_cxr.bundle.torch_runtime import build_network

    bundle = folder / "random_weights"
    copy_bundle(find_bundle("chest_xray_classification"), bundle, {})
    torch.manual_seed(0)
    (bundle / "models").mkdir()
    network = build_network(read_config(bundle, "inference"))
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    return bundle


def _gflop(config: Mapping[str, Any]) -> float | None:
    network = config.get("network_def")
    if not isinstance(network, dict) or network.get("_target_") != "DenseNet121":
        return None
    return _DENSENET121_GFLOP * (int(config["image_size"]) / 224) ** 2


def _open_all(
    bundle: Path, config: Mapping[str, Any], digest: str
) -> tuple[dict[str, Runtime], dict[str, str]]:
    runtimes: dict[str, Runtime] = {}
    unavailable: dict[str, str] = {}
    names = ["torch", *(export.name for export in read_exports(bundle))]
    for name in names:
        try:
            runtimes[name] = open_named(bundle, config, digest, RuntimeName.parse(name), "auto")[0]
        except (MissingDependency, SettingsError, BundleError) as error:
            unavailable[name] = str(error)
    for engine in ENGINES:
        if engine not in names:
            reason = "the bundle has no export for it: monai-cxr export BUNDLE --to " + engine
            unavailable[engine] = reason if installed(engine) else "it is not installed"
    return runtimes, unavailable


def _engine_rates(
    runtimes: Mapping[str, Runtime],
    size: int,
    seconds: float,
    gflop: float | None,
    limit: float,
) -> tuple[EngineRate, ...]:
    """Median rates, the engines in turn, so that a slow moment of the machine hits all alike."""
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


def _best(engines: Sequence[EngineRate]) -> dict[str, float]:
    best: dict[str, float] = {}
    for one in engines:
        best[one.runtime] = max(best.get(one.runtime, 0.0), one.films_per_second)
    return best


def _read_ms(path: Path, spec: InputSpec, rounds: int = 3) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        film = read_film_input(path, [spec])
        times.append(1000 * (time.perf_counter() - start))
        if isinstance(film, RefusedFilm):
            raise SettingsError(f"A film of the benchmark was refused: {film.message}")
    return float(np.median(times[1:]))  # the first one imports the decoder


def _end_to_end(
    kind: str,
    paths: Sequence[Path],
    spec: InputSpec,
    runtime: Runtime,
    n_films: int,
    processes: bool,
) -> EndToEndRate:
    cores = available_cores()
    warm = 2 * cores
    wanted = [paths[i % len(paths)] for i in range(warm + n_films)]
    films = read_ahead(
        wanted, [spec], workers=cores, ahead=runtime.batch_size + 2 * cores, processes=processes
    )
    for _ in range(warm):
        next(films)
    wall = time.perf_counter()
    batch: list[Any] = []
    for film in films:
        batch.append(film.inputs[0])  # type: ignore[union-attr]
        if len(batch) == runtime.batch_size:
            runtime.run(np.stack(batch))
            batch = []
    if batch:
        runtime.run(np.stack(batch))
    rate = n_films / (time.perf_counter() - wall)
    return EndToEndRate(kind, "processes" if processes else "threads", rate)


def _recommend(
    fastest: str,
    engines: Sequence[EngineRate],
    end_to_end: Sequence[EndToEndRate],
    machine: Machine,
) -> str:
    batch = max(
        (one for one in engines if one.runtime == fastest), key=lambda one: one.films_per_second
    ).batch_size
    threads = sum(one.films_per_second for one in end_to_end if one.readers == "threads")
    processes = sum(one.films_per_second for one in end_to_end if one.readers == "processes")
    # Threads share one interpreter, and a fault in a decoder ends them all: they must be clearly
    # faster to be worth that.
    workers = 0 if threads > 1.2 * processes else machine.cores
    return f"--runtime {fastest} --batch-size {max(batch, 8)} --workers {workers}"
