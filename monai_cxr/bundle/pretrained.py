"""Published: a ready bundle of a network that others have trained and published."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.digests import WEIGHTS_NAME
from monai_cxr.bundle.engines.torch_engine import build_network, read_weights
from monai_cxr.bundle.model import CALIBRATION_NAME, OPERATING_POINTS_NAME
from monai_cxr.bundle.packaging import Verified, finish_package, staged_bundle, verify
from monai_cxr.errors import InvalidBundle
from monai_cxr.evaluation.calibration.calibrator import (
    training_weights_calibrator,
    write_calibrator,
)
from monai_cxr.evaluation.decisions.decision_rules import DecisionRules, write_rules
from monai_cxr.networks.pretrained import is_published, published_weights
from monai_cxr.networks.weights import fit_state
from monai_cxr.prediction import Interval, OperatingPoint

OUTPUTS = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema"),
    *("Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule"),
    *("Mass", "Hernia", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"),
)
"""What the 18 outputs of torchxrayvision's networks are; its NIH weights have the first 14."""


def package_published(bundle: str, weights: str, out: Path) -> Verified:
    """Make a bundle of published weights.

    Its probabilities are the network's own: no calibration was fitted, and none of its operating
    points was measured here.

    Args:
        bundle: Folder or name of the bundle whose network it is.
        weights: ``torchxrayvision:NAME``, or a file with the state dictionary of that library's
            DenseNet.
        out: Folder of the bundle; a bundle that is there is replaced.

    Returns:
        What verifying it says.

    Raises:
        SettingsError: If the weights are unknown or cannot be downloaded.
        InvalidBundle: If they are of another network, or lack a finding.
    """
    source = find_bundle(bundle)
    config = read_config(source, "inference")
    findings = config["findings"]
    network = build_network(config)
    if is_published(weights):
        state, names = published_weights(weights)
    else:
        state, names = read_weights(Path(weights)), OUTPUTS
    found = fit_state(network, state, names=names, findings=findings)
    missing = [name for name in findings if name not in found]
    if missing:
        raise InvalidBundle(f"The weights say nothing of {', '.join(missing)}. Choose others.")
    with staged_bundle(out) as staging:
        copy_bundle(source, staging, {})
        (staging / "models").mkdir(parents=True)
        with (staging / WEIGHTS_NAME).open("wb") as stream:
            torch.save(network.state_dict(), stream)
        write_calibrator(
            training_weights_calibrator(dict.fromkeys(findings, 1.0)), staging / CALIBRATION_NAME
        )
        points = _operating_points(state, names, findings)
        write_rules(DecisionRules(points), staging / OPERATING_POINTS_NAME)
        label = weights if is_published(weights) else Path(weights).name
        finish_package(staging, {"weights": label, "data": {}})
        verified = verify(staging)
    return replace(verified, name=out.name)


def _operating_points(
    state: dict[str, Any], names: tuple[str, ...], findings: list[str]
) -> tuple[OperatingPoint, ...]:
    """The thresholds that torchxrayvision publishes with its weights, where it does."""
    thresholds = state.get("op_threshs")
    unknown = Interval(math.nan)
    return tuple(
        OperatingPoint(name, float(value), "published by torchxrayvision", unknown, unknown, 0, 0)
        for name, value in zip(names, thresholds if thresholds is not None else (), strict=False)
        if name in findings and math.isfinite(float(value))
    )
