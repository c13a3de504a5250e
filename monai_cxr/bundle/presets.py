"""Presets: named settings of a bundle, and settings that stand for several config ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cxr.bundle.config import ONE_A_FINDING, find_bundle, read_config
from monai_cxr.errors import SettingsError

NETWORK_SETTINGS = ("architecture", "network_options", "input_range", "head", "head_options")
"""Settings that together become ``network_def``; they are not config ids of their own."""

TEACHER_SETTINGS = ("teacher", "teacher_share", "teacher_temperature")
"""Settings of distillation; they become ``train::prepare_batch`` and ``train::loss``."""

TASKS = ("multi_label", "multi_class")
"""``multi_label``: findings, any number of which may be present; one finding is the binary task.
``multi_class``: exclusive classes, by softmax."""

_NAMES = {"DenseNet121": "densenet121", "DenseNet169": "densenet169", "DenseNet201": "densenet201"}
_BUILDER = "monai_cxr.networks.build"
_PLAIN_BATCH = "monai_cxr.data.augmentation.PrepareBatch"
_DISTILLATION = "monai_cxr.training.distillation"


def read_preset(bundle: Path, name: str) -> dict[str, Any]:
    """The settings of a preset.

    Args:
        bundle: Folder of the bundle; its presets are the files ``presets/*.json``.
        name: Name of one of them, or the path of a JSON file of settings.

    Raises:
        SettingsError: If there is no such preset, or it is no JSON object.
    """
    own = {path.stem: path for path in sorted((bundle / "presets").glob("*.json"))}
    path = own.get(name, Path(name))
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise SettingsError(
            f"The bundle has no preset '{name}'. It has: {', '.join(own) or 'none'}. A path of a "
            "JSON file of settings will do too."
        ) from None
    except ValueError as error:
        raise SettingsError(f"The preset '{name}' is not JSON: {error}.") from None
    if not isinstance(settings, dict):
        raise SettingsError(f"The preset '{name}' is not a JSON object of settings.")
    return {key: value for key, value in settings.items() if not key.startswith("_")}


def expand_settings(settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what a user says of network and task into the config ids that follow from it.

    Args:
        settings: Value by id; :data:`NETWORK_SETTINGS` and :data:`TEACHER_SETTINGS` may be among
            them.
        config: The bundle's train config.

    Returns:
        Settings that :func:`monai_cxr.bundle.config.copy_bundle` takes.

    Raises:
        SettingsError: If they do not fit together.
    """
    settings = _with_teacher(settings, config)
    result = {key: value for key, value in settings.items() if key not in NETWORK_SETTINGS}
    findings = _findings(result.get("findings", config["findings"]))
    if "findings" in result:
        result["findings"] = findings
    task = result.get("task", config.get("task", "multi_label"))
    if task not in TASKS:
        raise SettingsError(f"Expected task as one of {', '.join(TASKS)}, but got '{task}'.")
    if task == "multi_class":
        # A preset's prevalence is of a finding; exclusive classes keep their shares.
        result = {"loss": "softmax", **result, "prevalence": {}}
        if result["loss"] != "softmax":
            raise SettingsError("The task multi_class is trained with loss=softmax.")
    elif result.get("loss") == "softmax":
        raise SettingsError("loss=softmax is for exclusive classes. Set task=multi_class too.")
    if "network_def" not in result:
        definition = _network(settings, config, findings, exclusive=task == "multi_class")
        if definition != config["network_def"]:
            result["network_def"] = definition
    return result


def without_teacher(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that take distillation out of a train config: its teacher is elsewhere, or nowhere.

    Args:
        config: A run's train config.

    Returns:
        Settings that :func:`monai_cxr.bundle.config.copy_bundle` takes; none without a teacher.
    """
    batch = config["train"]["prepare_batch"]
    if batch.get("_target_") != f"{_DISTILLATION}.TaughtBatch":
        return {}
    plain = {"_target_": _PLAIN_BATCH, "augmentation": batch["augmentation"]}
    return {"train::prepare_batch": plain, "train::loss": config["train"]["loss"]["supervised"]}


def _with_teacher(settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Distillation: films and findings as the teacher takes them, unless stated otherwise."""
    result = {key: value for key, value in settings.items() if key not in TEACHER_SETTINGS}
    if "teacher" not in settings:
        if len(result) < len(settings):
            raise SettingsError("A teacher is needed: --set teacher=BUNDLE.")
        return result
    teacher = find_bundle(str(settings["teacher"]))
    facts = read_config(teacher, "inference")
    result = {key: facts[key] for key in ("image_size", "resize", "findings")} | result
    loss = {"_target_": f"{_DISTILLATION}.DistillationLoss", "supervised": config["train"]["loss"]}
    for argument in ("share", "temperature"):
        if f"teacher_{argument}" in settings:
            loss[argument] = settings[f"teacher_{argument}"]
    batch = {
        "_target_": f"{_DISTILLATION}.TaughtBatch",
        "augmentation": "@train::augmentation",
        "teacher": str(teacher),
        **{name: f"@{name}" for name in ("findings", "image_size", "resize")},
    }
    return {"train::loss": loss, "train::prepare_batch": batch, **result}


def _findings(names: Any) -> list[str]:
    names = [part.strip() for part in names.split(",")] if isinstance(names, str) else names
    good = isinstance(names, list) and names and all(isinstance(n, str) and n for n in names)
    if not good or len(set(names)) != len(names):
        raise SettingsError(f"Expected findings as a list of distinct names, but got {names}.")
    return list(names)


def _network(
    settings: Mapping[str, Any], config: Mapping[str, Any], findings: list[str], *, exclusive: bool
) -> dict[str, Any]:
    own = dict(config["network_def"])
    if own["_target_"] != _BUILDER:
        plain = not exclusive and not any(name in settings for name in NETWORK_SETTINGS)
        if plain and "out_channels" in own:
            return {**own, "out_channels": ONE_A_FINDING}
        if plain and len(findings) == len(config["findings"]):
            return own
        name = settings.get("architecture") or _NAMES.get(own["_target_"])
        if name is None:
            raise SettingsError(f"Set architecture: '{own['_target_']}' has no name here.")
        own = {"_target_": _BUILDER, "name": name, "in_channels": own.get("in_channels", 1)}
    else:
        own["name"] = settings.get("architecture", own["name"])
    own["out_channels"] = ONE_A_FINDING
    own["image_size"] = settings.get("image_size", config["image_size"])
    names = {"network_options": "options"}
    for setting in NETWORK_SETTINGS[1:]:
        if setting in settings:
            own[names.get(setting, setting)] = settings[setting]
    if exclusive:
        own["exclusive"] = True
    return own
