"""Manifest: what a run was made of and on, and what came of it, without naming a patient."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from monai_cxr.atomic import write_text
from monai_cxr.bundle.digests import file_digest
from monai_cxr.bundle.engines.rates import processor
from monai_cxr.data.samplers import film_weights
from monai_cxr.tables import columns_array
from monai_cxr.training.weighting import BY_BATCH, class_weights, count_labels, label_log_odds

_PACKAGES = ("monai", "torch", "torchvision", "numpy", "pytorch-ignite", "pydicom", "monai-cxr")


def run_manifest(
    source: Path,
    table: pd.DataFrame,
    findings: Sequence[str],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that decides a run's result.

    Args:
        source: The bundle.
        table: The index.
        findings: Outputs of the network.
        settings: What the user changed.
        config: The train config with these settings.

    Returns:
        A JSON value.
    """
    training = table[table["split"] == "train"]
    findings = () if "pretext" in config else findings
    policy = table.attrs.get("label_policy")
    return {
        "bundle": source.name,
        "bundle_configs": {
            name: file_digest(source / "configs" / f"{name}.json")
            for name in ("metadata", "train", "inference")
        },
        "settings": dict(settings),
        "data": {
            "n_images": {
                split: int((table["split"] == split).sum())
                for split in sorted(set(table["split"]) - {""})
            },
            "digest": _table_digest(table),
            **({"label_policy": policy} if policy else {}),
        },
        "seed": config.get("seed", 0),
        "training_priors": {name: _mean(training[name]) for name in findings},
        "n_positive": {name: int((training[name] == 1).sum()) for name in findings},
        "loss": _loss(training, findings, config)
        if findings
        else {"name": config.get("pretext", "")},
        **environment(),
    }


def environment() -> dict[str, Any]:
    """What ran: Python, the packages that decide a result, the commit, the machine."""
    return {
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES if _known(name)},
        "git": _git_commit(),
        "hardware": _hardware(),
    }


def throughput(metrics: pd.DataFrame) -> dict[str, float]:
    """Training images per second of a run's epochs, without their validation."""
    rates = metrics["images_per_second"]
    return {"images_per_second": round(float(rates.median()), 1), "epochs": len(rates)}


def note_throughput(manifest: Path, metrics: pd.DataFrame) -> None:
    """Keep the throughput so far in a run's manifest; a plain bundle has none.

    Args:
        manifest: Path of ``run.json``.
        metrics: A row per epoch, with ``images_per_second``.
    """
    if manifest.is_file():
        content = json.loads(manifest.read_text(encoding="utf-8"))
        text = json.dumps({**content, "throughput": throughput(metrics)}, indent=2) + "\n"
        write_text(manifest, text)


def _loss(
    training: pd.DataFrame, findings: Sequence[str], config: Mapping[str, Any]
) -> dict[str, Any]:
    """The loss and, where a calibration can undo them, the odds it multiplies.

    They are multiplied by the weights of the loss, by how much oftener than negatives the sampling
    draws positives, and by what a logit adjustment leaves out.
    """
    name, weighting = config.get("loss", "bce"), config.get("weighting", "none")
    sampling = config.get("sampling", "uniform")
    loss = {"name": name, "weighting": weighting}
    if sampling != "uniform":
        loss["sampling"] = sampling
    if name != "bce" or weighting in BY_BATCH:
        return loss
    labels = torch.tensor(columns_array(training, findings))
    weights = class_weights(*count_labels(labels), weighting, float(config.get("weight_cap", 20)))
    drawn = film_weights(
        labels, sampling, findings=findings, finding_weights=config.get("finding_weights")
    )
    oftener = _oftener(labels, drawn)
    adjustment = float(config.get("logit_adjustment", 0.0))
    moved = (-adjustment * label_log_odds(*count_labels(labels))).exp().tolist()
    odds = [
        float(p / n) * more * by if n > 0 else 1.0
        for p, n, more, by in zip(*weights, oftener, moved, strict=True)
    ]
    positive = {f: w if w > 0 else 1.0 for f, w in zip(findings, odds, strict=True)}
    return {**loss, "positive_weights": positive}


def _oftener(labels: torch.Tensor, drawn: torch.Tensor | None) -> list[float]:
    """How many times as often as a negative film a positive one is drawn, by finding."""
    if drawn is None:
        return [1.0] * labels.shape[1]
    means = [
        [float(drawn[column == value].mean()) for value in (1, 0)] for column in labels.unbind(1)
    ]
    return [
        positive / negative if positive > 0 and negative > 0 else 1.0
        for positive, negative in means
    ]


def _mean(column: pd.Series) -> float | None:
    return float(column.mean()) if column.notna().any() else None


def _table_digest(table: pd.DataFrame) -> str:
    text = table.drop(columns="path").to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _known(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _git_commit() -> str:
    """The commit of this package's source, with "+" where files were changed; else empty."""
    here = Path(__file__).resolve().parent
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", str(here), *arguments],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno", "--", "."])
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + "+" * bool(changed)


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"gpus": gpus, "cpu": processor(), "cores": os.cpu_count(), "system": platform.system()}
