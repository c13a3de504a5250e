"""Engines: which of them serves a bundle on this machine, and why that one."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr.bundle.digests import file_digest, variant
from monai_cxr.bundle.engine_rates import read_rates, remember_rates
from monai_cxr.bundle.exports import Export, read_exports
from monai_cxr.bundle.onnx_runtime import OnnxRuntime
from monai_cxr.bundle.openvino_runtime import OpenVinoRuntime
from monai_cxr.bundle.runtime import ENGINES, Runtime, RuntimeName
from monai_cxr.errors import InvalidBundle

_PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "torch": "torch"}
_MEASURING_SECONDS = 0.6


def open_runtime(
    bundle: Path,
    config: Mapping[str, Any],
    digest: str,
    *,
    runtime: str = "auto",
    device: str = "auto",
) -> tuple[Runtime, str]:
    """Open the engine that serves a bundle.

    ``"auto"`` never changes what a model says by more than float32 arithmetic does: it chooses
    among the fp32 exports whose packages are installed and torch; other precisions are served when
    asked for by name.

    Args:
        bundle: Folder of a bundle or a run.
        config: Its inference config.
        digest: Of the model.
        runtime: ``"auto"`` or what :class:`monai_cxr.bundle.runtime.RuntimeName` reads.
        device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` ...

    Returns:
        The runtime, and the digest of the model as it is served: another one where the precision is
        not fp32.

    Raises:
        InvalidBundle: If the bundle has no such export, or one of other weights.
        MissingDependency: If the engine is not installed.
        SettingsError: If the runtime or the device does not exist.
    """
    exports = {export.name: export for export in read_exports(bundle)}
    if runtime == "auto":
        return open_named(bundle, config, digest, _choose(bundle, config, digest, device), device)
    name = RuntimeName.parse(runtime)
    if name.engine != "torch" and str(name) not in exports:
        raise InvalidBundle(
            f"The bundle '{bundle.name}' has no export for runtime '{runtime}'. It has: "
            f"{', '.join(['torch', *exports])}. Make it with: monai-cxr export {bundle.name} --to "
            f"{name.engine} --precision {name.precision}."
        )
    return open_named(bundle, config, digest, name, device)


def open_named(
    bundle: Path, config: Mapping[str, Any], digest: str, name: RuntimeName, device: str
) -> tuple[Runtime, str]:
    """Open one engine by name; see :func:`open_runtime`."""
    if name.engine == "torch":
        from monai_cxr.bundle.torch_runtime import open_torch

        runtime = open_torch(bundle, config, device, name.precision, compiled=name.compiled)
        return runtime, variant(digest, *(() if name.precision == "fp32" else (str(name),)))
    export = next(one for one in read_exports(bundle) if one.name == str(name))
    if export.model_digest != digest:
        raise InvalidBundle(
            f"The export '{export.name}' of bundle '{bundle.name}' was made of another model "
            f"({export.model_digest[:12]}, this is {digest[:12]}). Export it again."
        )
    if export.precision == "fp32":
        return open_export(bundle, export, device), digest
    contents = [file_digest(bundle / file) for file in export.files]
    return open_export(bundle, export, device), variant(digest, export.name, *contents)


def open_export(bundle: Path, export: Export, device: str = "auto") -> Runtime:
    """Open an exported network.

    Raises:
        InvalidBundle: If a file is damaged, or the format is unknown.
        MissingDependency: If its engine is not installed.
    """
    path = bundle / export.files[0]
    if export.format == "openvino":
        return OpenVinoRuntime(path, "cpu" if device == "auto" else device, export.precision)
    if export.format == "onnx":
        return OnnxRuntime(path, "cpu" if device == "auto" else device, export.precision)
    if export.format == "torchscript":
        from monai_cxr.bundle.torch_runtime import TorchScriptRuntime, choose_device

        return TorchScriptRuntime(path, choose_device(device), export.precision)
    raise InvalidBundle(
        f"The bundle '{bundle.name}' has an export of format '{export.format}'. Expected one of: "
        f"{', '.join(name for name in ENGINES if name != 'torch')}."
    )


def installed(engine: str) -> bool:
    """Whether the package of an engine is installed."""
    return importlib.util.find_spec(_PACKAGES.get(engine, "torch")) is not None


def _choose(bundle: Path, config: Mapping[str, Any], digest: str, device: str) -> RuntimeName:
    """Torch on a GPU; on a CPU the fastest of what was measured here for this model."""
    torch = RuntimeName("torch")
    on_gpu = device.startswith("cuda") or (
        device == "auto" and _nvidia_gpu() and installed("torch")
    )
    if on_gpu or device not in ("auto", "cpu"):
        return torch
    light = [
        RuntimeName(export.format)
        for export in read_exports(bundle)
        if export.precision == "fp32" and export.format in _PACKAGES and installed(export.format)
    ]
    light.sort(key=lambda name: ENGINES.index(name.engine))
    if len(light) < 2:
        return light[0] if light else torch
    known = read_rates(digest)
    if not all(str(name) in known for name in light):
        known = measure(bundle, config, digest, light)
        remember_rates(digest, known)
    # Torch stands among the known where `monai-cxr bench` measured it; it is slow to import.
    usable = [name for name in (*light, torch) if str(name) in known and installed(name.engine)]
    return max(usable, key=lambda name: known[str(name)])


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
        digest: Of the model.
        names: Engines to measure.
        seconds: When to start no further round.

    Returns:
        Films a second by engine.
    """
    size = int(config["image_size"])
    runtimes = {str(name): open_named(bundle, config, digest, name, "cpu")[0] for name in names}
    noise = np.random.default_rng(0).normal(size=(8, 1, size, size)).astype(np.float32)
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
