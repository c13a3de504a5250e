"""Folders: the files below a folder, links followed, each once; and how a path is written down."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from monai_cxr.errors import InvalidTable


def files_below(root: Path, *, excluded: Collection[Path] = ()) -> Iterator[Path]:
    """The files of a folder and its subfolders, in an order that does not change.

    Links are followed: cohorts are folders of links to patients. A folder that is reached twice, as
    by a link to one above it, is searched once. Names that begin with a dot are left out: they are
    what copying programs write to.

    Args:
        root: The folder.
        excluded: Absolute paths of subfolders that are left out.

    Yields:
        Files; also broken links and folders that cannot be searched, so that reading them says why.
    """
    searched: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            if folder != root:
                yield folder
            continue
        if (status.st_dev, status.st_ino) in searched:
            continue
        searched.add((status.st_dev, status.st_ino))
        subfolders = []
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith(".") or path in excluded:
                continue
            if entry.is_dir():
                subfolders.append(path)
            elif entry.is_file() or entry.is_symlink():
                yield path
        waiting += reversed(subfolders)


def require_folder(directory: Path, what: str) -> None:
    """Refuse what is no folder, or not there.

    Args:
        directory: The folder.
        what: What was expected, for the message.

    Raises:
        InvalidTable: ``"missing_file"``.
    """
    if not directory.is_dir():
        raise InvalidTable(
            f"Expected {what}, but '{directory.name}' is not a folder.", reason="missing_file"
        )


def path_text(path: Path | str) -> str:
    r"""A path as text that any file can hold: bytes that are not UTF-8 become ``\xff`` and so on.

    File names are bytes (POSIX); Python carries what it cannot decode as lone surrogates, which
    neither UTF-8 nor Arrow take.

    Example:
        >>> path_text("film\udcff.dcm")
        'film\\xff.dcm'
    """
    text = str(path)
    return text if text.isprintable() or _is_unicode(text) else _escaped(text)


def is_path_text(path: Path | str) -> bool:
    """Whether a path is stored unchanged."""
    return path_text(path) == str(path)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _escaped(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")
