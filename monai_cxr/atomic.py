"""Atomic: files that are there whole or not at all, and locks that end with their process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from monai_cxr.errors import SettingsError

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of files and folders that hold patients, whatever the caller's umask is."""

_TEMPORARY = re.compile(r"\..+-[a-z0-9_]{8}(\.[^.]+)?")
"""Names that tempfile gives in :func:`write_atomically`."""


def private_folder(path: Path, *, file_mode: int = PRIVATE_FILE) -> None:
    """Make a folder, and missing ones above it, that only its owner can read.

    Args:
        path: The folder.
        file_mode: Mode of the files in it; whoever may read them may enter it.

    Raises:
        OSError: If it cannot be made.
    """
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            if file_mode != PRIVATE_FILE:
                folder.chmod(PRIVATE_FOLDER | file_mode & 0o070 | (file_mode & 0o040) >> 2)


def open_private(path: Path, *, file_mode: int = PRIVATE_FILE) -> BinaryIO:
    """Make or empty a file that only its owner can read, and open it for writing.

    Args:
        path: The file.
        file_mode: Another mode, whatever the caller's umask is.
    """
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, PRIVATE_FILE)
    if file_mode != PRIVATE_FILE:
        os.fchmod(handle, file_mode)
    return os.fdopen(handle, "wb")


def sync_folder(folder: Path) -> None:
    """Let the names of the files in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(data: bytes, part: Path, target: Path, *, file_mode: int = PRIVATE_FILE) -> None:
    """Write a private file that survives a power cut, and is never seen half.

    Args:
        data: Its content.
        part: Where it is until it is whole, on the same disk; its folder exists.
        target: Where it is then; missing folders are made.
        file_mode: As for :func:`open_private`.

    Raises:
        OSError: If that fails; ``part`` is gone then.
    """
    try:
        with open_private(part, file_mode=file_mode) as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        private_folder(target.parent, file_mode=file_mode)
        part.replace(target)
        sync_folder(target.parent)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, write: Callable[[Path], object], *, private: bool = False) -> None:
    """Let ``write`` fill a temporary file beside ``path``, sync it, then put it in place.

    Args:
        path: The file to make or replace.
        write: Receives the temporary path.
        private: Whether the file is for its owner alone (0600), because it holds patients.

    Raises:
        SettingsError: If the folder cannot be written or the disk is full; ``path`` is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(PRIVATE_FILE if private else 0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"Could not write '{path.name}' ({error.strerror or type(error).__name__}). "
            "Free some space or choose another folder; nothing was changed."
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of :func:`write_atomically` whose process was killed.

    Args:
        folder: Its files and those of the folders in it. Nobody else may be writing there.
    """
    for path in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def held(
    path: Path, *, wait_seconds: float = 0.0, shared_in_process: bool = False
) -> Iterator[bool]:
    """Hold a lock file while the block runs; the kernel ends the lock with the process.

    Args:
        path: The lock file; it is made, and stays.
        wait_seconds: How long to wait for another process; -1 for as long as it takes.
        shared_in_process: Whether this process may hold it several times; it is free when the
            last of them lets go.

    Yields:
        Whether the lock is ours; False when another process has it.

    Raises:
        OSError: If the file cannot be made.
    """
    from filelock import FileLock, Timeout  # heavy: most processes lock nothing

    lock = FileLock(path, timeout=wait_seconds, thread_local=False, is_singleton=shared_in_process)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file, whole or not at all.

    Args:
        path: The file to make or replace.
        text: Written as UTF-8.
        private: As for :func:`write_atomically`.

    Raises:
        SettingsError: As :func:`write_atomically`.
    """
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"), private=private)


def write_json(path: Path, value: object, *, indent: int = 2) -> None:
    """Write a JSON file, whole or not at all.

    Args:
        path: The file to make or replace.
        value: Without NaN: what is not known is null.
        indent: Spaces a level.

    Raises:
        SettingsError: As :func:`write_atomically`.
        ValueError: If a number is not finite; nothing is written.
    """
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")
