"""Runtime: one protocol from a batch of films to a network's outputs, whatever the engine.

This module and the engines' own modules import their engine only when one is opened, so that an
exported bundle is served without torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import InvalidBundle, SettingsError

ENGINES = ("openvino", "onnx", "torch", "torchscript")
"""Engines by name, in the order of preference where nothing was measured."""

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
"""Arithmetic of the network; its input and its outputs are float32 at every precision."""

OUTPUT_NAMES = ("logits", "embedding", "cam", "disagreement")
"""Outputs of an exported network, in this order; all but the first are absent where it has none."""

FilmBatch = NDArray[np.float32]
Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What one pass of the network gives.

    Attributes:
        logits: float64, shape (B, F).
        embeddings: The pooled features before the last linear layer, float32, shape (B, C); None
            where the network has none.
        cam: Class activation maps, float32, shape (B, F, r, k): the last feature map times the
            rows of the linear head (Zhou et al., CVPR 2016); None where the head is not linear on
            pooled features.
        disagreement: Standard deviation of the members' logits, float32, shape (B, F); None where
            the network is not an ensemble.
    """

    logits: NDArray[np.float64]
    embeddings: NDArray[np.float32] | None = None
    cam: NDArray[np.float32] | None = None
    disagreement: NDArray[np.float32] | None = None


class Runtime(Protocol):
    """An engine that holds a network.

    Attributes:
        name: Engine, device and precision, for example ``"openvino-cpu-fp32"``.
        precision: One of :data:`PRECISIONS`.
        batch_size: How many films at a time keep it busy.
        batches_at_once: How many batches it may be given at once, each in a thread of its own, so
            that it does not wait between two of them.
    """

    name: str
    precision: str
    batch_size: int
    batches_at_once: int

    def run(self, batch: FilmBatch) -> NetworkOutput:
        """Run the network once.

        Args:
            batch: Normalised films, shape (B, 1, S, S), B at least 1.

        Returns:
            One row per film, in order.
        """


@dataclass(frozen=True, slots=True)
class RuntimeName:
    """What a user asks for: an engine, a precision, and whether torch compiles.

    Attributes:
        engine: One of :data:`ENGINES`.
        precision: One of :data:`PRECISIONS`.
        compiled: ``torch.compile``; on a GPU with CUDA graphs.
    """

    engine: str
    precision: str = "fp32"
    compiled: bool = False

    @classmethod
    def parse(cls, text: str) -> RuntimeName:
        """Read ``ENGINE[-PRECISION][-compiled]``, such as ``openvino-int8``.

        Raises:
            SettingsError: If it is not of this form.
        """
        pattern = rf"({'|'.join(ENGINES)})(?:-({'|'.join(PRECISIONS)}))?(-compiled)?"
        match = re.fullmatch(pattern, text)
        if match is None or (match[3] and match[1] != "torch"):
            raise SettingsError(
                f"Unknown runtime '{text}'. Expected auto, or an engine ({', '.join(ENGINES)}), "
                f"if wanted with a precision ({', '.join(PRECISIONS)}), such as openvino-int8; "
                "torch may end in -compiled."
            )
        return cls(match[1], match[2] or "fp32", bool(match[3]))

    def __str__(self) -> str:
        """The text it was parsed from, fp32 left out."""
        precision = "" if self.precision == "fp32" else f"-{self.precision}"
        return f"{self.engine}{precision}{'-compiled' if self.compiled else ''}"


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class FilmCalls:
    """Calls of an engine on a CPU, a core each, for a few films each: films of all batches alike.

    A call always holds the same number of films, the last one of a batch repeated where it has
    fewer, so that a film's numbers are the same to the last bit in every batch (decision 81).

    Args:
        call: From films (n, 1, S, S) to the outputs by name; called in several threads at once.
        cores: How many calls at once.
        n_films: Films of a call.
    """

    def __init__(self, call: Callable[[FilmBatch], Outputs], cores: int, n_films: int = 1) -> None:
        self._call = call
        self._n_films = n_films
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="engine")

    def run(self, batch: FilmBatch) -> NetworkOutput:
        """Run the network; see :meth:`Runtime.run`."""
        n = self._n_films
        missing = -len(batch) % n
        films = np.concatenate([batch, batch[-1:].repeat(missing, 0)]) if missing else batch
        parts = [films[start : start + n] for start in range(0, len(films), n)]
        return joined(list(self._pool.map(self._call, parts)), len(batch))


def joined(parts: list[Outputs], n_films: int) -> NetworkOutput:
    """Put the outputs of calls together, as far as the number of films."""
    arrays = {name: np.concatenate([one[name] for one in parts])[:n_films] for name in parts[0]}
    return NetworkOutput(
        arrays["logits"].astype(np.float64),
        arrays.get("embedding"),
        arrays.get("cam"),
        arrays.get("disagreement"),
    )


def require_known_outputs(names: list[str], file: str) -> None:
    """Refuse an exported network that does not give what one of this package does, in its order.

    Raises:
        InvalidBundle: Naming the file.
    """
    if names[:1] != ["logits"] or names != [one for one in OUTPUT_NAMES if one in names]:
        raise InvalidBundle(
            f"The network '{file}' gives {names}, expected {list(OUTPUT_NAMES)}. Export it again."
        )
