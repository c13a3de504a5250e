"""Runtime: one protocol from a batch of films to logits, whatever engine computes it."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from monai_cxr.bundle.config import NETWORK_PREFIXES, check_targets
from monai_cxr.errors import InvalidBundle

_DAMAGE = (
    *(pickle.UnpicklingError, struct.error, OSError, EOFError, RuntimeError, ValueError),
    *(LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, MemoryError),
)
"""What ``torch.load`` raises on bytes that are no weights."""


class Runtime(Protocol):
    """An engine that holds a network."""

    name: str

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Run the network.

        Args:
            batch: Normalised films, shape (B, 1, S, S).

        Returns:
            Shape (B, F).
        """


class TorchRuntime:
    """PyTorch on a CPU or a GPU, float32.

    Args:
        network: In evaluation mode.
        device: Where it runs.
    """

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self.device = device
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = f"torch-{device.type}-fp32"

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Run the network; see :class:`Runtime`."""
        with torch.inference_mode():
            images = torch.from_numpy(batch).to(self.device)
            return np.asarray(self.network(images).double().cpu().numpy())


def build_network(config: dict[str, Any]) -> torch.nn.Module:
    """The network that a config's ``network_def`` describes.

    Raises:
        InvalidBundle: If there is none, its class is not allowed or does not exist, its arguments
            do not fit, or it holds an expression: serving a bundle must not run its code.
    """
    from monai.bundle import ConfigParser

    if "network_def" not in config:
        raise InvalidBundle("The config has no network_def.")
    definition = config["network_def"]
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


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        yield from (text for item in node.items() for part in item for text in _texts(part))
    elif isinstance(node, list):
        yield from (text for part in node for text in _texts(part))


def read_weights(path: Path) -> dict[str, Any]:
    """Read a state dictionary, with ``weights_only=True``.

    Raises:
        InvalidBundle: If the file is absent, damaged or holds more than weights.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InvalidBundle(
            f"There are no weights: expected '{path.name}'. Train first: monai-cxr train."
        ) from None
    except _DAMAGE as error:
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
            f"The weights '{path.name}' are of another network. Use the configs they were trained "
            "with."
        ) from error


def choose_device(name: str = "auto") -> torch.device:
    """``"auto"``: the first GPU, else the CPU; or any torch device name."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
