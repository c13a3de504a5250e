"""Bench: what a machine does with a bundle, against the multiplications it can do, and advice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cxr.bundle.bench.films import write_bench_films
from monai_cxr.bundle.bench.measures import (
    end_to_end,
    engine_rates,
    gemm_gflops,
    network_gflop,
    read_ms,
)
from monai_cxr.bundle.bench.report import (
    Bench,
    EndToEndRate,
    EngineParity,
    EngineRate,
    Machine,
    ReadingTime,
)
from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.digests import WEIGHTS_NAME, model_digest, read_digests, write_digests
from monai_cxr.bundle.engines.by_name import installed, open_named
from monai_cxr.bundle.engines.choice import HALF, MIN_GAIN, half_change, half_pays
from monai_cxr.bundle.engines.openvino_engine import offers_bf16
from monai_cxr.bundle.engines.rates import Measured, processor, remember, versions
from monai_cxr.bundle.engines.runtime import ENGINES, Runtime, RuntimeName, available_cores
from monai_cxr.bundle.exports import read_exports
from monai_cxr.errors import BundleError, MissingDependency, SettingsError
from monai_cxr.evaluation.statistics.logits import sigmoid
from monai_cxr.reading.film_input import InputSpec

Progress = Callable[[int, int], None]

_STEPS = 5


def bench(
    name: Path | str | None = None,
    *,
    seconds: float = 2.0,
    n_films: int = 32,
    progress: Progress | None = None,
) -> Bench:
    """Measure engines, reading and the whole, and remember the rates for ``--runtime auto``.

    Args:
        name: A bundle; None for the one that ships with the package, with random weights, exported
            for each engine that is installed.
        seconds: About how long to measure each engine at each batch size.
        n_films: Films of the end-to-end measurement.
        progress: Called with (done, total) steps.

    Raises:
        InvalidBundle: If the bundle is.
    """
    tell = progress or (lambda done, total: None)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    tell(0, _STEPS)
    machine = Machine(processor(), available_cores(), load, gemm_gflops(), versions())
    with tempfile.TemporaryDirectory(prefix="monai-cxr-") as folder:
        bundle = _random_bundle(Path(folder)) if name is None else find_bundle(name)
        config = read_config(bundle, "inference")
        packaged = (bundle / "digests.json").is_file()
        digest = model_digest(read_digests(bundle)) if packaged else ""
        tell(1, _STEPS)
        runtimes, unavailable = _open_all(bundle, config, digest)
        agreement = _agreement(bundle, config, digest, runtimes)
        tell(2, _STEPS)
        size = int(config["image_size"])
        gflop = network_gflop(runtimes["torch"].network, size)  # type: ignore[attr-defined]
        engines = engine_rates(runtimes, size, seconds, gflop, machine.gflops)
        fastest = _fastest(engines, agreement)
        if packaged and name is not None:
            remember(digest, _memory(engines, agreement))
        tell(3, _STEPS)
        films = write_bench_films(Path(folder))
        spec = InputSpec(size, config["resize"])
        reading = _reading(films, spec)
        tell(4, _STEPS)
        whole = _whole(films, spec, runtimes[fastest], n_films)
        tell(5, _STEPS)
    advice = _recommend(fastest, engines, whole, machine)
    faster = _faster(engines, fastest)
    return Bench(machine, size, engines, reading, whole, agreement, unavailable, advice, faster)


def _random_bundle(folder: Path) -> Path:
    """The bundle that ships with the package, with random weights, and its exports."""
    import torch

    from monai_cxr.bundle.engines.torch_engine import build_network
    from monai_cxr.bundle.exporting.network import export

    bundle = folder / "random_weights"
    copy_bundle(find_bundle("chest_xray_classification"), bundle, {})
    torch.manual_seed(0)
    (bundle / "models").mkdir()
    network = build_network(read_config(bundle, "inference"))
    torch.save(network.state_dict(), bundle / WEIGHTS_NAME)
    write_digests(bundle)
    for engine in ("openvino", "onnx"):
        if installed(engine):
            export(bundle, engine)
    return bundle


def _open_all(
    bundle: Path, config: Mapping[str, Any], digest: str
) -> tuple[dict[str, Runtime], dict[str, str]]:
    runtimes: dict[str, Runtime] = {}
    unavailable: dict[str, str] = {}
    names = ["torch", *(export.name for export in read_exports(bundle))]
    if "openvino" in names and str(HALF) not in names and installed("openvino") and offers_bf16():
        names.append(str(HALF))
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


def _agreement(
    bundle: Path, config: Mapping[str, Any], digest: str, runtimes: Mapping[str, Runtime]
) -> tuple[EngineParity, ...]:
    stated = {export.name: export.parity for export in read_exports(bundle)}
    if str(HALF) in runtimes and str(HALF) not in stated:
        half = runtimes[str(HALF)]
        stated[str(HALF)] = half_change(bundle, config, digest, half, sigmoid)
    return tuple(EngineParity(name, stated[name]) for name in runtimes if name in stated)


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
