"""OpenVINO runtime: an exported network on a CPU (or another device of OpenVINO)."""

from __future__ import annotations

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


class OpenVinoRuntime:
    """A network in OpenVINO's own format, or in an ONNX file.

    Each film runs in a stream of one thread, as many streams as there are cores: as fast as
    batches, and a film's numbers are the same to the last bit in every batch. The network is
    compiled for one film, in int8 for two: 5 % faster than for any number of them. A
    call always holds as many: the last film of an odd batch stands in it twice.

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
        cores = available_cores()
        settings: dict[str, Any] = {"NUM_STREAMS": cores}
        if kind == "CPU":
            hint = "bf16" if precision == "bf16" else "f32"
            settings |= {"INFERENCE_NUM_THREADS": cores, "INFERENCE_PRECISION_HINT": hint}
        try:
            network = core.read_model(str(path))
            self._names = [output.get_any_name() for output in network.outputs]
            _, *film = network.inputs[0].partial_shape
            self._n_films = 2 if precision == "int8" else 1
            network.reshape([self._n_films, *film])
            self._compiled = core.compile_model(network, kind, settings)
        except RuntimeError as error:
            raise InvalidBundle(
                f"The exported network '{path.name}' is damaged. Export it again."
            ) from error
        if precision == "bf16":
            _require_bf16(self._compiled, kind)
        if self._names != list(OUTPUT_NAMES[: len(self._names)]):
            raise InvalidBundle(
                f"The network '{path.name}' gives {self._names}, expected {list(OUTPUT_NAMES)}. "
                "Export it again."
            )
        self.precision = precision
        self.batch_size = 8 * cores
        self.batches_at_once = 2
        self.name = f"openvino-{device.lower()}-{precision}"
        self._queue = ov.AsyncInferQueue(self._compiled, cores)
        self._queue.set_callback(self._take)
        self._rows: list[dict[str, NDArray[np.float32]]] = []
        self._lock = Lock()  # one batch at a time in the queue

    def run(self, batch: FilmBatch) -> NetworkOutput:
        """Run the network; see :class:`monai_cxr.bundle.runtime.Runtime`."""
        n = self._n_films
        missing = -len(batch) % n
        films = np.concatenate([batch, batch[-1:].repeat(missing, 0)]) if missing else batch
        starts = range(0, len(films), n)
        with self._lock:
            self._rows = [{} for _ in starts]
            for i, start in enumerate(starts):
                self._queue.start_async({0: films[start : start + n]}, i)
            self._queue.wait_all()
            return from_rows(self._rows, len(batch))

    def _take(self, request: Any, row: int) -> None:
        self._rows[row] = {
            name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self._names)
        }


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
