"""OpenVINO runtime: an exported network on a CPU (or another device of OpenVINO)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import Lock, local
from typing import Any

from monai_cxr.bundle.engines.runtime import (
    FilmBatch,
    FilmCalls,
    NetworkOutput,
    Outputs,
    available_cores,
    require_known_outputs,
)
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.optional import require

_MAKING = Lock()


class OpenVinoRuntime:
    """A network in OpenVINO's own format, or in an ONNX file.

    Each film runs in a stream of one thread, as many streams as there are cores: as fast as
    batches, and a film's numbers are the same to the last bit in every batch. The network is
    compiled for one film, in int8 for two: 5 % faster than for any number of them, int8 14 %. A
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
        core = the_core()
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
            n_films = 2 if precision == "int8" else 1
            network.reshape([n_films, *film])
            self._compiled = core.compile_model(network, kind, settings)
        except RuntimeError as error:
            raise InvalidBundle(
                f"The exported network '{path.name}' is damaged. Export it again."
            ) from error
        if precision == "bf16":
            _require_bf16(self._compiled, kind)
        require_known_outputs(self._names, path.name)
        self.precision = precision
        self.batch_size = 8 * cores
        self.name = f"openvino-{device.lower()}-{precision}"
        self.batches_at_once = 2
        self._own = local()
        self._calls = FilmCalls(self._call, cores, n_films)

    def run(self, batch: FilmBatch) -> NetworkOutput:
        """Run the network; see :class:`monai_cxr.bundle.engines.runtime.Runtime`."""
        return self._calls.run(batch)

    def _call(self, films: FilmBatch) -> Outputs:
        if not hasattr(self._own, "request"):  # one a thread
            self._own.request = self._compiled.create_infer_request()
        request = self._own.request
        request.infer({0: films}, share_inputs=True)
        outputs = (request.get_output_tensor(i) for i in range(len(self._names)))
        return {name: out.data.copy() for name, out in zip(self._names, outputs, strict=True)}


def the_core() -> Any:
    """The process's only ``openvino.Core``, kept until the process ends.

    A core gives the thread that makes it a stack for its signals (``sigaltstack``), and puts the
    one before it back when it ends. Where cores do not end in the reverse order in which they were
    made, that one is gone, and the next signal, of a child that ended say, ends the process by
    SIGSEGV (OpenVINO 2026.4; decision 121).

    Returns:
        The core.

    Raises:
        MissingDependency: If OpenVINO is not installed.
    """
    with _MAKING:
        return _made_core()


@cache
def _made_core() -> Any:
    return require("openvino", extra="openvino").Core()


def offers_bf16() -> bool:
    """Whether OpenVINO says that this CPU computes in bf16; how fast, it does not say."""
    return "BF16" in the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _require_bf16(compiled: Any, device: str) -> None:
    """Refuse where the hint was not followed: OpenVINO computes in fp32 then, and says nothing."""
    taken = compiled.get_property("INFERENCE_PRECISION_HINT")
    if taken.get_type_name() != "bf16":
        raise SettingsError(
            f"This {device} does not compute in bf16 (OpenVINO takes {taken.get_type_name()}). Use "
            "fp32 or int8."
        )
