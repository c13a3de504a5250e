"""Spool: received files on disk, durable before anybody is told that they are here."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from monai_cxr.atomic import private_folder, sync_folder, write_durably
from monai_cxr.errors import CXRError, SettingsError
from monai_cxr.screening.ledger.owners import is_running

GIB = 2**30

MAY_PASS = frozenset({"missing_file", "unreadable"})
"""Reasons that may be the disk's or the network's fault: tried again before they are believed."""


class SpoolFull(CXRError):
    """The disk is below its low-water mark: nothing is accepted until there is room."""


class Spool:
    """A folder of received files, named by the SHA-256 of their content.

    A file is written beside, synced, renamed, and its folder synced: after :meth:`store` it
    survives a power cut. Storing the same bytes twice keeps one file.

    Args:
        root: The folder.
        reserve_bytes: Low-water mark; with less free space nothing is stored.
    """

    def __init__(self, root: Path, *, reserve_bytes: int = 5 * GIB) -> None:
        self.root = root
        self.reserve_bytes = reserve_bytes
        self._parts = root / "parts"
        self._films = root / "films"
        try:
            private_folder(self._parts)
            private_folder(self._films)
        except OSError as error:
            raise SettingsError(
                f"The spool folder cannot be made ({error.strerror}). Choose another one."
            ) from None

    def free_bytes(self) -> int:
        """Free space of the spool's disk."""
        return shutil.disk_usage(self.root).free

    def is_low(self) -> bool:
        """Whether the disk is below the low-water mark."""
        return self.free_bytes() < self.reserve_bytes

    def store(self, data: bytes) -> Path:
        """Store a file durably.

        Raises:
            SpoolFull: If the disk is full or below the low-water mark; nothing is kept.
        """
        free = self.free_bytes()
        if free < self.reserve_bytes + len(data):
            raise SpoolFull(
                f"{free / GIB:.1f} GiB are free on the spool's disk, less than the "
                f"{self.reserve_bytes / GIB:g} GiB that must stay free (low-water mark), so the "
                "film was not accepted. Free some space; it will be sent or fetched again."
            )
        name = hashlib.sha256(data).hexdigest()
        target = self._films / name[:2] / f"{name}.dcm"
        if target.is_file():
            return target
        part = self._parts / f"{name}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            write_durably(data, part, target)
            sync_folder(self._films)
        except OSError as error:
            raise SpoolFull(
                f"The film could not be stored ({error.strerror or type(error).__name__}). "
                "Free some space; it will be sent or fetched again."
            ) from None
        return target

    def files(self) -> Iterator[Path]:
        """The stored files, folder by folder: there may be millions."""
        for folder in sorted(self._films.iterdir()):
            yield from sorted(path for path in folder.glob("*.dcm") if path.is_file())

    def sweep_parts(self) -> int:
        """Delete the half-written files of processes that died; gives their number."""
        parts = [part for part in self._parts.iterdir() if not _is_being_written(part)]
        for part in parts:
            part.unlink(missing_ok=True)
        return len(parts)

    def discard(self, path: Path) -> None:
        """Delete a stored file; a path outside the spool is left alone."""
        if path.is_relative_to(self._films):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # other files share the folder
                path.parent.rmdir()


def _is_being_written(part: Path) -> bool:
    """Whether the process that a part is named after still runs on this host."""
    owner = part.name.split(".")[1:2]
    return bool(owner) and is_running(owner[0])
