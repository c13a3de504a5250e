"""Cache build: films read in parallel, blocks kept as they finish, a killed build continued."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr.atomic import held
from monai_cxr.data.cache import (
    BLOCKS_NAME,
    FILMS_NAME,
    BlockRecord,
    CacheSettings,
    FilmCache,
    source_state,
    unreadable_films,
)
from monai_cxr.errors import InputError, SettingsError, UnreadableImage
from monai_cxr.reading.film_input import RefusedFilm
from monai_cxr.reading.film_readers import FilmReaders
from monai_cxr.reading.in_order import in_order
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, ReaderLimits
from monai_cxr.reading.readings import SmallPicture

Progress = Callable[[int, int], None]
"""Called with (films done, films in total)."""

ON_UNREADABLE = ("skip", "stop")

_AHEAD = 4
"""Films in flight a reader."""


@dataclass(frozen=True, slots=True)
class CacheSummary:
    """What a build found and did.

    Attributes:
        folder: Name of the cache.
        n_films: Films in the index.
        n_made: Films read in this build.
        n_kept: Films that an earlier build had made.
        n_rebuilt_blocks: Blocks made again because their bytes or their sources had changed.
        n_bytes: Bytes of all films.
        unreadable: (SOP Instance UID, reason code) of what could not be read.
    """

    folder: str
    n_films: int
    n_made: int
    n_kept: int
    n_rebuilt_blocks: int
    n_bytes: int
    unreadable: tuple[tuple[str, str], ...]


def build_cache(
    cache: FilmCache,
    *,
    workers: int | None = None,
    on_unreadable: str = "skip",
    progress: Progress | None = None,
    limits: ReaderLimits = DEFAULT_LIMITS,
) -> CacheSummary:
    """Make a cache, or what is missing of it; one process builds, and others wait for it.

    Args:
        cache: What to make, and where.
        workers: Processes that read films; None for one per core. 0 reads in this process, which a
            fault in a decoder then ends.
        on_unreadable: ``"skip"`` notes a film that cannot be read and goes on; ``"stop"`` raises.
        progress: Told as films are done.
        limits: What one film may cost a reader process.

    Returns:
        What was found and done. When it returns, every block is there and its checksum holds.

    Raises:
        UnreadableImage: If no film can be read, or one cannot and ``on_unreadable`` is
            ``"stop"``; finished blocks are kept.
        SettingsError: If the disk is full; finished blocks are kept.
    """
    if on_unreadable not in ON_UNREADABLE:
        raise SettingsError(f"Expected on_unreadable skip or stop, but got '{on_unreadable}'.")
    tell = progress or (lambda _done, _total: None)
    with _locked(cache.folder):
        recorded = cache.records()
        records = cache.sound_blocks(recorded)
        todo = [number for number in range(cache.n_blocks) if number not in records]
        done = n_kept = sum(len(cache.block_rows(number)) for number in records)
        _refuse_unreadable(cache, records, on_unreadable)
        if todo:
            _write(cache.folder / FILMS_NAME, 0, cache.header())
            cache.write_settings()
            tell(done, len(cache.sop_uids))
            for record in _made(cache, todo, workers, limits):
                records[record.number] = record
                _note(cache, record)
                done += len(record.sources)
                tell(done, len(cache.sop_uids))
                _refuse_unreadable(cache, {record.number: record}, on_unreadable)
    unreadable = tuple(unreadable_films(cache, records))
    if len(unreadable) == len(cache.sop_uids):
        name, reason = unreadable[0]
        raise UnreadableImage(
            f"None of the {len(unreadable)} films can be read; the first is '{name}' ({reason}). "
            "Check that the paths in the index exist on this machine.",
            reason=reason,
        )
    n_films, n_rebuilt = len(cache.sop_uids), sum(number in recorded for number in todo)
    made = (n_films, n_films - n_kept, n_kept, n_rebuilt, cache.n_bytes)
    return CacheSummary(cache.folder.name, *made, unreadable)


def _refuse_unreadable(
    cache: FilmCache, records: Mapping[int, BlockRecord], on_unreadable: str
) -> None:
    found = unreadable_films(cache, records)
    if found and on_unreadable == "stop":
        name, reason = found[0]
        raise UnreadableImage(
            f"The film '{name}' cannot be read ({reason}). Fetch it again, take it out of the "
            "index, or go on without such films: --on-unreadable skip (of train: --set "
            "on_unreadable=skip). Finished films are kept.",
            reason=reason,
        )


def _made(
    cache: FilmCache, todo: Sequence[int], workers: int | None, limits: ReaderLimits
) -> Iterator[BlockRecord]:
    """Records of blocks as they finish, in order."""
    paths = [cache.paths[row] for number in todo for row in cache.block_rows(number)]
    n_readers = max(1, min(_n_cores() if workers is None else workers, len(paths)))
    readers = FilmReaders(n_readers, limits)
    films = in_order(
        partial(_read, cache.settings, None if workers == 0 else readers),
        paths,
        workers=n_readers,
        ahead=1 if workers == 0 else _AHEAD * n_readers,
        name="cache-reader",
        stop=readers.close,
    )
    with contextlib.closing(films):
        for number in todo:
            yield _block(cache, number, list(islice(films, len(cache.block_rows(number)))))


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


_ReadFilm = tuple[tuple[int, int], NDArray[np.uint8] | RefusedFilm]


def _read(settings: CacheSettings, readers: FilmReaders | None, path: str) -> _ReadFilm:
    """The state of a file before it is read, and its picture or why there is none."""
    state = source_state(path)
    reading = SmallPicture(settings.size, settings.resize, settings.policy)
    if readers is not None:
        return state, readers.read(reading, Path(path))
    try:
        return state, reading.read(Path(path))
    except InputError as error:
        return state, RefusedFilm.of(error)


def _block(cache: FilmCache, number: int, read: Sequence[_ReadFilm]) -> BlockRecord:
    size = cache.settings.size
    films = np.zeros((len(read), size, size), dtype=np.uint8)
    unreadable: dict[int, str] = {}
    for at, (_, film) in enumerate(read):
        if isinstance(film, RefusedFilm):
            unreadable[at] = film.reason
        else:
            films[at] = film
    data = films.tobytes()
    _write(cache.folder / FILMS_NAME, cache.offset(cache.block_rows(number).start), data)
    sources = tuple(state for state, _ in read)
    return BlockRecord(number, hashlib.sha256(data).hexdigest(), sources, unreadable)


def _write(path: Path, offset: int, data: bytes) -> None:
    """Write at a place of a file; other places stay as they are."""
    try:
        # Without buffering, so that a full disk is told here and not when the file is closed.
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as stream:
            stream.seek(offset)
            rest = memoryview(data)
            while rest:
                rest = rest[stream.write(rest) :]
    except OSError as error:
        raise _no_space(path, error) from error


def _note(cache: FilmCache, record: BlockRecord) -> None:
    path = cache.folder / BLOCKS_NAME
    try:
        with path.open("ab", buffering=0) as stream:
            # A line torn by a kill or a full disk ends here, so that it never joins the next.
            stream.write(b"\n" + record.line().encode())
    except OSError as error:
        raise _no_space(path, error) from error


def _no_space(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"Could not write '{path.name}' of the cache ({error.strerror or type(error).__name__}). "
        "Free some space or choose another folder; finished films are kept, and the same command "
        "goes on from there."
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Be the only process that builds here; the system frees the lock of a killed one."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(folder / ".lock", wait_seconds=-1))
        except OSError as error:
            # A shared cache that may only be read needs no lock, and can only be complete.
            if not folder.is_dir():
                raise _no_space(folder, error) from error
        yield
