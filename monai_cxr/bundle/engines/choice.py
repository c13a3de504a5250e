"""Engine choice: the fastest engine on this machine whose numbers are near enough, by measuring."""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr.bundle.engines.by_name import find_export, installed, open_named
from monai_cxr.bundle.engines.openvino_engine import offers_bf16
from monai_cxr.bundle.engines.parity import Probabilities, measure_parity, require_parity
from monai_cxr.bundle.engines.rates import Measured, read_measured, remember
from monai_cxr.bundle.engines.runtime import ENGINES, FilmBatch, Runtime, RuntimeName
from monai_cxr.bundle.exports import Parity, read_exports
from monai_cxr.errors import InvalidBundle
from monai_cxr.reading.film_input import InputSpec, network_input

MAX_PROBABILITY_CHANGE = 0.02
"""Of any finding on any film, beside fp32: more, and ``auto`` stays with fp32."""

MAX_MEAN_CHANGE = 0.002
"""Of the mean over films and findings, likewise."""

MIN_GAIN = 1.3
"""How many times faster than the fastest fp32 engine bf16 must be to be worth another digest."""

HALF = RuntimeName("openvino", "bf16")
"""An fp32 export that OpenVINO computes in bf16."""

_MEASURING_SECONDS = 0.6
_N_FILMS, _FILM_SIDE, _SEED = 24, 256, 20_262


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine that serves a bundle.

    Attributes:
        runtime: Holds the network.
        digest: Digest of the model as it is served: another one where the precision is not fp32.
        change: How far its numbers are from those in fp32; None for fp32, and where it is not
            known.
    """

    runtime: Runtime
    digest: str
    change: Parity | None = None


def open_runtime(
    bundle: Path,
    config: Mapping[str, Any],
    digest: str,
    *,
    runtime: str = "auto",
    device: str = "auto",
    probabilities: Probabilities,
) -> Opened:
    """Open the engine that serves a bundle.

    ``"auto"`` takes torch on a GPU. On a CPU it takes the fastest of what was measured here among
    the fp32 exports whose packages are installed and, where the processor has bf16, OpenVINO in
    bf16, if that is much faster and changes probabilities within the limits of this module. int8
    is served only when asked for by name.

    Args:
        bundle: Folder of a bundle or a run.
        config: Its inference config.
        digest: Digest of the model.
        runtime: ``"auto"`` or what :class:`monai_cxr.bundle.engines.runtime.RuntimeName` reads.
        device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` ...
        probabilities: Logits to the probabilities whose change is measured.

    Raises:
        InvalidBundle: If the bundle has no such export, or one of other weights.
        MissingDependency: If the engine is not installed.
        SettingsError: If the runtime or the device does not exist, this processor does not have
            the precision, or bf16 changes too much.
    """
    if runtime == "auto":
        name = _choose(bundle, config, digest, device, probabilities)
    else:
        name = RuntimeName.parse(runtime)
        if name.engine != "torch" and find_export(bundle, name) is None:
            raise InvalidBundle(
                f"The bundle '{bundle.name}' has no export for runtime '{runtime}'. It has: "
                f"{', '.join(['torch', *(one.name for one in read_exports(bundle))])}. Make it "
                f"with: monai-cxr export {bundle.name} --to {name.engine} --precision "
                f"{name.precision}."
            )
    opened, served = open_named(bundle, config, digest, name, device)
    if name.precision == "fp32":
        return Opened(opened, served)
    own = next((one for one in read_exports(bundle) if one.name == str(name)), None)
    if own is not None:
        return Opened(opened, served, own.parity)
    if name != HALF:
        return Opened(opened, served)
    change = read_measured(digest).changes.get(str(HALF))
    if change is None:
        change = half_change(bundle, config, digest, opened, probabilities)
        remember(digest, Measured({}, {str(HALF): change}))
    require_parity(change, HALF.precision, str(HALF))
    return Opened(opened, served, change)


def _choose(
    bundle: Path, config: Mapping[str, Any], digest: str, device: str, probabilities: Probabilities
) -> RuntimeName:
    torch = RuntimeName("torch")
    if device.partition(":")[0] == "tensorrt":
        return RuntimeName("onnx")  # it is a provider of ONNX Runtime
    on_gpu = device.startswith("cuda") or (
        device == "auto" and _nvidia_gpu() and installed("torch")
    )
    if on_gpu or device not in ("auto", "cpu"):
        return torch
    light = light_engines(bundle)
    known = read_measured(digest)
    if not all(str(name) in known.rates for name in light):
        has_half = RuntimeName("openvino") in light and offers_bf16()
        if len(light) + has_half < 2:
            return light[0] if light else torch
        names = [*light, HALF] if has_half else light
        rates = measure(bundle, config, digest, names)
        changes = {}
        if has_half:
            half, _ = open_named(bundle, config, digest, HALF, "cpu")
            changes = {str(HALF): half_change(bundle, config, digest, half, probabilities)}
        known = Measured(rates, changes)
        remember(digest, known)
    # Torch stands among the known where `monai-cxr bench` measured it; it is slow to import.
    exact = [
        name for name in (*light, torch) if str(name) in known.rates and installed(name.engine)
    ]
    if not exact:
        return torch
    best = max(exact, key=lambda name: known.rates[str(name)])
    return HALF if RuntimeName("openvino") in light and half_pays(known, str(best)) else best


def light_engines(bundle: Path) -> list[RuntimeName]:
    """The engines of a bundle's fp32 exports that are installed and need no torch."""
    names = [
        RuntimeName(export.format)
        for export in read_exports(bundle)
        if export.precision == "fp32" and export.format in ("onnx", "openvino")
    ]
    usable = [name for name in names if installed(name.engine)]
    return sorted(usable, key=lambda name: ENGINES.index(name.engine))


def half_pays(known: Measured, best: str) -> bool:
    """Whether OpenVINO in bf16 is near enough to fp32, and fast enough to be worth a digest.

    Args:
        known: What was measured on this machine.
        best: The fastest fp32 engine in it.
    """
    rate, change = known.rates.get(str(HALF)), known.changes.get(str(HALF))
    if rate is None or change is None:
        return False
    near = (
        change.max_probability_change <= MAX_PROBABILITY_CHANGE
        and change.mean_probability_change <= MAX_MEAN_CHANGE
    )
    return near and rate >= MIN_GAIN * known.rates[best]


def half_change(
    bundle: Path,
    config: Mapping[str, Any],
    digest: str,
    half: Runtime,
    probabilities: Probabilities,
) -> Parity:
    """How far OpenVINO in bf16 is from OpenVINO in fp32 on this machine, on phantom films."""
    from monai_cxr.phantom import PhantomSettings, render_film  # heavy: measured once a machine

    exact, _ = open_named(bundle, config, digest, RuntimeName("openvino"), "cpu")
    spec = InputSpec(int(config["image_size"]), config["resize"])
    settings = PhantomSettings(n_patients=_N_FILMS, seed=_SEED, size=_FILM_SIDE)
    films = np.stack(
        [network_input(render_film(settings, patient=i).pixels, spec) for i in range(_N_FILMS)]
    )
    unknown = np.full((_N_FILMS, len(config["findings"])), np.nan)
    return measure_parity(exact, half, films, unknown, probabilities, source="phantom")


def measure(
    bundle: Path,
    config: Mapping[str, Any],
    digest: str,
    names: Sequence[RuntimeName],
    *,
    seconds: float = _MEASURING_SECONDS,
) -> dict[str, float]:
    """Films a second of some engines on this CPU, interleaved, the best of some rounds.

    Args:
        bundle: Folder of the bundle.
        config: Its inference config.
        digest: Digest of the model.
        names: Engines to measure.
        seconds: When to start no further round.

    Returns:
        Films a second by engine.
    """
    size = int(config["image_size"])
    runtimes = {str(name): open_named(bundle, config, digest, name, "cpu")[0] for name in names}
    noise: FilmBatch = np.random.default_rng(0).normal(size=(8, 1, size, size)).astype(np.float32)
    batches = {name: noise[: min(runtime.batch_size, 8)] for name, runtime in runtimes.items()}
    best = dict.fromkeys(runtimes, float("inf"))
    for name, runtime in runtimes.items():
        runtime.run(batches[name][:1])
    start = time.perf_counter()
    while True:
        for name, runtime in runtimes.items():
            before = time.perf_counter()
            runtime.run(batches[name])
            best[name] = min(best[name], time.perf_counter() - before)
        if time.perf_counter() - start > seconds:
            return {name: len(batches[name]) / best[name] for name in runtimes}


def _nvidia_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU finds one; asked without importing torch."""
    library = ctypes.util.find_library("cuda") or ctypes.util.find_library("nvcuda")
    if library is None:
        return False
    try:
        driver = ctypes.CDLL(library)
        count = ctypes.c_int(0)
        return (
            driver.cuInit(0) == 0
            and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
            and count.value > 0
        )
    except (OSError, AttributeError):
        return False
