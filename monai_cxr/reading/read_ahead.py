"""Read ahead: films in order, read by several readers, never more in flight than the bound."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

from monai_cxr.reading.film_input import InputSpec, PreparedFilm, RefusedFilm, read_film_input
from monai_cxr.reading.film_readers import FilmReaders
from monai_cxr.reading.in_order import in_order
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, ReaderLimits
from monai_cxr.reading.readings import NetworkInputs

Film = PreparedFilm | RefusedFilm


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
