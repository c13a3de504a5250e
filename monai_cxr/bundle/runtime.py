"""Runtime: one protocol from a batch of films to logits, whatever engine computes it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from monai_cxr.bundle.config import check_targets
from monai_cxr.errors import InvalidBundle


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
        InvalidBundle: If there is none, or its class is not allowed or does not exist.
    """
    from monai.bundle import ConfigParser

    if "network_def" not in config:
        raise InvalidBundle("The config has no network_def.")
    check_targets({"network_def": config["network_def"]}, "network_def")
    network = ConfigParser({"network_def": config["network_def"]}).get_parsed_content("network_def")
    if not isinstance(network, torch.nn.Module):
        raise InvalidBundle("The config's network_def does not build a torch.nn.Module.")
    return network


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Load a state dictionary, with ``weights_only=True``.

    Raises:
        InvalidBundle: If the file is absent, damaged or of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except FileNotFoundError:
        raise InvalidBundle(
            f"There are no weights: expected '{path.name}'. Train first: monai-cxr train."
        ) from None
    except (RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise InvalidBundle(
            f"The weights '{path.name}' do not fit the network ({type(error).__name__}). Use the "
            "configs they were trained with."
        ) from error
    except (pickle.UnpicklingError, OSError) as error:
        raise InvalidBundle(
            f"The weights '{path.name}' are damaged ({type(error).__name__}). Restore the file."
        ) from error


def choose_device(name: str = "auto") -> torch.device:
    """``"auto"``: the first GPU, else the CPU; or any torch device name."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
