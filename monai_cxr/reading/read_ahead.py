"""Read ahead: films in order, read by several readers, never more in flight than the bound."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from threading import Lock, local

from monai_cxr.reading.film_input import InputSpec, PreparedFilm, RefusedFilm, read_film_input
from monai_cxr.reading.in_order import in_order
from monai_cxr.reading.reader_process import ReaderProcess

Film = PreparedFilm | RefusedFilm
Read = Callable[[Path], Film]


def read_ahead(
    paths: Iterable[Path],
    specs: Sequence[InputSpec],
    *,
    workers: int,
    ahead: int,
    processes: bool = True,
    timeout_s: float = 120.0,
) -> Generator[Film, None, None]:
    """Read films in parallel; give them in the order of their paths.

    Args:
        paths: Taken only as fast as films are asked for.
        specs: What the networks take.
        workers: How many readers.
        ahead: Films in flight at most: waiting, being read, or read and not yet taken.
        processes: Read in child processes, which a damaged file or a fault in a decoder may kill;
            False for threads of this process.
        timeout_s: A file that takes a child longer is refused.

    Returns:
        One film or refusal a path. Closing the iterator ends the readers.
    """
    readers = _Processes(specs, timeout_s) if processes else None
    read: Read = readers.read if readers else lambda path: read_film_input(path, specs)
    return in_order(
        read,
        paths,
        workers=workers,
        ahead=ahead,
        name="film-reader",
        stop=readers.close if readers else None,
    )


class _Processes:
    """One child process for each reading thread."""

    def __init__(self, specs: Sequence[InputSpec], timeout_s: float) -> None:
        self._specs = specs
        self._timeout_s = timeout_s
        self._own = local()
        self._all: list[ReaderProcess] = []
        self._lock = Lock()

    def read(self, path: Path) -> Film:
        if not hasattr(self._own, "reader"):
            self._own.reader = ReaderProcess(self._specs, self._timeout_s)
            with self._lock:
                self._all.append(self._own.reader)
        film: Film = self._own.reader.read(path)
        return film

    def close(self) -> None:
        with self._lock:
            for reader in self._all:
                reader.close()
