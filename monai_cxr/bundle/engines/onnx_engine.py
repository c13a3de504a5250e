"""ONNX Runtime: an exported network on a CPU, or on a GPU where its package brings one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_cxr.bundle.engines.runtime import (
    FilmBatch,
    FilmCalls,
    NetworkOutput,
    Outputs,
    available_cores,
    joined,
    require_known_outputs,
)
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.optional import require

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntime:
    """A network in an ONNX file.

    On a CPU each film runs alone on one thread, as many films at once as there are cores: as fast
    as batches, and a film's numbers are the same to the last bit in every batch.

    Args:
        path: The ONNX file.
        device: ``"cpu"``, or ``"cuda"``, ``"cuda:0"`` ..., or ``"tensorrt"``, ``"tensorrt:0"`` ...,
            which builds its engine at the first batch and leaves to CUDA what it does not know.
        precision: What the file computes in.

    Raises:
        MissingDependency: If ONNX Runtime is not installed.
        InvalidBundle: If the file is damaged.
        SettingsError: If the installed package has no provider for the device.
    """

    def __init__(self, path: Path, device: str = "cpu", precision: str = "fp32") -> None:
        ort = require("onnxruntime", extra="onnx")
        kind, _, number = device.partition(":")
        provider = _PROVIDERS.get(kind, "")
        if provider not in ort.get_available_providers() or not (number or "0").isdecimal():
            raise SettingsError(
                f"The installed ONNX Runtime has no provider for device '{device}'. Use "
                "--device cpu; for an NVIDIA GPU install onnxruntime-gpu, and for tensorrt its own "
                "libraries."
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self._alone = kind == "cpu"
        if self._alone:
            options.intra_op_num_threads = 1
        wanted = [provider, _PROVIDERS["cuda"]] if kind == "tensorrt" else [provider]
        place = {} if self._alone else {"device_id": int(number or 0)}
        chosen: list[Any] = [(one, place) for one in wanted]
        try:
            self._session = ort.InferenceSession(str(path), options, providers=chosen)
        except _damage() as error:
            raise InvalidBundle(
                f"The exported network '{path.name}' is damaged ({type(error).__name__}). "
                "Export it again."
            ) from error
        if provider not in self._session.get_providers():  # it warns, and computes on the CPU
            raise SettingsError(
                f"ONNX Runtime cannot use device '{device}': there is no GPU, or its driver or "
                "libraries are absent. Use --device cpu."
            )
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        require_known_outputs(self._names, path.name)
        cores = available_cores()
        self.precision = precision
        self.batch_size = 4 * cores if self._alone else 64
        self.batches_at_once = 2 if self._alone else 1
        self.name = f"onnxruntime-{kind}-{precision}"
        self._calls = FilmCalls(self._run, cores) if self._alone else None

    def run(self, batch: FilmBatch) -> NetworkOutput:
        """Run the network; see :class:`monai_cxr.bundle.engines.runtime.Runtime`."""
        return self._calls.run(batch) if self._calls else joined([self._run(batch)], len(batch))

    def _run(self, films: FilmBatch) -> Outputs:
        values = self._session.run(self._names, {self._input: films})
        return dict(zip(self._names, values, strict=True))


def _damage() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises on a file that is no network; its errors have no common base."""
    state = require("onnxruntime.capi.onnxruntime_pybind11_state", extra="onnx")
    names = ("EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile",
             "NotImplemented", "RuntimeException")  # fmt: skip
    own = [getattr(state, name) for name in names if hasattr(state, name)]
    return (*own, RuntimeError, ValueError)
