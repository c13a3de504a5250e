"""Engine rates: what engines do here with a model, remembered for this machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from monai_cxr.atomic import write_text
from monai_cxr.bundle.engines.runtime import available_cores
from monai_cxr.bundle.exports import Parity
from monai_cxr.errors import SettingsError

CACHE_VARIABLE = "MONAI_CXR_CACHE"
"""Environment variable that names another folder for what is remembered."""

_VERSIONED = ("openvino", "onnxruntime", "torch")


def cache_file() -> Path:
    """Where the rates are kept: ``engine_rates.json`` in the user's cache folder."""
    own = os.environ.get(CACHE_VARIABLE)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return (Path(own) if own else Path(home) / "monai_cxr") / "engine_rates.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on this machine of one model.

    Attributes:
        rates: Films a second by runtime.
        changes: How far a runtime that is not fp32 is from fp32, by runtime.
    """

    rates: dict[str, float]
    changes: dict[str, Parity] = field(default_factory=dict)


def read_measured(digest: str) -> Measured:
    """What was measured here of a model; nothing where packages changed since."""
    try:
        entry = json.loads(cache_file().read_text(encoding="utf-8"))[_key(digest)]
        rates = {str(name): float(rate) for name, rate in entry["rates"].items()}
        changes = {str(name): Parity(**change) for name, change in entry["changes"].items()}
        return Measured(rates, changes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Measured({})  # a cache that cannot be read is no cache


def remember(digest: str, found: Measured) -> None:
    """Add what was measured to what is known, for the next process.

    Where nothing can be written, nothing is kept.
    """
    path = cache_file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    if not isinstance(content, dict):
        content = {}
    known = read_measured(digest)
    rates = known.rates | {name: round(rate, 2) for name, rate in found.rates.items()}
    changes = {name: asdict(one) for name, one in (known.changes | found.changes).items()}
    content[_key(digest)] = {"rates": rates, "changes": changes}
    text = json.dumps(content, indent=2) + "\n"
    try:
        write_text(path, text)
    except SettingsError:
        return


def processor() -> str:
    """The processor's own name, if the system states it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of the engines that are installed."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpuinfo(*names: str) -> str:
    """The first line of ``/proc/cpuinfo`` of one of these names; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in fields if name.strip() in names), "")


def _key(digest: str) -> str:
    # A virtual machine's processor may be called "AMD EPYC" whatever it can do.
    can = _cpuinfo("flags", "Features")
    cores = str(available_cores())
    facts = [digest, processor(), can, cores, json.dumps(versions(), sort_keys=True)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()
