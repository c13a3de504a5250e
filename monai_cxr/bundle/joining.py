"""Joining: an ensemble as one bundle, with a calibration and operating points of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.digests import WEIGHTS_NAME, check_digests, model_digest
from monai_cxr.bundle.engines.torch_engine import (
    build_network,
    load_weights,
    with_outputs,
    write_weights,
)
from monai_cxr.bundle.ensemble import require_different, require_same_findings
from monai_cxr.bundle.inference import embeds, predict_table
from monai_cxr.bundle.model import (
    CALIBRATION_NAME,
    OPERATING_POINTS_NAME,
    REFERENCE_NAME,
    BundleModel,
    require_findings,
)
from monai_cxr.bundle.packaging import (
    DEFAULT_ALPHA,
    DEFAULT_CRITERION,
    check_calibrated,
    describe,
    finish_package,
    staged_bundle,
    training_manifest,
    write_reference,
)
from monai_cxr.bundle.verification import Verified, verify
from monai_cxr.data.splits import rows_of_split
from monai_cxr.errors import InvalidBundle
from monai_cxr.evaluation.calibration.calibrator import fit_calibrator, write_calibrator
from monai_cxr.evaluation.decisions.decision_rules import choose_rules, write_rules
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.monitoring.familiarity import read_familiarity
from monai_cxr.networks.joined import Joined
from monai_cxr.tables import normalise_index, read_table

_SHARED = ("image_size", "resize", "scope")


def join(
    bundles: Sequence[Path | str],
    index: Path,
    out: Path,
    *,
    criterion: str = DEFAULT_CRITERION,
    alpha: float | None = DEFAULT_ALPHA,
    workers: int | None = None,
) -> Verified:
    """Make one bundle of several: mean logits, calibrated as what they are together.

    Args:
        bundles: Packaged bundles of the same findings, in any order, and of the same input.
        index: Films of split val, that no member was trained on: the calibration, operating points,
            conformal rules and the reference for drift are made on them.
        out: Folder of the new bundle; a bundle that is there is replaced.
        criterion: Rule of the operating points.
        alpha: Promised error of the conformal rules; None makes none.
        workers: Processes that read films.

    Returns:
        What verifying the new bundle says. Predictions of it have a column of disagreement.

    Raises:
        SettingsError: If the bundles are fewer than two, or one stands there twice.
        InvalidBundle: If they differ in findings or input, or one is not packaged.
        InvalidTable: If the index has no labelled film of split val.
    """
    folders = [find_bundle(name) for name in bundles]
    digests = [model_digest(check_digests(folder)) for folder in folders]
    require_different(digests)
    configs = [read_config(folder, "inference") for folder in folders]
    findings = list(configs[0]["findings"])
    require_findings(folders[0].name, findings)
    _check_alike(folders, configs)
    rows = rows_of_split(normalise_index(read_table(index), findings), "val")
    ages = read_familiarity(folders[0] / REFERENCE_NAME).ages
    definition, state = _joined(folders, configs, findings)
    with staged_bundle(out) as staging:
        copy_bundle(folders[0], staging, {"network_def": definition, "initial_weights": ""})
        write_weights(staging, state)
        describe(staging)
        manifest = _manifest(folders, digests)
        finish_package(staging, manifest)  # whole enough to predict with
        joined = BundleModel.load(staging, runtime="torch")
        table = predict_table(joined, rows, workers=workers, embeddings=embeds(joined))
        scored = load_predictions(table)
        calibrator = fit_calibrator(scored, split="val")
        check_calibrated(calibrator, findings)
        rules = choose_rules(calibrator.apply_to(scored), criterion, alpha=alpha)
        write_calibrator(calibrator, staging / CALIBRATION_NAME)
        write_rules(rules, staging / OPERATING_POINTS_NAME)
        write_reference(staging, table, scored.findings, ages)
        finish_package(staging, manifest)
        verified = verify(staging)
    return replace(verified, name=out.name)


def _check_alike(folders: Sequence[Path], configs: Sequence[dict[str, Any]]) -> None:
    first = configs[0]
    require_same_findings(
        (folder.name, config["findings"]) for folder, config in zip(folders, configs, strict=True)
    )
    for folder, config in zip(folders, configs, strict=True):
        for name in _SHARED:
            if config.get(name) != first.get(name):
                raise InvalidBundle(
                    f"The bundles of one joined bundle need the same {name}, but '{folder.name}' "
                    f"has {config.get(name)} and '{folders[0].name}' {first.get(name)}. Name them "
                    "in a JSON file instead, which predict takes: members of other inputs go there."
                )
        if config["network_def"].get("exclusive"):
            raise InvalidBundle("Exclusive classes are not joined: their log odds have no mean.")


def _joined(
    folders: Sequence[Path], configs: Sequence[dict[str, Any]], findings: Sequence[str]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The definition of the network, and its weights."""
    networks, definitions = [], []
    for folder, config in zip(folders, configs, strict=True):
        network = build_network(config)
        load_weights(network, folder / WEIGHTS_NAME)
        networks.append(network)
        definitions.append(with_outputs(config["network_def"], findings))
    orders = [[config["findings"].index(name) for name in findings] for config in configs]
    definition = {
        "_target_": "monai_cxr.networks.joined.Joined",
        "networks": definitions,
        "orders": orders,
    }
    return definition, dict(Joined(networks, orders).state_dict())


def _manifest(folders: Sequence[Path], digests: Sequence[str]) -> dict[str, Any]:
    members = []
    for folder, digest in zip(folders, digests, strict=True):
        metadata = read_config(folder, "metadata")
        named = {key: metadata.get(key, "") for key in ("name", "version")}
        members.append({**named, "digest": digest, "training": training_manifest(folder)})
    return {"data": members[0]["training"].get("data", {}), "ensemble": members}
