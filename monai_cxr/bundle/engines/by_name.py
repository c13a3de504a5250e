"""Engines: a bundle's network opened by the name of an engine and a precision."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_cxr.bundle.digests import file_digest, model_digest, read_digests, variant
from monai_cxr.bundle.engines.onnx_engine import OnnxRuntime
from monai_cxr.bundle.engines.openvino_engine import OpenVinoRuntime
from monai_cxr.bundle.engines.runtime import ENGINES, PRECISIONS, Runtime, RuntimeName
from monai_cxr.bundle.exports import Export, read_exports
from monai_cxr.errors import InvalidBundle

_PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "torch": "torch"}


def find_export(bundle: Path, name: RuntimeName) -> Export | None:
    """The export that an engine opens: its own, or OpenVINO's fp32 one to be computed in bf16."""
    exports = {export.name: export for export in read_exports(bundle)}
    if str(name) == "openvino-bf16" and str(name) not in exports and "openvino" in exports:
        return replace(exports["openvino"], precision="bf16")
    return exports.get(str(name))


def open_named(
    bundle: Path, config: Mapping[str, Any], digest: str, name: RuntimeName, device: str
) -> tuple[Runtime, str]:
    """Open one engine by name.

    Args:
        bundle: Folder of a bundle or a run.
        config: Its inference config.
        digest: Of the model.
        name: Torch, or an engine that :func:`find_export` has something for.
        device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` ...

    Returns:
        The runtime, and the digest of the model as it is served.

    Raises:
        InvalidBundle: If there is no such export, or it is damaged or of other weights.
        MissingDependency: If the engine is not installed.
        SettingsError: If the device or the precision does not exist here.
    """
    if name.engine == "torch":
        from monai_cxr.bundle.engines.torch_engine import open_torch

        runtime = open_torch(bundle, config, device, name.precision, compiled=name.compiled)
        return runtime, variant(digest, *(() if name.precision == "fp32" else (str(name),)))
    export = find_export(bundle, name)
    if export is None:
        raise InvalidBundle(f"The bundle '{bundle.name}' has no export for runtime '{name}'.")
    if export.model_digest != digest:
        raise InvalidBundle(
            f"The export '{export.name}' of bundle '{bundle.name}' was made of another model "
            f"({export.model_digest[:12]}, this is {digest[:12]}). Export it again."
        )
    if export.precision == "fp32":
        return open_export(bundle, export, device), digest
    contents = [file_digest(bundle / file) for file in export.files]
    return open_export(bundle, export, device), variant(digest, export.name, *contents)


def digests_served(bundle: Path) -> frozenset[str]:
    """Every digest under which :func:`open_named` serves a packaged bundle.

    Raises:
        InvalidBundle: If its record of digests is absent or damaged.
    """
    digest = model_digest(read_digests(bundle))
    names = [RuntimeName(engine, precision) for engine in ENGINES for precision in PRECISIONS[1:]]
    made = {digest}
    for name in names:
        if name.engine == "torch":
            made |= {variant(digest, str(name)), variant(digest, f"{name}-compiled")}
        elif (export := find_export(bundle, name)) is not None:
            contents = [file_digest(bundle / file) for file in export.files]
            made.add(variant(digest, export.name, *contents))
    return frozenset(made)


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
        from monai_cxr.bundle.engines.torch_engine import TorchScriptRuntime, choose_device

        return TorchScriptRuntime(path, choose_device(device), export.precision)
    raise InvalidBundle(
        f"The bundle '{bundle.name}' has an export of format '{export.format}'. Expected one of: "
        f"{', '.join(name for name in ENGINES if name != 'torch')}."
    )


def installed(engine: str) -> bool:
    """Whether the package of an engine is installed."""
    return importlib.util.find_spec(_PACKAGES.get(engine, "torch")) is not None
