"""Bench: what a machine does with a bundle, against the multiplications it can do, and advice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from monai_cxr.bundle.bench.films import write_bench_films
from monai_cxr.bundle.bench.measures import end_to_end, engine_rates, gemm_gflops, read_ms
from monai_cxr.bundle.bench.opened import OpenedBundle, open_bundle, random_bundle
from monai_cxr.bundle.bench.report import (
    Bench,
    EndToEndRate,
    EngineParity,
    EngineRate,
    Machine,
    ReadingTime,
)
from monai_cxr.bundle.config import find_bundle
from monai_cxr.bundle.engines.choice import HALF, MIN_GAIN, half_pays
from monai_cxr.bundle.engines.rates import Measured, processor, remember, versions
from monai_cxr.bundle.engines.runtime import Runtime, available_cores
from monai_cxr.errors import SettingsError
from monai_cxr.reading.film_input import InputSpec

Progress = Callable[[int, int], None]

_STEPS = 5


def bench(
    name: Path | str | None = None,
    *others: Path | str,
    seconds: float = 2.0,
    n_films: int = 32,
    progress: Progress | None = None,
) -> Bench:
    """Measure engines, reading and the whole, and remember the rates for ``--runtime auto``.

    Args:
        name: A bundle; None for the one that ships with the package, with random weights, exported
            for each engine that is installed.
        others: Further bundles, whose engines take turns with those of the first; reading and the
            whole are measured with the first.
        seconds: About how long to measure each engine at each batch size.
        n_films: Films of the end-to-end measurement.
        progress: Called with (done, total) steps.

    Raises:
        InvalidBundle: If a bundle is.
        SettingsError: If a bundle is named twice.
    """
    tell = progress or (lambda done, total: None)
    labels = [str(one) for one in ("random weights" if name is None else name, *others)]
    if len(set(labels)) < len(labels):
        raise SettingsError(f"Name each bundle once, but got {', '.join(labels)}.")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    tell(0, _STEPS)
    machine = Machine(processor(), available_cores(), load, gemm_gflops(), versions())
    with tempfile.TemporaryDirectory(prefix="monai-cxr-") as folder:
        first = (
            random_bundle(Path(folder) / "random_weights") if name is None else find_bundle(name)
        )
        bundles = [first, *map(find_bundle, others)]
        tell(1, _STEPS)
        opened = [open_bundle(*one) for one in zip(bundles, labels, strict=True)]
        tell(2, _STEPS)
        engines = engine_rates(opened, seconds, machine.gflops)
        for one in opened[name is None :]:
            if one.digest:
                remember(one.digest, _memory(_rates_of(one, engines), one.agreement))
        tell(3, _STEPS)
        chosen, rates = opened[0], _rates_of(opened[0], engines)
        fastest = _fastest(rates, chosen.agreement)
        films = write_bench_films(Path(folder))
        spec = InputSpec(chosen.network.image_size, chosen.config["resize"])
        reading = _reading(films, spec)
        tell(4, _STEPS)
        whole = _whole(films, spec, chosen.runtimes[fastest], n_films)
        tell(5, _STEPS)
    return Bench(
        machine,
        tuple(one.network for one in opened),
        chosen.network.image_size,
        engines,
        reading,
        whole,
        tuple(parity for one in opened for parity in one.agreement),
        {
            engine + (f" of {one.label}" if one is not chosen else ""): reason
            for one in opened
            for engine, reason in one.unavailable.items()
        },
        _recommend(fastest, rates, whole, machine),
        _faster(rates, fastest),
    )


def _rates_of(one: OpenedBundle, engines: Sequence[EngineRate]) -> list[EngineRate]:
    return [rate for rate in engines if rate.bundle == one.label]


def _best(engines: Sequence[EngineRate]) -> dict[str, float]:
    best: dict[str, float] = {}
    for one in engines:
        best[one.runtime] = max(best.get(one.runtime, 0.0), one.films_per_second)
    return best


def _memory(engines: Sequence[EngineRate], agreement: Sequence[EngineParity]) -> Measured:
    """What ``--runtime auto`` chooses by: fp32, and bf16 with its change."""
    rates = {name: r for name, r in _best(engines).items() if "-" not in name or name == str(HALF)}
    return Measured(rates, {a.runtime: a.change for a in agreement if a.runtime == str(HALF)})


def _fastest(engines: Sequence[EngineRate], agreement: Sequence[EngineParity]) -> str:
    """What ``--runtime auto`` would take."""
    known = _memory(engines, agreement)
    exact = {name: rate for name, rate in known.rates.items() if name != str(HALF)}
    best = max(exact, key=lambda one: exact[one])
    return str(HALF) if half_pays(known, best) else best


def _faster(engines: Sequence[EngineRate], recommended: str) -> dict[str, float]:
    """How many times faster other precisions are, where it is enough to be worth a digest."""
    best = _best(engines)
    gains = {name: rate / best[recommended] for name, rate in best.items() if "-" in name}
    order = sorted(gains, key=lambda name: -gains[name])
    return {name: round(gains[name], 2) for name in order if gains[name] >= MIN_GAIN}


def _reading(films: Mapping[str, Path], spec: InputSpec) -> tuple[ReadingTime, ...]:
    times = [ReadingTime(kind, read_ms(path, spec)) for kind, path in films.items()]
    reduced = InputSpec(spec.size, spec.resize, spec.scope, "reduced")
    jpeg2000 = "DICOM JPEG 2000"
    times.append(ReadingTime(f"{jpeg2000}, reduced", read_ms(films[jpeg2000], reduced)))
    return tuple(times)


def _whole(
    films: Mapping[str, Path], spec: InputSpec, runtime: Runtime, n_films: int
) -> tuple[EndToEndRate, ...]:
    kinds = {"PNG 1024": [films["PNG 1024"]], "the six kinds of file in turn": [*films.values()]}
    return tuple(
        end_to_end(kind, paths, spec, runtime, n_films, processes)
        for kind, paths in kinds.items()
        for processes in (True, False)
    )


def _recommend(
    fastest: str, engines: Sequence[EngineRate], whole: Sequence[EndToEndRate], machine: Machine
) -> str:
    batch = max(
        (one for one in engines if one.runtime == fastest), key=lambda one: one.films_per_second
    ).batch_size
    threads = sum(one.films_per_second for one in whole if one.readers == "threads")
    processes = sum(one.films_per_second for one in whole if one.readers == "processes")
    # Threads share one interpreter, and a fault in a decoder ends them all: they must be clearly
    # faster to be worth that.
    workers = 0 if threads > 1.2 * processes else machine.cores
    return f"--runtime {fastest} --batch-size {max(batch, 8)} --workers {workers}"
