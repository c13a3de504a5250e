"""Quantization: int8 by static post-training quantization, calibrated on films."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr.bundle.engines.runtime import FilmBatch
from monai_cxr.optional import require


def quantize_onnx(source: Path, target: Path, films: FilmBatch) -> None:
    """Write an int8 form of an ONNX network (QDQ, a scale a channel, 7-bit weights).

    Weights of 7 bits, because processors without VNNI saturate when they add pairs of products.
    The first and the last layers stay in float32.

    Args:
        source: The network in float32.
        target: The file to write.
        films: Normalised, shape (N, 1, S, S).

    Raises:
        MissingDependency: If ONNX Runtime is not installed.
    """
    onnx = require("onnx", extra="onnx")
    quantization = require("onnxruntime.quantization", extra="onnx")
    nodes = [
        node.name
        for node in onnx.load(str(source)).graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul")
    ]
    quantization.quantize_static(
        str(source),
        str(target),
        _reader(quantization.CalibrationDataReader, films),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=[nodes[0], *nodes[-2:]],
    )


def _reader(base: type, films: FilmBatch) -> Any:
    def feed() -> Iterator[dict[str, NDArray[np.float32]]]:
        for i in range(len(films)):
            yield {"image": films[i : i + 1]}

    class Reader(base):
        def __init__(self) -> None:
            self._films = feed()

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._films, None)

    return Reader()


def quantize_openvino(model: Any, films: FilmBatch) -> Any:
    """An int8 form of an OpenVINO network, by NNCF.

    The range of an activation is the one whose rounding, over its whole histogram, costs least;
    one from the extremes of the films moves logits twice as far. The first and the last layers
    stay in float32.

    Args:
        model: ``openvino.Model`` in float32.
        films: Normalised, shape (N, 1, S, S).

    Returns:
        ``openvino.Model``.

    Raises:
        MissingDependency: If NNCF is not installed.
    """
    nncf = require("nncf", extra="openvino")
    ranges = require("nncf.quantization.range_estimator", extra="openvino")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    layers = [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() in ("Convolution", "MatMul")
    ]
    data = nncf.Dataset([films[i : i + 1] for i in range(len(films))])
    return nncf.quantize(
        model,
        data,
        preset=nncf.QuantizationPreset.MIXED,  # features may be negative: signed, asymmetric
        subset_size=len(films),
        ignored_scope=nncf.IgnoredScope(names=[layers[0], *layers[-2:]]),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=ranges.RangeEstimatorParametersSet.HISTOGRAM
        ),
    )
