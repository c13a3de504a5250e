"""Config: a bundle's JSON configs, the classes they may name, and settings written into them."""

from __future__ import annotations

import difflib
import inspect
import json
import pydoc
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from monai_cxr.atomic import write_text
from monai_cxr.bundle.description import DESCRIBED, described
from monai_cxr.errors import InvalidBundle, SettingsError

ALLOWED_PREFIXES = (
    *("monai_cxr.bundle.", "monai_cxr.data.", "monai_cxr.networks.", "monai_cxr.training."),
    *("monai.", "ignite.", "torch.nn.", "torch.optim.", "torch.utils.data.", "torchvision.models."),
)
"""Modules that ``_target_`` may name; a name without a dot is one of MONAI's own classes."""

NETWORK_PREFIXES = ("monai_cxr.networks.", "monai.networks.", "torch.nn.", "torchvision.models.")
"""Modules that may define a network; it is built by serving too, so the list is short."""

ONE_A_FINDING = "$len(@findings)"
"""The number of a network's outputs as the configs have it: said once, by the findings."""

CONFIG_NAMES = ("metadata", "train", "evaluate", "inference", "multi_gpu_train")
_SEARCHED = ("bundles", "_bundles")


def find_bundle(name: Path | str) -> Path:
    """The folder of a bundle, by path or by the name of one that ships with this package.

    Raises:
        InvalidBundle: If there is no such bundle.
    """
    candidates = [Path(name), *(place / name for place in _places())]
    for candidate in candidates:
        if (candidate / "configs" / "metadata.json").is_file():
            return candidate.resolve()
    raise InvalidBundle(
        f"'{Path(name).name}' is not a bundle: expected a folder with configs/metadata.json, or "
        "the name of a bundle that ships with monai_cxr, such as chest_xray_classification."
    )


def ships_with_package(bundle: Path) -> bool:
    """Whether a bundle is one of this package's own, which change with its version."""
    return bundle.resolve().parent in _places()


def _places() -> tuple[Path, Path]:
    package = Path(__file__).resolve().parents[1]
    return package.parent / _SEARCHED[0], package / _SEARCHED[1]


def read_config(bundle: Path, name: str) -> dict[str, Any]:
    """One JSON config of a bundle.

    Raises:
        InvalidBundle: If it is absent or not a JSON object.
    """
    path = bundle / "configs" / f"{name}.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidBundle(f"The bundle '{bundle.name}' lacks configs/{name}.json.") from None
    except ValueError as error:
        raise InvalidBundle(
            f"configs/{name}.json of bundle '{bundle.name}' is not JSON: {error}."
        ) from None
    if not isinstance(config, dict):
        raise InvalidBundle(f"configs/{name}.json of bundle '{bundle.name}' is not a JSON object.")
    return config


def write_config(bundle: Path, name: str, config: Mapping[str, Any]) -> None:
    """Write one JSON config of a bundle, whole or not at all."""
    text = json.dumps(config, indent=4, ensure_ascii=False) + "\n"
    path = bundle / "configs" / f"{name}.json"
    write_text(path, text)


def targets(node: object) -> Iterator[str]:
    """Every ``_target_`` below a config node."""
    if isinstance(node, dict):
        target = node.get("_target_")
        if isinstance(target, str):
            yield target
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def check_targets(
    config: Mapping[str, Any], where: str, *, allowed: tuple[str, ...] = ALLOWED_PREFIXES
) -> None:
    """Refuse a config that names a class outside the allowed modules, or one that does not exist.

    Args:
        config: A parsed config.
        where: Its file name, for the message.
        allowed: Prefixes of the modules that may define what ``_target_`` names.

    Raises:
        InvalidBundle: Naming the class.
    """
    for target in sorted(set(targets(config))):
        path = target if "." in target else _monai_path(target)
        if not path:
            raise InvalidBundle(
                f"{where} names the class '{target}', which MONAI does not have. Check its "
                "spelling, or give its full dotted path."
            )
        if not path.startswith(allowed):
            raise _outside(where, target, allowed)
        found = _located(path)
        if not (inspect.isclass(found) or inspect.isroutine(found)):
            raise InvalidBundle(
                f"{where} names the class '{target}', which does not exist. Check its spelling and "
                "the installed versions."
            )
        # What an allowed module merely imports, such as 'os' or 'subprocess', is not allowed.
        if not f"{found.__module__}.".startswith(allowed):
            raise _outside(where, target, allowed)


def _outside(where: str, target: str, allowed: tuple[str, ...]) -> InvalidBundle:
    return InvalidBundle(
        f"{where} names the class '{target}', which is outside the allowed modules "
        f"({', '.join(prefix.rstrip('.') for prefix in allowed)})."
    )


def _located(path: str) -> Any:
    try:
        return pydoc.locate(path)
    except pydoc.ErrorDuringImport:
        return None


@cache
def _locator() -> Any:
    from monai.bundle import ComponentLocator  # heavy: only where a bundle is really used

    return ComponentLocator()


def _monai_path(name: str) -> str:
    modules = _locator().get_component_module_name(name)
    module = modules[0] if isinstance(modules, list) else modules
    return f"{module}.{name}" if module else ""


def copy_bundle(source: Path, target: Path, settings: Mapping[str, Any]) -> None:
    """Copy a bundle's configs and papers, with settings written into them.

    A setting whose first id stands in several configs changes each of them, so that training and
    inference never disagree; ``image_size`` and ``findings`` also change the metadata.

    Args:
        source: The bundle.
        target: Folder to fill; configs there are replaced.
        settings: Value by id, for example ``{"image_size": 96, "train::trainer::max_epochs": 3}``.

    Raises:
        SettingsError: If an id stands in no config, or the target is the bundle itself.
        InvalidBundle: If a config names a forbidden or unknown class; nothing is written then.
    """
    if source.resolve() == target.resolve():
        raise SettingsError(f"'{target.name}' is the bundle itself. Choose another --out.")
    configs = _configured(source, settings)  # whatever is wrong is said before a file is written
    shutil.copytree(source / "configs", target / "configs", dirs_exist_ok=True)
    for name in ("docs", "LICENSE"):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        elif (source / name).is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    for name, config in configs.items():
        write_config(target, name, config)


def write_settings(bundle: Path, settings: Mapping[str, Any]) -> None:
    """Write settings into a bundle's own configs; see :func:`copy_bundle`."""
    if settings:
        configs = _configured(bundle, settings)
        for name, config in configs.items():
            write_config(bundle, name, config)


def check_settings(source: Path, settings: Mapping[str, Any]) -> None:
    """Refuse what :func:`copy_bundle` would refuse of a bundle and settings, and write nothing."""
    _configured(source, settings)


def _configured(source: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A bundle's configs by name, with the settings in them and their classes checked."""
    names = [name for name in CONFIG_NAMES if (source / "configs" / f"{name}.json").is_file()]
    configs = {name: read_config(source, name) for name in names}
    train = configs.get("train", {})
    for key, value in settings.items():
        changed = [
            _set(config, key, value) for name, config in configs.items() if name != "metadata"
        ]
        if not any(changed):
            raise SettingsError(_unknown_setting(key, configs))
        _follow(configs["metadata"]["network_data_format"], key, value)
    if any(read_config(source, "train").get(key) != train.get(key) for key in DESCRIBED):
        configs["metadata"] = described(configs["metadata"], train)
    for name, config in configs.items():
        check_targets(config, f"configs/{name}.json")
    return configs


def _unknown_setting(key: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    first = key.replace("#", "::").partition("::")[0]
    ids = {
        name.lstrip("+")
        for config_name, config in configs.items()
        for name in config
        if config_name != "metadata" and not name.startswith("_")
    }
    near = difflib.get_close_matches(first, sorted(ids), n=3)
    remedy = f"Did you mean {' or '.join(near)}?" if near else "See configs/train.json."
    return f"No config of this bundle has the setting '{key}'. {remedy}"


def _follow(formats: dict[str, Any], key: str, value: Any) -> None:
    """Let the metadata say what a setting makes of input and output."""
    if key == "image_size":
        formats["inputs"]["image"]["spatial_shape"] = [value, value]
    if key == "resize":
        formats["inputs"]["image"]["resize"] = value
    if key == "findings":
        pred = formats["outputs"]["pred"]
        pred["num_channels"] = len(value)
        pred["channel_def"] = {str(i): name for i, name in enumerate(value)}


def _set(config: dict[str, Any], key: str, value: Any) -> bool:
    *parents, last = key.replace("#", "::").split("::")
    node: Any = config
    for part in [*parents, last]:
        holder = node
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        elif part == last and isinstance(node, dict) and "_target_" in node:
            node = None  # a further argument of a class
        else:
            return False
    holder[int(last) if isinstance(holder, list) else last] = value
    return True


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse ``key=value``; the value is JSON if it parses as such, and text otherwise.

    Raises:
        SettingsError: If there is no ``=``.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SettingsError(f"Expected key=value, but got '{text}'.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
