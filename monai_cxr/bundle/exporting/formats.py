"""Export formats: a network as TorchScript, ONNX or OpenVINO, for batches of any size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from monai_cxr.bundle.engines.observed import Observed
from monai_cxr.bundle.engines.runtime import FilmBatch
from monai_cxr.bundle.engines.torch_engine import NAMES_FILE
from monai_cxr.bundle.exporting.quantization import quantize_onnx, quantize_openvino
from monai_cxr.errors import SettingsError
from monai_cxr.optional import require

FORMATS: Mapping[str, tuple[str, ...]] = {
    "torchscript": ("fp32", "bf16", "fp16"),
    "onnx": ("fp32", "fp16", "int8"),
    "openvino": ("fp32", "bf16", "fp16", "int8"),
}
"""Precisions by format: those its engine computes in."""

_SUFFIXES = {"torchscript": (".ts",), "onnx": (".onnx",), "openvino": (".xml", ".bin")}
_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_OPSET = 17


def check_format(format_name: str, precision: str) -> None:
    """Refuse what no engine can run.

    Raises:
        SettingsError: Naming what there is.
    """
    if format_name not in FORMATS:
        raise SettingsError(
            f"Unknown format '{format_name}'. Expected --to one of: {', '.join(FORMATS)}."
        )
    if precision not in FORMATS[format_name]:
        raise SettingsError(
            f"There is no {format_name} in '{precision}'. Expected --precision one of: "
            f"{', '.join(FORMATS[format_name])}."
        )


def file_names(format_name: str, precision: str) -> tuple[str, ...]:
    """Names of the files of an export, the one to open first."""
    stem = "model" if precision == "fp32" else f"model_{precision}"
    return tuple(stem + suffix for suffix in _SUFFIXES[format_name])


def write_network(
    network: Observed, size: int, folder: Path, format_name: str, precision: str, films: FilmBatch
) -> None:
    """Write a network's exported form into a folder.

    Args:
        network: On the CPU, in float32; changed by a half precision.
        size: Side of the input in pixels.
        folder: Where :func:`file_names` go.
        format_name: One of :data:`FORMATS`.
        precision: One of its precisions.
        films: Normalised films, shape (N, 1, S, S), that calibrate int8.

    Raises:
        MissingDependency: If the package of the format is not installed.
    """
    path = folder / file_names(format_name, precision)[0]
    example = torch.zeros(2, 1, size, size)
    write = {"torchscript": _torchscript, "onnx": _onnx, "openvino": _openvino}[format_name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracers and exporters warn of their own deprecations
        write(network, example, path, precision, films)


def _torchscript(
    network: Observed, example: torch.Tensor, path: Path, precision: str, films: FilmBatch
) -> None:
    module = _Half(network, _HALF[precision]) if precision in _HALF else network
    with torch.no_grad():
        traced = torch.jit.trace(module.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
    said = {NAMES_FILE: " ".join(network.output_names)}
    torch.jit.save(torch.jit.freeze(traced.eval()), str(path), _extra_files=said)


class _Half(torch.nn.Module):
    """A network with weights and arithmetic in half precision, float32 outside."""

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.dtype = dtype

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As the network, float32 in and out."""
        return tuple(output.float() for output in self.network(image.to(self.dtype)))


def _onnx(
    network: Observed, example: torch.Tensor, path: Path, precision: str, films: FilmBatch
) -> None:
    require("onnx", extra="onnx")
    names = list(network.output_names)
    plain = path if precision == "fp32" else path.with_name("fp32.onnx")
    torch.onnx.export(
        network,
        (example,),
        str(plain),
        input_names=["image"],
        output_names=names,
        dynamic_axes={name: {0: "batch"} for name in ["image", *names]},
        opset_version=_OPSET,
        dynamo=False,  # the exporter by tracing: several times faster, and one file
    )
    if precision == "int8":
        quantize_onnx(plain, path, films)
    elif precision == "fp16":
        onnx = require("onnx", extra="onnx")
        convert: Callable[..., Any] = require(
            "onnxruntime.transformers.float16", extra="onnx"
        ).convert_float_to_float16
        onnx.save(convert(onnx.load(str(plain)), keep_io_types=True), str(path))
    if plain != path:
        plain.unlink()


def _openvino(
    network: Observed, example: torch.Tensor, path: Path, precision: str, films: FilmBatch
) -> None:
    ov = require("openvino", extra="openvino")
    shape = ov.PartialShape([-1, *example.shape[1:]])
    with torch.no_grad():
        model = ov.convert_model(network, example_input=example, input=[shape])
    model.inputs[0].get_tensor().set_names({"image"})
    for name, output in zip(network.output_names, model.outputs, strict=True):
        output.get_tensor().set_names({name})
    if precision == "int8":
        model = quantize_openvino(model, films)
    ov.save_model(model, str(path), compress_to_fp16=precision == "fp16")
