"""OpenVINO runtime: an exported network on a CPU (or another device of OpenVINO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr.bundle.runtime import (
    OUTPUT_NAMES,
    FilmBatch,
    NetworkOutput,
    available_cores,
    from_rows,
)
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.optional import require

GROUP = 4
"""Films that one request takes in long runs."""

FILMS_BEFORE_GROUPS = 1000
"""Compiling a second time takes as long as groups save over about so many films."""


class OpenVinoRuntime:
    """A network in OpenVINO's own format, or in an ONNX file.

    Each film runs alone in a stream of one thread, as many films at once as there are cores. The
    network is compiled for a batch of one: 5 % faster than for any batch, int8 7 %. From
    :data:`FILMS_BEFORE_GROUPS` on it is compiled for :data:`GROUP` films too, which takes 2 to 4 %
    less; that form is used where it gives every film of a first batch the same numbers to the last
    bit, so that a film's numbers never depend on its neighbours.

    Args:
        path: The ``.xml`` (its ``.bin`` beside it) or ``.onnx`` file.
        device: ``"cpu"``; ``"gpu"`` is an Intel GPU.
        precision: ``"fp32"`` is exact also where the processor offers bfloat16, which OpenVINO
            takes by itself; ``"fp16"`` is a file of rounded weights, which a CPU computes in fp32;
            ``"bf16"`` is refused where the processor lacks it.

    Raises:
        MissingDependency: If OpenVINO is not installed.
        InvalidBundle: If the file is damaged.
        SettingsError: If the device or the precision does not exist here.
    """

    def __init__(self, path: Path, device: str = "cpu", precision: str = "fp32") -> None:
        ov = require("openvino", extra="openvino")
        core = ov.Core()
        kind = device.upper()
        if kind.partition(".")[0] not in {
            name.partition(".")[0] for name in core.available_devices
        }:
            raise SettingsError(
                f"OpenVINO has no device '{device}' here. Expected one of: "
                f"{', '.join(name.lower() for name in core.available_devices)}."
            )
        self._cores = available_cores()
        settings: dict[str, Any] = {"NUM_STREAMS": self._cores}
        if kind == "CPU":
            hint = "bf16" if precision == "bf16" else "f32"
            settings |= {"INFERENCE_NUM_THREADS": self._cores, "INFERENCE_PRECISION_HINT": hint}
        try:
            network = core.read_model(str(path))
            names = [output.get_any_name() for output in network.outputs]
            self._compile = partial(_compile, core, network, kind, settings)
            compiled = self._compile(1)
        except RuntimeError as error:
            raise InvalidBundle(
                f"The exported network '{path.name}' is damaged. Export it again."
            ) from error
        if precision == "bf16":
            _require_bf16(compiled, kind)
        if names != list(OUTPUT_NAMES[: len(names)]):
            raise InvalidBundle(
                f"The network '{path.name}' gives {names}, expected {list(OUTPUT_NAMES)}. "
                "Export it again."
            )
        self.precision = precision
        self.batch_size = 2 * GROUP * self._cores
        self.name = f"openvino-{device.lower()}-{precision}"
        self._alone = _Requests(compiled, names, 1, self._cores)
        self._grouped: _Requests | None = None
        self._may_group = True
        self._n_run = 0
        self._lock = Lock()  # one batch at a time in the queue

    def run(self, batch: FilmBatch) -> NetworkOutput:
        """Run the network; see :class:`monai_cxr.bundle.runtime.Runtime`."""
        with self._lock:
            n_grouped = len(batch) - len(batch) % (GROUP * self._cores)  # else cores would wait
            if n_grouped and self._n_run >= FILMS_BEFORE_GROUPS and self._may_group:
                self._prepare_groups(batch[:n_grouped])
            self._n_run += len(batch)
            if self._grouped is None:
                return from_rows(self._alone.run(batch))
            rest = batch[n_grouped:]
            return from_rows(self._grouped.run(batch[:n_grouped]) + self._alone.run(rest))

    def _prepare_groups(self, films: FilmBatch) -> None:
        """Compile for groups, once, and keep it if these films say that nothing else changes."""
        self._may_group = False
        alone = self._alone
        try:
            grouped = _Requests(self._compile(GROUP), alone.names, GROUP, self._cores)
            is_same = _equal(from_rows(grouped.run(films)), from_rows(alone.run(films)))
        except RuntimeError:  # of OpenVINO: no memory for a second form, say
            return
        self._grouped = grouped if is_same else None


class _Requests:
    """A compiled network's requests, one a stream, each for the same number of films."""

    def __init__(self, compiled: Any, names: Sequence[str], n_films: int, cores: int) -> None:
        self.names = names
        self._n_films = n_films
        self._queue = require("openvino", extra="openvino").AsyncInferQueue(compiled, cores)
        self._queue.set_callback(self._take)
        self._rows: list[dict[str, NDArray[np.float32]]] = []

    def run(self, batch: FilmBatch) -> list[dict[str, NDArray[np.float32]]]:
        """Outputs by name, one element a request; the batch fills the requests."""
        n = self._n_films
        starts = range(0, len(batch), n)
        self._rows = [{} for _ in starts]
        for number, start in enumerate(starts):
            self._queue.start_async({0: batch[start : start + n]}, number)
        self._queue.wait_all()
        return self._rows

    def _take(self, request: Any, number: int) -> None:
        self._rows[number] = {
            name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self.names)
        }


def _compile(core: Any, network: Any, device: str, settings: dict[str, Any], n_films: int) -> Any:
    _, *film = network.inputs[0].partial_shape
    network.reshape([n_films, *film])
    return core.compile_model(network, device, settings)


def _equal(some: NetworkOutput, others: NetworkOutput) -> bool:
    """Whether two outputs are the same to the last bit."""
    pairs = zip(astuple(some), astuple(others), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def offers_bf16() -> bool:
    """Whether OpenVINO says that this CPU computes in bf16; how fast, it does not say."""
    core = require("openvino", extra="openvino").Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _require_bf16(compiled: Any, device: str) -> None:
    """Refuse where the hint was not followed: OpenVINO computes in fp32 then, and says nothing."""
    taken = compiled.get_property("INFERENCE_PRECISION_HINT")
    if taken.get_type_name() != "bf16":
        raise SettingsError(
            f"This {device} does not compute in bf16 (OpenVINO takes {taken.get_type_name()}). Use "
            "fp32 or int8."
        )
