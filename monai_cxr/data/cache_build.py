"""Cache build: films read in parallel, blocks kept as they finish, a killed build continued."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_cxr.data.cache import (
    BLOCKS_NAME,
    FILMS_NAME,
    BlockRecord,
    CacheSettings,
    FilmCache,
    source_state,
    unreadable_films,
)
from monai_cxr.dicom.pixels.grayscale import POLICIES
from monai_cxr.errors import InputError, SettingsError, UnreadableImage
from monai_cxr.preprocessing import prepare
from monai_cxr.reading.files import read_radiograph

Progress = Callable[[int, int], None]
"""Called with (films done, films in total)."""

ON_UNREADABLE = ("skip", "stop")


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
) -> CacheSummary:
    """Make a cache, or what is missing of it; one process builds, others wait and find it made.

    Args:
        cache: What to make, and where.
        workers: Processes; None for one a core, 0 or 1 for none beside this one.
        on_unreadable: ``"skip"`` notes a film that cannot be read and goes on; ``"stop"`` raises.
        progress: Told as films are done.

    Returns:
        What was found and done. When it returns, every block is there and its checksum holds.

    Raises:
        UnreadableImage: If no film can be read, or one cannot and ``on_unreadable`` is
            ``"stop"``; finished blocks are kept.
        SettingsError: If the disk is full; finished blocks are kept.
    """
    if on_unreadable not in ON_UNREADABLE:
        raise SettingsError(f"Expected on_unreadable skip or stop, but got '{on_unreadable}'.")
    with _locked(cache.folder):
        recorded = cache.records()
        records = cache.sound_blocks(recorded)
        todo = [number for number in range(cache.n_blocks) if number not in records]
        n_kept = sum(len(cache.block_rows(number)) for number in records)
        _refuse_unreadable(cache, records, on_unreadable)
        if todo:
            _write(cache.folder / FILMS_NAME, 0, cache.header())
            cache.write_settings()
            done = n_kept
            if progress is not None:
                progress(done, len(cache.sop_uids))
            for record in _made(cache, todo, workers):
                records[record.number] = record
                _note(cache, record)
                done += len(record.sources)
                if progress is not None:
                    progress(done, len(cache.sop_uids))
                _refuse_unreadable(cache, {record.number: record}, on_unreadable)
    unreadable = tuple(unreadable_films(cache, records))
    if len(unreadable) == len(cache.sop_uids):
        raise UnreadableImage(
            f"None of the {len(unreadable)} films can be read; the first is '{unreadable[0][0]}' "
            f"({unreadable[0][1]}). Check that the index's paths are of this machine.",
            reason=unreadable[0][1],
        )
    return CacheSummary(
        folder=cache.folder.name,
        n_films=len(cache.sop_uids),
        n_made=len(cache.sop_uids) - n_kept,
        n_kept=n_kept,
        n_rebuilt_blocks=sum(number in recorded for number in todo),
        n_bytes=cache.n_bytes,
        unreadable=unreadable,
    )


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


def _made(cache: FilmCache, todo: Sequence[int], workers: int | None) -> Iterator[BlockRecord]:
    """Records of blocks as they finish."""
    n_workers = min(_n_cores() if workers is None else workers, len(todo))
    if n_workers <= 1:
        for number in todo:
            yield _make_block(_job(cache, number))
        return
    # Not "fork": the caller may hold threads (torch) that do not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, initializer=_end_with_parent) as pool:
        waiting: list[Future[BlockRecord]] = [
            pool.submit(_make_block, _job(cache, number)) for number in todo
        ]
        try:
            for finished in as_completed(waiting):
                yield finished.result()
        except BrokenProcessPool as error:
            raise SettingsError(
                "A worker process was ended from outside, most likely for want of memory. Repeat "
                "the command with fewer --workers; finished films are kept."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _end_with_parent() -> None:
    """A worker whose parent is killed ends too, instead of waiting for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@dataclass(frozen=True, slots=True)
class _Job:
    number: int
    paths: tuple[str, ...]
    settings: CacheSettings
    target: Path
    offset: int


def _job(cache: FilmCache, number: int) -> _Job:
    rows = cache.block_rows(number)
    paths = cache.paths[rows.start : rows.stop]
    return _Job(number, paths, cache.settings, cache.folder / FILMS_NAME, cache.offset(rows.start))


def _make_block(job: _Job) -> BlockRecord:
    size = job.settings.size
    films = np.zeros((len(job.paths), size, size), dtype=np.uint8)
    sources: list[tuple[int, int]] = []
    unreadable: dict[int, str] = {}
    for at, path in enumerate(job.paths):
        sources.append(source_state(path))
        try:
            film = read_radiograph(path, policy=POLICIES[job.settings.policy])
        except InputError as error:
            unreadable[at] = error.reason
        else:
            pixels = prepare(film, size, resize=job.settings.resize)
            films[at] = np.rint(pixels * 255)
    data = films.tobytes()
    _write(job.target, job.offset, data)
    return BlockRecord(job.number, hashlib.sha256(data).hexdigest(), tuple(sources), unreadable)


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        if not folder.is_dir():
            raise _no_space(folder, error) from error
        yield  # a shared cache that may only be read needs no lock, and can only be complete
        return
    try:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
