"""Workflow: make a run from a bundle, run MONAI's plain command on it, and resume it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from monai_cxr.atomic import write_text
from monai_cxr.bundle.config import (
    check_settings,
    copy_bundle,
    find_bundle,
    read_config,
    ships_with_package,
    write_settings,
)
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.model import RUN_NAME
from monai_cxr.bundle.presets import expand_settings
from monai_cxr.data.splits import assert_no_leakage, rows_of_split
from monai_cxr.errors import CXRError, InvalidTable, SettingsError
from monai_cxr.findings import FINDINGS
from monai_cxr.tables import normalise_index, read_table, write_table
from monai_cxr.training.run import pretraining
from monai_cxr.training.run.manifest import run_manifest, throughput
from monai_cxr.training.run.run_lock import take_lock
from monai_cxr.training.run.runs import METRICS_NAME


class TrainingFailed(CXRError):
    """MONAI's command ended with an error; its output says which."""


def prepare_run(
    bundle: Path | str, index: Path, run: Path, settings: Mapping[str, Any]
) -> list[str]:
    """Make the folder of a run: configs with their settings, index, manifest.

    A run that has an epoch is continued with its own configs, and its settings must be the same but
    for ``max_epochs``; configs of this package that have changed since, in a newer version, do not
    end it. One that has none yet is made again, so that a setting that failed can be mended.

    Args:
        bundle: Folder or name of the bundle.
        index: Index with a ``split`` column that has train and val; to pretrain, train will do.
        run: Folder of the run; it is laid out as a bundle.
        settings: Value by config id.

    Returns:
        The plain MONAI command that trains the run.

    Raises:
        SettingsError: If a setting is unknown, or the folder holds another run.
        InvalidTable: If the index has no train or val split, or leaks.
        InvalidBundle: If a config names a forbidden or unknown class.
    """
    source = find_bundle(bundle)
    base = read_config(source, "train")
    expanded = expand_settings(settings, base)
    check_settings(source, expanded)
    findings = expanded.get("findings", base["findings"])
    given = read_table(index)
    table = normalise_index(given, findings)
    assert_no_leakage(table)
    if pretraining.is_pretraining(base):
        pretraining.refuse_unsplit(table)
    else:
        for split in ("train", "val"):
            rows_of_split(table, split)
        _check_labels(table, findings, list(given.columns))
        pretraining.refuse_seen(expanded.get("initial_weights"), table)
    _check_batch({**base, **expanded}["batch_size"], int((table["split"] == "train").sum()))
    _check_prevalence({**base, **expanded}.get("prevalence", {}), findings)
    manifest = run_manifest(source, table, findings, settings, {**base, **expanded})
    if _continues(run, source, manifest):
        _go_on(run, settings)
        return monai_command(run)
    # What does not fit shows here, not in a traceback.
    if pretraining.is_pretraining(base):
        pretraining.check_pretext({**base, **expanded})
    else:
        _check_known(table, findings)
        if "network_def" in expanded:
            build_network({"findings": findings, **expanded})
    copy_bundle(source, run, {**expanded, "bundle_root": str(run.resolve())})
    write_table(table, run / "index.parquet")
    text = json.dumps(manifest, indent=2) + "\n"
    write_text(run / RUN_NAME, text)
    return monai_command(run)


def monai_command(run: Path) -> list[str]:
    """The command that any MONAI user would type to train this run."""
    configs = run.resolve() / "configs"
    return [
        *(sys.executable, "-m", "monai.bundle", "run"),
        *("--config_file", str(configs / "train.json")),
        *("--meta_file", str(configs / "metadata.json")),
        *("--logging_file", str(configs / "logging.conf")),
        *("--bundle_root", str(run.resolve())),
    ]


def training_environment() -> dict[str, str]:
    """What :func:`train` sets for the process that trains, where the user has not set it.

    On a CPU a step's large tensors are mapped and unmapped by the C library, and the system clears
    their pages again in each step; with these limits glibc keeps the memory for the next step.
    """
    keep = str(2**40)
    return {
        "PYTHONWARNINGS": "ignore",
        "GOMP_SPINCOUNT": "10000",
        "MALLOC_MMAP_THRESHOLD_": keep,
        "MALLOC_TRIM_THRESHOLD_": keep,
    }


def train(command: list[str]) -> None:
    """Run the command and wait; it ends when this process ends, however that happens.

    Raises:
        TrainingFailed: If it ends with an error.
        KeyboardInterrupt: If the user stops it; the last epoch's checkpoint stays.
    """
    environment = {**training_environment(), **os.environ}
    # In a session of its own, so that Ctrl-C reaches this process alone and no traceback is shown.
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, preexec_fn=_end_with_parent()
    )
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        Console(stderr=True).show_cursor()  # the bar of the stopped process had hidden it
        raise
    if status != 0:
        run = Path(command[command.index("--bundle_root") + 1])
        raise TrainingFailed(
            f"Training ended with status {status}; the message above says why. "
            + (
                "The last complete epoch is kept: the same command continues from it."
                if _has_epoch(run)
                else "No epoch was complete yet: the command may be repeated with other settings."
            )
        )


def _checkpoints(run: Path) -> Path:
    """Where a run keeps its checkpoints: in itself, unless it was told otherwise."""
    given = str(read_config(run, "train").get("checkpoint_dir", "$"))
    return run / "checkpoints" if given.startswith("$") else Path(given)


def _has_epoch(run: Path) -> bool:
    return (_checkpoints(run) / "last.pt").is_file()


def _end_with_parent() -> Callable[[], None] | None:
    """What a child calls first on Linux, so that it is not left alone when its parent is killed."""
    if sys.platform != "linux":
        return None
    set_parent_death_signal, option = ctypes.CDLL(None).prctl, 1
    return lambda: set_parent_death_signal(option, int(signal.SIGTERM))


def _check_labels(table: pd.DataFrame, findings: Sequence[str], columns: Container[str]) -> None:
    """Refuse a name that nobody knows, which would be an output that learns nothing."""
    unknown = [name for name in findings if name not in columns and name not in FINDINGS]
    training = table[table["split"] == "train"]
    if unknown or training[list(findings)].isna().all(axis=None):
        named = unknown or list(findings)
        raise InvalidTable(
            f"No training film has a label of {', '.join(named[:5])}. Check the names in findings "
            "and the index's columns.",
            reason="no_labels",
        )


def _check_batch(batch_size: Any, n_films: int) -> None:
    """Refuse a batch that never fills: an incomplete one is left out of an epoch."""
    if isinstance(batch_size, str) and batch_size.startswith(("$", "@")):
        return  # an expression of the config, which only MONAI evaluates
    if type(batch_size) is not int or batch_size < 1:
        raise SettingsError(f"Expected batch_size as a whole number, but got {batch_size!r}.")
    if batch_size > n_films:
        raise SettingsError(
            f"The train split has {n_films} films, which is less than one batch. Set batch_size="
            f"{max(n_films // 2, 1)} or less; it is {batch_size}."
        )


def _check_prevalence(stated: Mapping[str, float], findings: Sequence[str]) -> None:
    """Packaging uses it; a mistake is told before training, not after."""
    for name, value in dict(stated).items():
        if name not in findings or not 0.0 < value < 1.0:
            raise SettingsError(
                f"Expected prevalence as shares between 0 and 1 of {', '.join(findings)}, but got "
                f"{value} of '{name}'."
            )


def _check_known(table: pd.DataFrame, findings: Sequence[str]) -> None:
    """Refuse outputs that could learn nothing, or not be calibrated, before the hours are spent."""
    for split, what in (("train", "learnt"), ("val", "calibrated")):
        known = table.loc[table["split"] == split, list(findings)].notna().any()
        missing = [name for name in findings if not known[name]]
        if missing:
            labelled = [name for name in findings if known[name]]
            raise InvalidTable(
                f"{len(missing)} of {len(findings)} findings have no label in {split}, so they "
                f"cannot be {what}: {', '.join(missing)}. "
                + (
                    f"Leave them out: --set findings={','.join(labelled)}."
                    if labelled
                    else "Label films of that split, or split again: monai-cxr split."
                ),
                reason="no_labels",
            )


def _go_on(run: Path, settings: Mapping[str, Any]) -> None:
    """Continue a run for longer, where that is asked for; else nothing of it changes."""
    content = json.loads((run / RUN_NAME).read_text(encoding="utf-8"))
    content["settings"] = dict(settings)
    content["throughput"] = throughput(pd.read_csv(run / METRICS_NAME))
    moved: dict[str, Any] = {"bundle_root": str(run.resolve())}
    write_settings(run, moved | {k: v for k, v in settings.items() if k == "max_epochs"})
    text = json.dumps(content, indent=2) + "\n"
    write_text(run / RUN_NAME, text)


def _continues(run: Path, source: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the folder holds an epoch of this very run.

    Raises:
        SettingsError: If it holds another run, or another process trains it.
    """
    if not (run / RUN_NAME).is_file():
        return False
    if _checkpoints(run).is_dir():
        take_lock(_checkpoints(run))()  # a process that trains here must keep its configs
    if not _has_epoch(run):
        return False
    before = json.loads((run / RUN_NAME).read_text(encoding="utf-8"))
    own_configs = () if ships_with_package(source) else ("bundle_configs",)
    for what in (*own_configs, "data", "settings"):
        old, new = dict(before[what]), dict(manifest[what])
        if what == "settings":
            old.pop("max_epochs", None)
            new.pop("max_epochs", None)
        if old != new:
            raise SettingsError(
                f"The folder '{run.name}' holds a run with other {what.replace('_', ' ')}"
                f"{_differences(old, new)}. Repeat its command to continue it, or choose another "
                "--out."
            )
    return True


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which values differ, the first three."""
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    shown = [f"{key}={json.dumps(old[key]) if key in old else 'not set'}" for key in keys[:3]]
    return f" (there: {', '.join(shown)}{', ...' if len(keys) > 3 else ''})"
