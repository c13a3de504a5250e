"""PNG check: is a file whole? By its first and last bytes, or by decoding it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from monai_cxr.errors import InputError, SettingsError, UnreadableImage
from monai_cxr.reading.files import read_radiograph

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def whole(path: Path) -> str:
    """Look at the ends of a PNG file, without decoding it.

    Returns:
        ``""``, or a reason: ``"empty_file"``, ``"not_a_png"``, ``"truncated"``, ``"unreadable"``.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(33)
            if not head:
                return "empty_file"
            if not head.startswith(_SIGNATURE) or head[12:16] != b"IHDR":
                return "truncated" if _SIGNATURE.startswith(head[:8]) else "not_a_png"
            # Some writers append a few bytes; the last chunk must stand near the end.
            stream.seek(-min(64, os.fstat(stream.fileno()).st_size), os.SEEK_END)
            return "" if _END in stream.read() else "truncated"
    except OSError:
        return "unreadable"


def decodable(path: Path) -> str:
    """Decode a picture.

    Returns:
        ``""``, or the reason code of :func:`monai_cxr.reading.files.read_radiograph`.
    """
    try:
        read_radiograph(path)
    except InputError as error:
        return error.reason
    return ""


def check_all(
    paths: Sequence[Path],
    *,
    pixels: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Check many files.

    Args:
        paths: The files.
        pixels: Decode each, instead of looking at its ends.
        progress: Told as files are done.

    Returns:
        A reason a file, empty where it is whole.
    """
    check = decodable if pixels else whole
    reasons: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for reason in pool.map(check, paths):
            reasons.append(reason)
            if progress is not None and (len(reasons) % 50 == 0 or len(reasons) == len(paths)):
                progress(len(reasons), len(paths))
    return reasons


def refuse_unreadable(
    unreadable: Sequence[tuple[str, str]], n_images: int, on_unreadable: str
) -> None:
    """Stop at images that cannot be read where that is asked for, or where none can be.

    Raises:
        UnreadableImage: Naming the first image.
        SettingsError: If ``on_unreadable`` is neither ``"skip"`` nor ``"stop"``.
    """
    if on_unreadable not in ("skip", "stop"):
        raise SettingsError(f"Expected on_unreadable skip or stop, but got '{on_unreadable}'.")
    if unreadable and (on_unreadable == "stop" or len(unreadable) == n_images):
        name, reason = unreadable[0]
        raise UnreadableImage(
            f"{len(unreadable)} of {n_images} images cannot be read; the first is '{name}' "
            f"({reason}). Fetch them again, or leave them out: --on-unreadable skip (of train: "
            "--set on_unreadable=skip).",
            reason=reason,
        )
