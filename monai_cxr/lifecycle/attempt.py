"""Attempt: the folder of one try to change a model, step by step, with the digest of everything.

``attempt.json`` names what the attempt rests on and the SHA-256 of each file that a step made. A
step that is written down is not done again, so an attempt that was killed goes on where it was; a
file that was changed since is named and ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cxr.atomic import remove_leftovers, write_json
from monai_cxr.bundle.digests import file_digest
from monai_cxr.errors import SettingsError

ATTEMPT_NAME, PLAN_NAME = "attempt.json", "plan.toml"
_FORMAT = "monai_cxr attempt"


@dataclass(frozen=True, slots=True)
class Basis:
    """What an attempt rests on; another basis is another attempt.

    Attributes:
        plan: SHA-256 of the sealed plan.
        champion: Model digest of the champion.
        data: SHA-256 of each index and overlay, by its role.
    """

    plan: str
    champion: str
    data: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """A JSON value."""
        return {"plan": self.plan, "champion": self.champion, "data": dict(self.data)}


class Attempt:
    """The record of an attempt; every change of it is written at once, whole or not at all."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder, self.content = folder, content

    @property
    def outcome(self) -> str:
        """Of the gate; empty while the attempt goes on."""
        return str(self.content["outcome"])

    @property
    def digest(self) -> str:
        """SHA-256 of the record."""
        return file_digest(self.folder / ATTEMPT_NAME)

    def step(self, name: str, outputs: Sequence[str], work: Callable[[], None]) -> None:
        """Do a step once.

        Args:
            name: Name of the step.
            outputs: Files that it makes, relative to the folder.
            work: Makes them.

        Raises:
            SettingsError: Naming an output that was changed since the step was done.
        """
        if name in self.content["steps"]:
            self._check(self.content["steps"][name])
            return
        work()
        self.content["steps"][name] = {path: file_digest(self.folder / path) for path in outputs}
        self.write()

    def check_files(self) -> None:
        """Compare every file of every step with its digest.

        Raises:
            SettingsError: Naming the file that was changed.
        """
        for files in self.content["steps"].values():
            self._check(files)

    def note(self, **values: Any) -> None:
        """Add facts to the record."""
        self.content |= values
        self.write()

    def add_failure(self, message: str) -> None:
        """Keep what went wrong, unless the disk is full; the attempt can go on after it."""
        self.content["failures"].append(message)
        with contextlib.suppress(SettingsError):
            self.write()

    def add_tried(self, kind: str, version: str, outcome: str) -> None:
        """Keep the result of one kind of change; a kind is tried once."""
        if kind not in {entry["kind"] for entry in self.content["tried"]}:
            entry = {"kind": kind, "version": version, "outcome": outcome}
            self.content["tried"].append(entry)
            self.write()

    def write(self) -> None:
        """Write the record."""
        write_json(self.folder / ATTEMPT_NAME, self.content)

    def _check(self, files: Mapping[str, str]) -> None:
        for path, digest in files.items():
            file = self.folder / path
            if not file.is_file() or file_digest(file) != digest:
                raise SettingsError(
                    f"The file {path} of the attempt '{self.folder.name}' is missing or was "
                    f"changed (expected SHA-256 {digest[:12]}...). Start another attempt: --out."
                )


def read_attempt(folder: Path) -> Attempt:
    """Read an attempt.

    Raises:
        SettingsError: If the folder holds none.
    """
    try:
        content = json.loads((folder / ATTEMPT_NAME).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or not {"basis", "steps", "outcome"} <= set(content):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"'{folder.name}' holds no readable {ATTEMPT_NAME}. Expected a folder of monai-cxr "
            "retrain."
        ) from None
    return Attempt(folder, content)


def start_attempt(folder: Path, basis: Basis, registry: Path, facts: Mapping[str, Any]) -> Attempt:
    """Begin an attempt, or go on with one that rests on the same; the caller holds the lock.

    Args:
        folder: Folder of the attempt.
        basis: Plan, champion and data.
        registry: Its folder; the record names it relative to the attempt.
        facts: Code and environment.

    Raises:
        SettingsError: If the folder holds something else.
    """
    remove_leftovers(folder)
    if (folder / ATTEMPT_NAME).is_file():
        attempt = read_attempt(folder)
        before = attempt.content["basis"]
        now = basis.to_json()
        other = [key for key in now if before.get(key) != now[key]]
        if other:
            raise SettingsError(
                f"'{folder.name}' is an attempt on another {' and '.join(other)}. Choose another "
                "--out."
            )
        return attempt
    if folder.is_dir() and any(folder.iterdir()):
        raise SettingsError(f"'{folder.name}' is not empty and no attempt. Choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "format": _FORMAT,
        "format_version": "1.0",
        "registry": os.path.relpath(registry.resolve(), folder.resolve()),
        "basis": basis.to_json(),
        "environment": dict(facts),
        "steps": {},
        "tried": [],
        "failures": [],
        "challenger": "",
        "outcome": "",
    }
    attempt = Attempt(folder, content)
    attempt.write()
    return attempt
