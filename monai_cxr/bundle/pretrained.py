"""Pretrained: a ready bundle of a network that others have trained and published."""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monai_cxr.atomic import write_text
from monai_cxr.bundle.config import (
    ONE_A_FINDING,
    copy_bundle,
    find_bundle,
    read_config,
    write_config,
)
from monai_cxr.bundle.digests import file_digest
from monai_cxr.bundle.engines.torch_engine import build_network, read_weights, write_weights
from monai_cxr.bundle.model import CALIBRATION_NAME, OPERATING_POINTS_NAME
from monai_cxr.bundle.packaging import finish_package, staged_bundle
from monai_cxr.bundle.pretrained_register import NOT_RECORDED, PretrainedWeights, register
from monai_cxr.bundle.verification import Verified, verify
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.evaluation.calibration.calibrator import (
    training_weights_calibrator,
    write_calibrator,
)
from monai_cxr.evaluation.decisions.decision_rules import DecisionRules, write_rules
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.networks.pretrained import is_published, published_weights
from monai_cxr.networks.weights import fit_state
from monai_cxr.prediction import Interval, OperatingPoint

OUTPUTS = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema"),
    *("Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule"),
    *("Mass", "Hernia", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"),
)
"""What the 18 outputs of torchxrayvision's networks are; its NIH weights have the first 14."""

PICKLED = (argparse.Namespace,)
"""Classes that a published pickle may hold besides tensors: the settings of its training."""

PROCESSOR_NAME = "preprocessor_config.json"
"""What Hugging Face's libraries call the file that says how films are prepared."""

_OWN_BUNDLE, _XRV_BUNDLE = "chest_xray_classification", "chest_xray_xrv"
_XRV = "torchxrayvision"


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
        InvalidBundle: If they belong to another network, or lack a finding.
    """
    source = find_bundle(bundle)
    if is_published(weights):
        state, names = published_weights(weights)
        label, entry = weights, register().get(weights.partition(":")[2])
    else:
        state, names = read_weights(Path(weights)), OUTPUTS
        label, entry = Path(weights).name, None
    facts = {} if entry is None else _facts(entry, "")
    return _package(source, {}, state, names, out, label=label, facts=facts)


def package_pretrained(entry: PretrainedWeights, out: Path, file: Path | None = None) -> Verified:
    """Make a bundle of weights in the register, with the preprocessing of their origin.

    Args:
        entry: From the register; the caller has shown its licence.
        out: Folder of the bundle; a bundle that is there is replaced.
        file: The weights, where they were fetched by hand; None downloads them.

    Returns:
        What verifying it says.

    Raises:
        SettingsError: If the weights cannot be downloaded, or there is no such file.
        InvalidBundle: If the file is not those weights, or what lies beside it says another
            preprocessing; nothing in it is run.
    """
    if file is not None:
        if not file.is_file():
            raise SettingsError(
                f"There is no file '{file.name}'. Give the weights of '{entry.name}' as --file, "
                "or leave it out to download them."
            )
        _check_processor(entry, file.parent / PROCESSOR_NAME)
    with tempfile.TemporaryDirectory() as folder:
        state, names, sha256 = _read(entry, file, Path(folder))
    findings = [name for name in FINDING_NAMES if name in names]
    network = {
        "_target_": "monai_cxr.networks.build",
        **{"in_channels": 1, "out_channels": ONE_A_FINDING, "image_size": entry.image_size},
        **entry.network,
    }
    settings = {
        **{"findings": findings, "image_size": entry.image_size, "resize": entry.resize},
        "network_def": network,
    }
    source = find_bundle(_XRV_BUNDLE if entry.publisher == _XRV else _OWN_BUNDLE)
    return _package(
        source,
        settings,
        state,
        names,
        out,
        label=entry.name,
        facts=_facts(entry, sha256),
        refusal=f"'{file.name if file else entry.name}' does not hold the {entry.architecture} "
        f"that '{entry.name}' is. ",
    )


def _read(
    entry: PretrainedWeights, file: Path | None, folder: Path
) -> tuple[dict[str, Any], Sequence[str], str]:
    """State dictionary, names of the outputs, and SHA-256 of the file ("" where there is none)."""
    if file is None and entry.publisher == _XRV:
        state, names = published_weights(f"{_XRV}:{entry.name}")
        return state, names, ""
    path = file or _download(entry, folder)
    sha256 = file_digest(path) if path.is_file() else ""
    if entry.sha256 and sha256 and sha256 != entry.sha256:
        raise InvalidBundle(
            f"'{path.name}' has the SHA-256 {sha256}, but '{entry.name}' has {entry.sha256}. "
            f"Fetch it again: {entry.url}"
        )
    return read_weights(path, PICKLED), _outputs(entry), sha256


def _check_processor(entry: PretrainedWeights, path: Path) -> None:
    """Compare the origin's own preprocessing with the register's, where it is beside the file."""
    if not (entry.processor and path.is_file()):
        return
    try:
        stated = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidBundle(
            f"'{path.name}' beside the weights is no JSON object ({type(error).__name__}). Fetch "
            "it again, or move it away."
        ) from error
    for name, expected in entry.processor.items():
        if name in stated and stated[name] != expected:
            raise InvalidBundle(
                f"'{path.name}' beside the weights says {name} {stated[name]}, but the register "
                f"prepares films for '{entry.name}' with {expected}. Its embeddings would not be "
                "the origin's: report the difference, or move the file away."
            )


def _outputs(entry: PretrainedWeights) -> Sequence[str]:
    """What the outputs are: torchxrayvision's own list, or NIH's order (CheXNet's lists)."""
    if entry.publisher != _XRV:
        return () if entry.encoder else FINDING_NAMES
    import torchxrayvision as xrv

    return tuple(xrv.models.model_urls[entry.name]["labels"])


def _download(entry: PretrainedWeights, folder: Path) -> Path:
    path = folder / entry.file
    try:
        torch.hub.download_url_to_file(entry.url, str(path), progress=False)
    except (urllib.error.URLError, OSError) as error:
        raise SettingsError(
            f"The weights '{entry.name}' could not be downloaded ({type(error).__name__}). Fetch "
            f"{entry.url} where there is a network, and give the file: monai-cxr fetch "
            f"{entry.name} --file {entry.file} --out BUNDLE --accept-licence."
        ) from error
    return path


def _facts(entry: PretrainedWeights, sha256: str) -> dict[str, Any]:
    """What the metadata say of the origin."""
    trained_on = ", ".join(f"{part['data']} ({part['split']})" for part in entry.trained_on)
    return {
        "name": f"Chest X-ray {'network' if entry.encoder else 'classification with'} "
        f"{entry.name} of {entry.publisher}",
        "description": f"The {entry.architecture} that {entry.publisher} publishes as "
        f"{entry.name}, with the preprocessing of its origin. Published AUROC: {entry.auroc}. "
        f"{entry.terms} {entry.note}".strip(),
        "data_source": f"Of the published weights: {trained_on}",
        "trained_on": [dict(part) for part in entry.trained_on],
        "weights_source": {
            **{"name": entry.name, "url": entry.url or entry.source, "revision": entry.revision},
            **{"sha256": sha256 or NOT_RECORDED, "licence": entry.licence},
            "data_terms": entry.data_terms,
        },
    }


def _package(
    source: Path,
    settings: Mapping[str, Any],
    state: Mapping[str, Any],
    names: Sequence[str],
    out: Path,
    *,
    label: str,
    facts: Mapping[str, Any],
    refusal: str = "",
) -> Verified:
    """A verified bundle of a bundle's configs, settings and a state dictionary."""
    with staged_bundle(out) as staging:
        copy_bundle(source, staging, settings)
        config = read_config(staging, "inference")
        findings = config["findings"]
        network = build_network(config)
        try:
            found = fit_state(network, state, names=names, findings=findings)
        except InvalidBundle as error:
            raise InvalidBundle(f"{refusal}{error}") from error
        missing = [name for name in findings if name not in found]
        if missing:
            raise InvalidBundle(f"The weights say nothing of {', '.join(missing)}. Choose others.")
        write_weights(staging, network.state_dict())
        write_calibrator(
            training_weights_calibrator(dict.fromkeys(findings, 1.0)), staging / CALIBRATION_NAME
        )
        points = _operating_points(state, names, findings)
        write_rules(DecisionRules(points), staging / OPERATING_POINTS_NAME)
        _tell_origin(staging, facts)
        finish_package(staging, {"weights": label, "data": {}})
        verified = verify(staging)
    return replace(verified, name=out.name)


_UNCALIBRATED = (
    "The probabilities are the sigmoid of the network's outputs: they are **not calibrated**. "
    "Calibrate them on your own films with `monai-cxr calibrate`."
)
_ENCODER = (
    "It is an encoder: `monai-cxr predict --embeddings` gives its embeddings and no score, "
    "`monai-cxr probe` says what they know, and `monai-cxr few-shot` adds a finding."
)


def _tell_origin(bundle: Path, facts: Mapping[str, Any]) -> None:
    """Let metadata and README say whose weights these are."""
    if not facts:
        return
    metadata = {**read_config(bundle, "metadata"), **facts}
    n = len(read_config(bundle, "inference")["findings"])
    said = _ENCODER
    if n:
        metadata["pred_classes"] = f"{n} probabilities, not exclusive; uncalibrated as fetched"
        said = _UNCALIBRATED
    write_config(bundle, "metadata", metadata)
    source = metadata["weights_source"]
    lines = [
        *("# Description", "", f"{facts['description']}", "", "# Model Overview", ""),
        said,
        *("", "## Weights", "", f"- Source: {source['url']}, revision {source['revision']}"),
        *(f"- SHA-256: {source['sha256']}", f"- Licence: {source['licence']}"),
        *(
            f"- Data terms: {source['data_terms']}",
            f"- {facts['data_source']}",
            "",
            "# Limitations",
        ),
        *("", "Frontal films of adults. Research use only; not a medical device.", ""),
    ]
    write_text(bundle / "docs" / "README.md", "\n".join(lines))


def _operating_points(
    state: Mapping[str, Any], names: Sequence[str], findings: list[str]
) -> tuple[OperatingPoint, ...]:
    """The thresholds that torchxrayvision publishes with its weights, where it does."""
    thresholds = state.get("op_threshs")
    unknown = Interval(math.nan)
    return tuple(
        OperatingPoint(name, float(value), "published by torchxrayvision", unknown, unknown, 0, 0)
        for name, value in zip(names, thresholds if thresholds is not None else (), strict=False)
        if name in findings and math.isfinite(float(value))
    )
