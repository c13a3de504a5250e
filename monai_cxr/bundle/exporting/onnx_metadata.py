"""ONNX metadata: what an exported network's file says of itself to a program that knows nothing.

One entry of the file's ``metadata_props``, which every ONNX runtime reads, holds it as JSON. A
program of fifteen lines then needs the one file: ``docs/how-to/serve-fast.md`` has it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cxr.bundle.model import BundleModel
from monai_cxr.evaluation.calibration.calibrator import Calibrator
from monai_cxr.evaluation.calibration.methods import STATED, FindingCalibration
from monai_cxr.optional import require
from monai_cxr.preprocessing import MEAN, STANDARD_DEVIATION

KEY = "monai_cxr"
FORMAT_VERSION = "1.0"

_SAME = {"a": 1.0, "b": 1.0, "c": 0.0, "shift": 0.0}
"""The coefficients of sigmoid(z)."""


def facts_of(model: BundleModel) -> dict[str, Any]:
    """What a file of this model's network says.

    Args:
        model: Loaded from the packaged bundle that is exported.

    Returns:
        A JSON value: ``format_version``, ``model`` (name, version, digest), ``findings`` in the
        order of the logits, ``preprocessing``, ``calibration`` (see :func:`coefficients`; null
        without one), ``operating_points`` (the threshold on the probability by finding) and
        ``intended_use``.
    """
    identity = model.identity
    return {
        "format_version": FORMAT_VERSION,
        "model": {"name": identity.name, "version": identity.version, "digest": identity.digest},
        "findings": list(model.findings),
        "preprocessing": {
            "image": "frontal chest radiograph, one channel, bright = dense, in [0, 1]",
            "size": model.image_size,
            "resize": model.resize,
            "subtract": MEAN,
            "then_divide_by": STANDARD_DEVIATION,
        },
        "calibration": None if model.calibrator is None else coefficients(model.calibrator),
        "operating_points": {
            name: point.threshold for name, point in model.operating_points.items()
        },
        "intended_use": "Research use only; not a medical device.",
    }


def coefficients(calibrator: Calibrator) -> dict[str, Any]:
    """A calibration as one formula for all findings, whatever the method of each.

    With z the logit plus ``shift``, the probability is
    sigmoid(b ln(1 + exp(z)) - a ln(1 + exp(-z)) + c); with a = b = 1 this is sigmoid(z + c).

    Returns:
        ``a``, ``b``, ``c`` and ``shift``, a number per finding in order; and ``knots``, which has
        logits and probabilities of the findings whose method is a line through points: between
        them it is linear, and the formula does not hold.
    """
    rows = [_coefficients(part) for part in calibrator.findings]
    content: dict[str, Any] = {key: [row[key] for row in rows] for key in _SAME}
    content["knots"] = {
        part.finding: {
            "logits": list(part.parameters["scores"]),
            "probabilities": part.apply(part.parameters["scores"]).tolist(),
        }
        for part in calibrator.findings
        if part.method == "isotonic"
    }
    return content


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write the entry into an ONNX file; entries with other keys stay.

    Raises:
        MissingDependency: If the package onnx is not installed.
    """
    onnx = require("onnx", extra="onnx")
    network = onnx.load(str(path))
    kept = {entry.key: entry.value for entry in network.metadata_props}
    onnx.helper.set_model_props(network, kept | {KEY: json.dumps(facts)})
    onnx.save(network, str(path))


def _coefficients(part: FindingCalibration) -> dict[str, float]:
    found = _SAME | {key: _only(part.parameters[key]) for key in _SAME if key in part.parameters}
    if part.method == "prior_shift":
        found = _SAME | {"c": _only(part.parameters["shift"])}
    elif part.method == "temperature":
        slope = 1.0 / _only(part.parameters["temperature"])
        found = _SAME | {"a": slope, "b": slope}
    elif part.method == "platt":
        slope = _only(part.parameters["slope"])
        found = {"a": slope, "b": slope, "c": _only(part.parameters["intercept"]), "shift": 0.0}
    if STATED in part.parameters:  # odds times a ratio are log odds plus its logarithm
        own, stated = part.parameters[STATED]
        found["c"] += math.log(stated / (1.0 - stated)) - math.log(own / (1.0 - own))
    return found


def _only(values: Sequence[float]) -> float:
    (value,) = values
    return float(value)
