"""Registry: the versions of a model in a folder, which of them is in use, and how that came about.

``versions/DIGEST`` holds a packaged bundle; ``registry.json`` holds the events, each with the
digest of the one before. Aliases are a function of the events, so a promotion or a rollback is one
atomic replacement of one file. ``champion`` is a link for programs that open a folder; it is put
right whenever the registry is opened to be changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from monai_cxr.atomic import held, write_json
from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.digests import DIGESTS_NAME, check_digests, file_digest, model_digest
from monai_cxr.bundle.model import require_findings
from monai_cxr.errors import InvalidBundle, SettingsError

REGISTRY_NAME = "registry.json"
CHAMPION, CHALLENGER, RETIRED = "champion", "challenger", "retired"
ACTIONS = ("add", "attempt", "shadow", "promote", "rollback")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a registry.

    Attributes:
        action: One of :data:`ACTIONS`.
        version: Model digest that it is about; empty for an attempt that gave none.
        by: Who did it.
        at: ISO 8601, UTC.
        reason: In words.
        evidence: SHA-256 that it rests on: of a bundle's ``digests.json`` (add), an attempt's
            record (attempt, promote), or the summary of a shadow.
        before: SHA-256 of the event before; empty for the first.
    """

    action: str
    version: str
    by: str
    at: str
    reason: str = ""
    evidence: str = ""
    before: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry as it stands.

    Attributes:
        folder: Where it is.
        events: In order.
    """

    folder: Path
    events: tuple[Event, ...] = ()

    @property
    def champions(self) -> tuple[str, ...]:
        """Versions in use, one above the other: the last one is; a rollback takes it away."""
        stack: list[str] = []
        for event in self.events:
            if event.action == "promote":
                stack.append(event.version)
            elif event.action == "rollback":
                stack.pop()
        return tuple(stack)

    @property
    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Versions by alias: at most one champion and one challenger, and those that were used."""
        champion = self.champions[-1:]
        used = dict.fromkeys(e.version for e in self.events if e.action == "promote")
        waiting = [e.version for e in self.events if e.action == "add" and e.version not in used]
        retired = tuple(version for version in used if version not in champion)
        return {CHAMPION: champion, CHALLENGER: tuple(waiting[-1:]), RETIRED: retired}

    @property
    def versions(self) -> tuple[str, ...]:
        """Digests of all versions, in the order in which they came."""
        return tuple(dict.fromkeys(e.version for e in self.events if e.action == "add"))

    def path_of(self, version: str) -> Path:
        """Folder of a version's bundle."""
        return self.folder / "versions" / version


def open_registry(folder: Path) -> Registry:
    """Read a registry; one that does not exist is empty.

    Raises:
        SettingsError: Naming the event that was changed.
    """
    path = folder / REGISTRY_NAME
    if not path.exists():
        return Registry(folder)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        events = tuple(Event(**entry) for entry in content["events"])
        head = str(content["head"])
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"The {REGISTRY_NAME} of '{folder.name}' is damaged. Restore it from a backup."
        ) from None
    before = ""
    for number, event in enumerate(events, start=1):
        if event.before != before:
            raise _changed(folder, max(number - 1, 1))
        if event.action not in ACTIONS:
            raise _changed(folder, number)
        before = event.digest
    if before != head:
        raise _changed(folder, len(events))
    return Registry(folder, events)


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[Registry]:
    """Open a registry to change it; one process at a time. The champion's link is put right.

    Raises:
        SettingsError: If another process changes it, or it was tampered with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".lock", wait_seconds=30) as ours:
        if not ours:
            raise SettingsError(f"Another process is changing the registry '{folder.name}'.")
        registry = open_registry(folder)
        _link_champion(registry)
        yield registry


def record(registry: Registry, event: Event) -> Registry:
    """Append an event: one file is replaced, whole or not at all, then the link follows.

    Args:
        registry: As :func:`changing` gave it, within its block.
        event: Without ``at`` and ``before``, which are filled in here.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    before = registry.events[-1].digest if registry.events else ""
    made = replace(event, at=now, before=before)
    changed = Registry(registry.folder, (*registry.events, made))
    write_json(
        registry.folder / REGISTRY_NAME,
        {
            "format": "monai_cxr registry",
            "format_version": "1.0",
            "head": made.digest,
            "events": [asdict(entry) for entry in changed.events],
        },
    )
    _link_champion(changed)
    return changed


def add_version(
    registry: Registry, bundle: Path, *, by: str, reason: str = ""
) -> tuple[Registry, str]:
    """Copy a packaged bundle into the registry; one that is there already changes nothing.

    Returns:
        The registry, and the version's digest.

    Raises:
        InvalidBundle: If the bundle is not as it was packaged, or has no finding.
    """
    version = model_digest(check_digests(bundle))
    require_findings(bundle.name, read_config(bundle, "inference").get("findings", ()))
    if version in registry.versions:
        check_version(registry, version)
        return registry, version
    target = registry.path_of(version)
    partial = target.with_name(f".{version}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(bundle, partial)
        check_digests(partial)
        shutil.rmtree(target, ignore_errors=True)  # left by a process that was killed
        partial.replace(target)
    except (OSError, shutil.Error):
        shutil.rmtree(partial, ignore_errors=True)
        raise SettingsError(
            "The bundle could not be copied into the registry. Free some space; nothing was "
            "changed."
        ) from None
    evidence = file_digest(target / DIGESTS_NAME)
    event = Event("add", version, by, "", reason, evidence)
    return record(registry, event), version


def check_version(registry: Registry, version: str) -> Path:
    """The bundle of a version, as it was added.

    Raises:
        InvalidBundle: Naming the version and what is wrong with it.
    """
    folder = registry.path_of(version)
    added = next(e for e in registry.events if e.action == "add" and e.version == version)
    if not folder.is_dir():
        raise InvalidBundle(f"The registry lacks its version {version[:12]}. Restore it.")
    record_file = folder / DIGESTS_NAME
    if not record_file.is_file() or file_digest(record_file) != added.evidence:
        raise InvalidBundle(
            f"Version {version[:12]} of the registry has another {DIGESTS_NAME} than the one that "
            "was added. Restore it."
        )
    if model_digest(check_digests(folder)) != version:
        raise InvalidBundle(f"Version {version[:12]} of the registry holds another model.")
    return folder


def resolve(registry: Registry, name: str) -> tuple[str, Path]:
    """A digest, and the folder, of an alias or of the first digits of a digest.

    Raises:
        SettingsError: If nothing, or more than one version, has that name.
        InvalidBundle: If the version was changed since it was added.
    """
    named: Sequence[str] = registry.aliases.get(name, ())
    if name == RETIRED or not named:
        named = [v for v in registry.versions if len(name) >= 6 and v.startswith(name)]
    if len(named) != 1:
        known = ", ".join(version[:12] for version in registry.versions) or "none"
        raise SettingsError(
            f"The registry '{registry.folder.name}' has {len(named)} versions named '{name}'. "
            f"Expected champion, challenger, or six or more digits of one of: {known}."
        )
    return named[0], check_version(registry, named[0])


def champion_since(registry: Registry) -> float:
    """When the champion came, or came back, into use: seconds since 1970; 0 without one."""
    changed = [e.at for e in registry.events if e.action in ("promote", "rollback")]
    return datetime.fromisoformat(changed[-1]).timestamp() if changed else 0.0


def _link_champion(registry: Registry) -> None:
    """Let the link lead to the champion; a rename replaces it, so it always leads somewhere."""
    champion = registry.aliases[CHAMPION]
    link = registry.folder / CHAMPION
    if not champion:
        return
    target = Path("versions") / champion[0]
    if link.is_symlink() and link.readlink() == target:
        return
    partial = registry.folder / f".{CHAMPION}.partial"
    partial.unlink(missing_ok=True)
    partial.symlink_to(target, target_is_directory=True)
    partial.replace(link)


def _changed(folder: Path, number: int) -> SettingsError:
    return SettingsError(
        f"Event {number} of the registry '{folder.name}' was changed after it was written. Restore "
        f"{REGISTRY_NAME} from a backup."
    )
