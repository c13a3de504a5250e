"""Cache: preprocessed films as one uint8 array on disk, mapped into memory instead of decoded.

A folder holds caches by name, ``<size>-<resize>-<policy>-<key>``. The key is a digest of the films
(SOP Instance UID and path of each) and of everything that shapes their pixels, so that a changed
setting or index never meets an older cache. Labels and splits are not part of it: correcting them
costs nothing. In each cache are

``films.npy``
    uint8, shape (films, size, size), in the order of the SOP Instance UIDs; a plain NumPy file.
``blocks.jsonl``
    A line a finished block of films: its SHA-256, size and time of each source, what could not be
    read. A block whose line is absent, whose bytes differ or whose source changed is made again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.atomic import write_json
from monai_cxr.dicom.pixels.grayscale import POLICIES
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.preprocessing import RESIZE_POLICIES, ResizePolicy
from monai_cxr.tables import require_columns

BLOCK = 64
"""Films a block: what a killed build loses at most, a worker."""

FILMS_NAME, BLOCKS_NAME, SETTINGS_NAME = "films.npy", "blocks.jsonl", "cache.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Everything that shapes the pixels of a cached film.

    Attributes:
        size: Side in pixels.
        resize: See :data:`monai_cxr.preprocessing.RESIZE_POLICIES`.
        policy: Grayscale policy for DICOM, one of
            :data:`monai_cxr.dicom.pixels.grayscale.POLICIES`.
    """

    size: int
    resize: ResizePolicy = "stretch"
    policy: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what no film could be made with."""
        if self.size < 1:
            raise SettingsError(f"Expected a size of at least 1, but got {self.size}.")
        given = {"resize": self.resize, "policy": self.policy}
        for name, known in (("resize", RESIZE_POLICIES), ("policy", tuple(POLICIES))):
            if given[name] not in known:
                raise SettingsError(
                    f"Expected {name} as one of {', '.join(known)}, but got '{given[name]}'."
                )


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A finished block.

    Attributes:
        number: Which block.
        sha256: SHA-256 of its bytes.
        sources: (bytes, time of change in ns) of each source file; (-1, -1) where it was absent.
        unreadable: Reason code by position in the block.
    """

    number: int
    sha256: str
    sources: tuple[tuple[int, int], ...]
    unreadable: Mapping[int, str]

    def line(self) -> str:
        """As one line of the journal."""
        return json.dumps(
            {
                "block": self.number,
                "sha256": self.sha256,
                "sources": self.sources,
                "unreadable": self.unreadable,
            }
        )


class FilmCache:
    """The place of one cache and what belongs into it; nothing is read before it is needed.

    Args:
        directory: Folder of caches.
        films: Table with ``sop_uid`` and ``path``, one row per film.
        settings: Size and policies.

    Raises:
        InvalidTable: If there is no film, or one twice.
    """

    def __init__(self, directory: Path, films: pd.DataFrame, settings: CacheSettings) -> None:
        require_columns(films, ("sop_uid", "path"), what="index")
        ordered = films[["sop_uid", "path"]].sort_values("sop_uid", ignore_index=True)
        if ordered.empty or ordered["sop_uid"].duplicated().any():
            raise InvalidTable(
                f"Expected one or more films, each once, but got {len(ordered)} rows with "
                f"{ordered['sop_uid'].nunique()} different sop_uid.",
                reason="no_images" if ordered.empty else "duplicated_images",
            )
        self.settings = settings
        self.sop_uids: tuple[str, ...] = tuple(ordered["sop_uid"])
        self.paths: tuple[str, ...] = tuple(ordered["path"])
        name = f"{settings.size}-{settings.resize}-{settings.policy}-{self._key()[:16]}"
        self.folder = directory / name

    def _key(self) -> str:
        what = {"format": _FORMAT, "version": package_version(), **asdict(self.settings)}
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
        for film in zip(self.sop_uids, self.paths, strict=True):
            digest.update("\0".join(film).encode() + b"\n")
        return digest.hexdigest()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(films, size, size)."""
        return len(self.sop_uids), self.settings.size, self.settings.size

    @property
    def n_bytes(self) -> int:
        """Bytes of all films."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def n_blocks(self) -> int:
        """How many blocks the films fill."""
        return -(-len(self.sop_uids) // BLOCK)

    def block_rows(self, number: int) -> range:
        """Rows of a block."""
        return range(number * BLOCK, min((number + 1) * BLOCK, len(self.sop_uids)))

    def array(self, mode: Literal["r", "c"] = "r") -> NDArray[np.uint8]:
        """The films, mapped into memory.

        Args:
            mode: ``"r"`` to read; ``"c"`` for a private copy on write, as torch wants it.

        Raises:
            InvalidTable: If the cache was not finished.
        """
        try:
            films: NDArray[np.uint8] = np.load(self.folder / FILMS_NAME, mmap_mode=mode)
        except (OSError, ValueError):
            films = np.empty(0, dtype=np.uint8)
        if films.shape != self.shape or films.dtype != np.uint8:
            raise InvalidTable(
                f"The cache '{self.folder.name}' is not finished. Finish it with: monai-cxr cache.",
                reason="unfinished_cache",
            )
        return films

    def records(self) -> dict[int, BlockRecord]:
        """Finished blocks by number, from the journal; an incomplete last line is ignored."""
        try:
            lines = (self.folder / BLOCKS_NAME).read_bytes().splitlines()
        except FileNotFoundError:
            return {}
        found: dict[int, BlockRecord] = {}
        for line in lines:
            try:
                entry = json.loads(line)
                record = BlockRecord(
                    int(entry["block"]),
                    str(entry["sha256"]),
                    tuple((int(size), int(time)) for size, time in entry["sources"]),
                    {int(at): str(reason) for at, reason in entry["unreadable"].items()},
                )
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            found[record.number] = record
        return found

    def sound_blocks(self, records: Mapping[int, BlockRecord]) -> dict[int, BlockRecord]:
        """Those blocks whose bytes are as recorded and whose sources have not changed since.

        A source that is no longer there does not count as changed: a cache may outlive its films.
        """
        if not (self.folder / FILMS_NAME).is_file():
            return {}

        def sound(record: BlockRecord) -> bool:
            rows = self.block_rows(record.number)
            if not rows or len(record.sources) != len(rows):
                return False
            if hashlib.sha256(self._stored(record.number)).hexdigest() != record.sha256:
                return False
            now = (source_state(self.paths[row]) for row in rows)
            return all(a in (b, ABSENT) for a, b in zip(now, record.sources, strict=True))

        with ThreadPoolExecutor(4) as pool:  # hashing and stat wait outside the interpreter lock
            kept = list(pool.map(sound, records.values()))
        return {r.number: r for r, good in zip(records.values(), kept, strict=True) if good}

    def _stored(self, number: int) -> bytes:
        rows = self.block_rows(number)
        with (self.folder / FILMS_NAME).open("rb") as stream:
            stream.seek(self.offset(rows.start))
            return stream.read(len(rows) * self.settings.size**2)

    def offset(self, row: int) -> int:
        """Where a film begins in ``films.npy``, in bytes."""
        return len(self.header()) + row * self.settings.size**2

    def header(self) -> bytes:
        """The header of ``films.npy``."""
        stream = io.BytesIO()
        what = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(stream, what)
        return stream.getvalue()

    def write_settings(self) -> None:
        """Write into the folder what it contains, for people."""
        content: dict[str, Any] = {
            "monai_cxr": package_version(),
            **asdict(self.settings),
            "n_films": len(self.sop_uids),
            "films": FILMS_NAME,
            "dtype": "uint8, 255 = 1.0, bright = dense",
        }
        target = self.folder / SETTINGS_NAME
        if not target.is_file():
            write_json(target, content)


def package_version() -> str:
    """Version of monai_cxr, because another one may read films otherwise."""
    try:
        return importlib.metadata.version("monai-cxr")
    except importlib.metadata.PackageNotFoundError:  # a source tree on the path, not installed
        return ""


ABSENT = (-1, -1)
"""State of a source file that is not there."""


def source_state(path: str) -> tuple[int, int]:
    """(bytes, time of change in ns) of a file, or :data:`ABSENT`."""
    try:
        state = Path(path).stat()
    except (OSError, ValueError):
        return ABSENT
    return state.st_size, state.st_mtime_ns


def unreadable_films(
    cache: FilmCache, records: Mapping[int, BlockRecord]
) -> Sequence[tuple[str, str]]:
    """(SOP Instance UID, reason code) of the films that could not be read, in order."""
    return [
        (cache.sop_uids[cache.block_rows(number)[at]], reason)
        for number, record in sorted(records.items())
        for at, reason in sorted(record.unreadable.items())
    ]
