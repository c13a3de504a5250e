"""Opened: bundles of the bench, with every engine that can run them, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cxr.bundle.bench.report import EngineParity, MeasuredNetwork
from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.description import network_in_words
from monai_cxr.bundle.digests import WEIGHTS_NAME, model_digest, read_digests, write_digests
from monai_cxr.bundle.engines.by_name import find_export, installed, open_named
from monai_cxr.bundle.engines.choice import HALF, half_change
from monai_cxr.bundle.engines.openvino_engine import offers_bf16
from monai_cxr.bundle.engines.runtime import ENGINES, Runtime, RuntimeName
from monai_cxr.bundle.exports import read_exports
from monai_cxr.errors import BundleError, MissingDependency, SettingsError
from monai_cxr.evaluation.statistics.logits import sigmoid


@dataclass(frozen=True, slots=True)
class OpenedBundle:
    """One bundle, opened.

    Attributes:
        label: As it was named.
        config: Its inference config.
        digest: Of its model; ``""`` for a run that is not packaged.
        runtimes: By the name that ``--runtime`` takes; torch is always there.
        file_mb: Size of the files that each of them opens, in 1e6 bytes.
        network: What it holds.
        unavailable: Why an engine is not among the runtimes.
        agreement: How far each engine is from torch in fp32.
    """

    label: str
    config: Mapping[str, Any]
    digest: str
    runtimes: Mapping[str, Runtime]
    file_mb: Mapping[str, float]
    network: MeasuredNetwork
    unavailable: Mapping[str, str]
    agreement: tuple[EngineParity, ...]


def open_bundle(bundle: Path, label: str) -> OpenedBundle:
    """Open a bundle or a run with every engine that it is exported for.

    Raises:
        InvalidBundle: If its network cannot be built or its weights do not fit.
    """
    config = read_config(bundle, "inference")
    packaged = (bundle / "digests.json").is_file()
    digest = model_digest(read_digests(bundle)) if packaged else ""
    runtimes, unavailable = _open_all(bundle, config, digest)
    return OpenedBundle(
        label,
        config,
        digest,
        runtimes,
        {name: _file_mb(bundle, name) for name in runtimes},
        _network(label, config, runtimes["torch"].network),  # type: ignore[attr-defined]
        unavailable,
        _agreement(bundle, label, config, digest, runtimes),
    )


def random_bundle(
    bundle: Path,
    settings: Mapping[str, Any] | None = None,
    engines: Sequence[str] = ("openvino", "onnx"),
) -> Path:
    """A bundle with random weights, exported for those engines that are installed.

    Args:
        bundle: Folder to make.
        settings: That differ from those of the bundle that ships with the package.
        engines: To export for.

    Returns:
        The folder.
    """
    import torch

    from monai_cxr.bundle.engines.torch_engine import build_network, write_weights
    from monai_cxr.bundle.exporting.network import export

    copy_bundle(find_bundle("chest_xray_classification"), bundle, settings or {})
    torch.manual_seed(0)
    write_weights(bundle, build_network(read_config(bundle, "inference")).state_dict())
    write_digests(bundle)
    for engine in engines:
        if installed(engine):
            export(bundle, engine)
    return bundle


def _open_all(
    bundle: Path, config: Mapping[str, Any], digest: str
) -> tuple[dict[str, Runtime], dict[str, str]]:
    runtimes = {"torch": open_named(bundle, config, digest, RuntimeName("torch"), "auto")[0]}
    unavailable: dict[str, str] = {}
    names = [export.name for export in read_exports(bundle)]
    if "openvino" in names and str(HALF) not in names and installed("openvino") and offers_bf16():
        names.append(str(HALF))
    for name in names:
        try:
            runtimes[name] = open_named(bundle, config, digest, RuntimeName.parse(name), "auto")[0]
        except (MissingDependency, SettingsError, BundleError) as error:
            unavailable[name] = str(error)
    for engine in ENGINES:
        if engine not in ("torch", *names):
            reason = "the bundle has no export for it: monai-cxr export BUNDLE --to " + engine
            unavailable[engine] = reason if installed(engine) else "it is not installed"
    return runtimes, unavailable


def _file_mb(bundle: Path, runtime: str) -> float:
    export = None if runtime == "torch" else find_export(bundle, RuntimeName.parse(runtime))
    files = (WEIGHTS_NAME,) if export is None else export.files
    return sum((bundle / file).stat().st_size for file in files) / 1e6


def _network(label: str, config: Mapping[str, Any], network: Any) -> MeasuredNetwork:
    size = int(config["image_size"])
    return MeasuredNetwork(
        label,
        network_in_words(config["network_def"]),
        size,
        len(config["findings"]),
        sum(parameter.numel() for parameter in network.parameters()),
        network_gflop(network, size),
    )


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


def _agreement(
    bundle: Path,
    label: str,
    config: Mapping[str, Any],
    digest: str,
    runtimes: Mapping[str, Runtime],
) -> tuple[EngineParity, ...]:
    stated = {export.name: export.parity for export in read_exports(bundle)}
    if str(HALF) in runtimes and str(HALF) not in stated:
        half = runtimes[str(HALF)]
        stated[str(HALF)] = half_change(bundle, config, digest, half, sigmoid)
    return tuple(EngineParity(label, name, stated[name]) for name in runtimes if name in stated)
