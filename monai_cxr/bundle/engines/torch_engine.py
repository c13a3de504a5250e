"""Torch runtime: a network from its definition, weights that are only weights, and PyTorch."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from monai_cxr.bundle.config import NETWORK_PREFIXES, ONE_A_FINDING, check_targets
from monai_cxr.bundle.digests import WEIGHTS_NAME
from monai_cxr.bundle.engines.observed import observed
from monai_cxr.bundle.engines.runtime import OUTPUT_NAMES, FilmBatch, NetworkOutput, joined
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.networks.pooling_order import pool_before_convolution

_DAMAGE = (
    SafetensorError,
    *(pickle.UnpicklingError, struct.error, OSError, EOFError, RuntimeError, ValueError),
    *(LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, MemoryError),
)
"""What reading raises on bytes that are not weights."""

NAMES_FILE = "output_names"
"""What a TorchScript file keeps beside its network: the names of what that gives."""

_AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRuntime:
    """PyTorch on a CPU or a GPU.

    Films of one batch run together, so the last bits of a logit depend on the batch (below 1e-5).

    Args:
        network: In evaluation mode.
        device: Where it runs.
        size: Side of the input in pixels.
        precision: ``"fp32"``; ``"bf16"`` or ``"fp16"`` by autocast.
        compiled: Use ``torch.compile``, with CUDA graphs on a GPU; the first batch of each size
            then waits for the compiler.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        device: torch.device,
        *,
        size: int,
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        self.device = device
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = precision
        self.batch_size = 8 if device.type == "cpu" else 64
        self.batches_at_once = 1  # what is compiled for a GPU belongs to one thread
        self.name = f"torch-{device.type}-{precision}" + ("-compiled" if compiled else "")
        self.observed = observed(self.network, size).eval()
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        self._call = torch.compile(self.observed, mode=mode) if compiled else self.observed
        self._dtype = _AUTOCAST[precision]
        self._lock = Lock()  # the observed tensors belong to one pass at a time

    def run(self, batch: FilmBatch) -> NetworkOutput:
        """Run the network; see :class:`monai_cxr.bundle.engines.runtime.Runtime`."""
        autocast = torch.autocast(
            self.device.type, self._dtype or torch.bfloat16, enabled=self._dtype is not None
        )
        with self._lock, torch.inference_mode(), autocast:
            images = torch.from_numpy(batch).to(self.device)
            outputs = self._call(images.contiguous(memory_format=torch.channels_last))
            arrays = [output.float().cpu().numpy() for output in outputs]
        return joined([dict(zip(self.observed.output_names, arrays, strict=True))], len(batch))


class TorchScriptRuntime:
    """A network that was exported to TorchScript.

    Args:
        path: The file.
        device: Where it runs.
        precision: What the file computes in.

    Raises:
        InvalidBundle: If the file is damaged.
    """

    def __init__(self, path: Path, device: torch.device, precision: str = "fp32") -> None:
        self.device = device
        self.precision = precision
        self.batch_size = 8 if device.type == "cpu" else 64
        self.batches_at_once = 1
        self.name = f"torchscript-{device.type}-{precision}"
        said: dict[str, Any] = {NAMES_FILE: ""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch deprecates TorchScript
                self._network = torch.jit.load(str(path), device, said)  # type: ignore[no-untyped-call]
        except _DAMAGE as error:
            raise InvalidBundle(
                f"The exported network '{path.name}' is damaged ({type(error).__name__}). "
                "Export it again."
            ) from error
        names = said[NAMES_FILE]  # a file of an older version says nothing of them
        text = names.decode() if isinstance(names, bytes) else names
        self._names = tuple(text.split()) or OUTPUT_NAMES

    def run(self, batch: FilmBatch) -> NetworkOutput:
        """Run the network; see :class:`monai_cxr.bundle.engines.runtime.Runtime`."""
        with torch.inference_mode():
            outputs = self._network(torch.from_numpy(batch).to(self.device))
            arrays = [output.float().cpu().numpy() for output in outputs]
        return joined([dict(zip(self._names, arrays, strict=False))], len(batch))


def build_network(config: dict[str, Any]) -> torch.nn.Module:
    """The network that a config's ``network_def`` describes.

    Raises:
        InvalidBundle: If there is none, its class is not allowed or does not exist, its arguments
            do not fit, or it holds an expression: serving a bundle must not run its code.
    """
    from monai.bundle import ConfigParser

    if "network_def" not in config:
        raise InvalidBundle("The config has no network_def.")
    definition = with_outputs(config["network_def"], config.get("findings"))
    expression = next((text for text in _texts(definition) if text.startswith(("$", "%", "@"))), "")
    if expression:
        raise InvalidBundle(
            f"The config's network_def holds the expression '{expression}'. State its values."
        )
    check_targets({"network_def": definition}, "network_def", allowed=NETWORK_PREFIXES)
    try:
        network = ConfigParser({"network_def": definition}).get_parsed_content("network_def")
    except RuntimeError as error:
        raise InvalidBundle(
            f"The config's network_def cannot be built: {error.__cause__ or error}."
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise InvalidBundle("The config's network_def does not build a torch.nn.Module.")
    return network


def with_outputs(definition: Any, findings: object) -> Any:
    """A ``network_def`` with the number of findings where it refers to it."""
    if isinstance(definition, dict) and isinstance(findings, list):
        n = len(findings)
        return {k: n if v == ONE_A_FINDING else v for k, v in definition.items()}
    return definition


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        yield from (text for item in node.items() for part in item for text in _texts(part))
    elif isinstance(node, list):
        yield from (text for part in node for text in _texts(part))


def read_weights(path: Path, allowed: Sequence[type] = ()) -> dict[str, Any]:
    """Read a state dictionary: safetensors, or a pickle with ``weights_only=True``.

    Args:
        path: The file; ``.safetensors`` says what it is.
        allowed: Classes that the pickle may hold besides tensors; nothing else is ever built.

    Raises:
        InvalidBundle: If the file is absent, damaged or holds more than weights.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch asks its own developers for other protocols
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InvalidBundle(
            f"There are no weights: expected '{path.name}'. Train first: monai-cxr train."
        ) from None
    except _DAMAGE as error:
        if (named := re.search(r"GLOBAL ([\w.]+)", str(error))) is not None:
            raise InvalidBundle(
                f"The weights '{path.name}' hold more than weights: loading them would use "
                f"'{named[1]}'. Nothing of it was run. Give a file that holds weights alone, best "
                "as .safetensors."
            ) from error
        raise InvalidBundle(
            f"The weights '{path.name}' are damaged, or hold more than weights "
            f"({type(error).__name__}). Restore the file."
        ) from error
    return state  # type: ignore[no-any-return]


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Load a state dictionary, with ``weights_only=True``.

    Raises:
        InvalidBundle: If the file is absent, damaged or of another network.
    """
    state = read_weights(path)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InvalidBundle(
            f"The weights '{path.name}' belong to another network. Use the configs they were "
            "trained with."
        ) from error


def write_weights(bundle: Path, state: Mapping[str, Any]) -> None:
    """Write a state dictionary where a bundle keeps its weights."""
    (bundle / WEIGHTS_NAME).parent.mkdir(parents=True, exist_ok=True)
    with (bundle / WEIGHTS_NAME).open("wb") as stream:
        torch.save(state, stream)


def open_torch(
    bundle: Path,
    config: Mapping[str, Any],
    device: str = "auto",
    precision: str = "fp32",
    *,
    compiled: bool = False,
) -> TorchRuntime:
    """Build a bundle's network and load its weights.

    Raises:
        InvalidBundle: If the network cannot be built or the weights do not fit.
        SettingsError: If the precision is none of torch's.
    """
    if precision not in _AUTOCAST:
        raise SettingsError(
            f"Torch has no runtime in {precision}. Expected one of: {', '.join(_AUTOCAST)}."
        )
    network = build_network(dict(config))
    load_weights(network, bundle / WEIGHTS_NAME)
    return TorchRuntime(
        pool_before_convolution(network.eval()),
        choose_device(device),
        size=int(config["image_size"]),
        precision=precision,
        compiled=compiled,
    )


def choose_device(name: str = "auto") -> torch.device:
    """``"auto"``: the first GPU, or else the CPU; or any torch device name.

    Raises:
        SettingsError: If torch knows no such device, or there is none here.
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if n_gpus else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # names of devices that are not here are names too
    except (RuntimeError, AssertionError, ImportError):  # of a torch built without its support
        here = ", ".join(["auto", "cpu", *(f"cuda:{i}" for i in range(n_gpus))])
        raise SettingsError(
            f"Torch has no device '{name}' here. Expected one of: {here}."
        ) from None
    return device
