"""Film readers: the reader processes that the threads of a process share, and films read ahead."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore, Lock

from monai_cxr.errors import InputError
from monai_cxr.reading.film_input import InputSpec, PreparedFilm, RefusedFilm, read_film_input
from monai_cxr.reading.in_order import in_order
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, ReaderLimits
from monai_cxr.reading.reader_process import ReaderProcess
from monai_cxr.reading.readings import Answer, NetworkInputs, PixelDigest, Reading

Film = PreparedFilm | RefusedFilm

_SHARED = 2


class FilmReaders:
    """Reader processes, started as they are needed; a context manager.

    Args:
        n: How many at most; who asks for more waits.
        limits: What one film may cost.
    """

    def __init__(self, n: int, limits: ReaderLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._room = BoundedSemaphore(n)
        self._all: list[ReaderProcess] = []
        self._idle: list[ReaderProcess] = []
        self._lock = Lock()
        self._closed = False

    def read(self, reading: Reading[Answer], source: Path | bytes) -> Answer | RefusedFilm:
        """Read one film in another process, where a fault affects only this film.

        Args:
            reading: What is asked for.
            source: Path of a file, or its bytes.

        Returns:
            The answer; or why there is none, with the reason code of an
            :class:`monai_cxr.errors.InputError` or of :mod:`monai_cxr.reading.reader_limits`.
        """
        with self._room, self._borrowed() as reader:
            return reader.read(reading, source)

    def close(self) -> None:
        """End the processes, and the reads that are under way."""
        with self._lock:
            self._closed = True
            for reader in self._all:
                reader.close()

    @contextmanager
    def _borrowed(self) -> Iterator[ReaderProcess]:
        with self._lock:
            if self._idle:
                reader = self._idle.pop()
            else:
                reader = ReaderProcess(self._limits)
                self._all.append(reader)
                if self._closed:
                    reader.close()
        try:
            yield reader
        finally:
            with self._lock:
                self._idle.append(reader)

    def __enter__(self) -> FilmReaders:
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self.close()


def read_ahead(
    paths: Iterable[Path],
    specs: Sequence[InputSpec],
    *,
    workers: int,
    ahead: int,
    processes: bool = True,
    limits: ReaderLimits = DEFAULT_LIMITS,
) -> Generator[Film, None, None]:
    """Read films in parallel; give them in the order of their paths.

    Args:
        paths: Taken only as fast as films are asked for.
        specs: What the networks take.
        workers: How many readers.
        ahead: Films in flight at most: waiting, being read, or read and not yet taken.
        processes: Read in child processes, which a damaged file or a fault in a decoder may kill;
            False for threads of this process.
        limits: What one film may cost a child process.

    Returns:
        One film or refusal a path. Closing the iterator ends the readers.
    """
    reading = NetworkInputs(tuple(specs))
    readers = FilmReaders(workers, limits)

    def read(path: Path) -> Film:
        return readers.read(reading, path) if processes else read_film_input(path, specs)

    return in_order(
        read, paths, workers=workers, ahead=ahead, name="film-reader", stop=readers.close
    )


_shared: FilmReaders | None = None
_shared_lock = Lock()


def shared_readers() -> FilmReaders:
    """The readers of a process that reads a film now and then, such as a viewer."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = FilmReaders(_SHARED)
        return _shared


def bound_shared_readers(limits: ReaderLimits) -> None:
    """Bound what one film may cost one of the :func:`shared_readers`."""
    global _shared
    with _shared_lock:
        former, _shared = _shared, FilmReaders(_SHARED, limits)
    if former is not None:
        former.close()


def read_apart(reading: Reading[Answer], source: Path | bytes) -> Answer:
    """Read one film in one of the :func:`shared_readers`.

    Raises:
        InputError: If it cannot be read, or costs its reader.
    """
    answer = shared_readers().read(reading, source)
    if isinstance(answer, RefusedFilm):
        raise answer.error()
    return answer


def same_pixels(first: Path, second: Path) -> bool:
    """Whether two DICOM files hold the same pixel cells, in whatever transfer syntax."""
    try:
        return read_apart(PixelDigest(), first) == read_apart(PixelDigest(), second)
    except InputError:
        return False
