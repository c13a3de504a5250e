"""Engine rates: films a second by engine, remembered for this machine and this model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from monai_cxr.bundle.runtime import available_cores
from monai_cxr.errors import SettingsError
from monai_cxr.tables import write_atomically

CACHE_VARIABLE = "MONAI_CXR_CACHE"
"""Environment variable that names another folder for what is remembered."""

_VERSIONED = ("openvino", "onnxruntime", "torch")


def cache_file() -> Path:
    """Where the rates are kept: ``engine_rates.json`` in the user's cache folder."""
    own = os.environ.get(CACHE_VARIABLE)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return (Path(own) if own else Path(home) / "monai_cxr") / "engine_rates.json"


def read_rates(digest: str) -> dict[str, float]:
    """What was measured here for a model; empty where nothing was, or packages changed since."""
    try:
        entry = json.loads(cache_file().read_text(encoding="utf-8"))[_key(digest)]
        return {str(name): float(rate) for name, rate in entry.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # a cache that cannot be read is no cache


def remember_rates(digest: str, rates: Mapping[str, float]) -> None:
    """Keep rates for the next process; where nothing can be written, nothing is kept."""
    path = cache_file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    if not isinstance(content, dict):
        content = {}
    content[_key(digest)] = {name: round(rate, 2) for name, rate in rates.items()}
    text = json.dumps(content, indent=2) + "\n"
    try:
        write_atomically(path, lambda target: target.write_text(text, encoding="utf-8"))
    except SettingsError:
        return


def processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of the engines that are installed."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _key(digest: str) -> str:
    facts = [digest, processor(), str(available_cores()), json.dumps(versions(), sort_keys=True)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()
