"""Request: what a user asks of training, as a run's folder and the plain MONAI command."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cxr.bundle.config import find_bundle, parse_setting, read_config
from monai_cxr.bundle.presets import read_preset
from monai_cxr.data.sets.medmnist import index_medmnist
from monai_cxr.errors import SettingsError
from monai_cxr.labels.check import FLOOR, require_checked
from monai_cxr.optional import require
from monai_cxr.tables import write_table
from monai_cxr.training.run.workflow import prepare_run

TRACKERS = ("mlflow", "tensorboard")


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train.

    Attributes:
        bundle: Folder or name; None with ``source``.
        index: An index table, or an ``.npz`` file of MedMNIST.
        out: Folder of the run.
        settings: ``key=value`` texts; they go before the preset's.
        preset: Named settings of the bundle.
        source: A bundle to start from: its configs and its weights.
        tracking: One of :data:`TRACKERS`, or None.
        label_floor: Smallest F1 of a finding's labels, where they were checked against readers.
    """

    bundle: str | None
    index: Path
    out: Path
    settings: Sequence[str] = ()
    preset: str | None = None
    source: str | None = None
    tracking: str | None = None
    label_floor: float = FLOOR


def prepare(
    request: TrainingRequest, *, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Make the folder of a run.

    Args:
        request: What to train.
        progress: Called with (done, total) while films are unpacked.

    Returns:
        The plain MONAI command that trains the run.

    Raises:
        SettingsError: If something of it is unknown or missing.
    """
    name = request.bundle or request.source
    if name is None:
        raise SettingsError("Name a bundle to train, or one to start from with --from.")
    bundle = find_bundle(name)
    settings: dict[str, Any] = {}
    if request.source is not None:
        settings["initial_weights"] = str(find_bundle(request.source))
    if request.preset is not None:
        settings |= read_preset(bundle, request.preset)
    settings |= dict(parse_setting(text) for text in request.settings)
    tracking = _tracking(request.tracking, settings)
    index = request.index
    if index.suffix == ".npz":
        index = _unpacked(request, settings.get("findings") or _findings_of(bundle), progress)
    require_checked(index, settings.get("findings") or _findings_of(bundle), request.label_floor)
    return [*prepare_run(bundle, index, request.out, settings), *tracking]


def _tracking(name: str | None, settings: dict[str, Any]) -> list[str]:
    if name is None:
        return []
    if name not in TRACKERS:
        raise SettingsError(f"Expected tracking as one of {', '.join(TRACKERS)}, but got '{name}'.")
    require(name, extra="tracking")
    if name == "tensorboard":
        settings["tensorboard"] = True
        return []
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is told to anybody else
    return ["--tracking", "mlflow"]


def _findings_of(bundle: Path) -> list[str]:
    return list(read_config(bundle, "train")["findings"])


def _unpacked(
    request: TrainingRequest,
    findings: Sequence[str] | str,
    progress: Callable[[int, int], None] | None,
) -> Path:
    names = [findings] if isinstance(findings, str) else list(findings)
    table = index_medmnist(request.index, request.out / "films", findings=names, progress=progress)
    path = request.out / "films" / "index.parquet"
    write_table(table, path)
    return path
