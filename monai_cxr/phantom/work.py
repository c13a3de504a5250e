"""Work: render many films over processes, in order, whatever their number."""

from __future__ import annotations

import csv
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from monai_cxr.errors import SettingsError
from monai_cxr.phantom.patients import n_films
from monai_cxr.phantom.settings import PhantomSettings

Job = TypeVar("Job")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (films done, films in total)."""


Row = tuple[str | int | float, ...]
"""A line of an archive's tables."""


@dataclass(frozen=True, slots=True)
class FilmJob:
    """One film to render and write.

    Attributes:
        directory: Where it goes.
        settings: Settings of the archive.
        patient: Number of the patient.
        follow_up: Number of the visit.
    """

    directory: Path
    settings: PhantomSettings
    patient: int
    follow_up: int


def film_jobs(directory: Path, settings: PhantomSettings) -> list[FilmJob]:
    """Every film of an archive, patients in order."""
    return [
        FilmJob(directory, settings, patient, follow_up)
        for patient in range(settings.n_patients)
        for follow_up in range(n_films(settings, patient))
    ]


def write_rows(path: Path, header: str, rows: Iterable[Row]) -> None:
    """Write a CSV table under a header line that is kept as it is."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(header + "\n")
        csv.writer(file, lineterminator="\n").writerows(rows)


def run_all(
    do: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    workers: int | None,
    progress: Progress | None,
) -> list[Result]:
    """Do jobs in parallel and return their results in the jobs' order.

    Args:
        do: A function that other processes can import.
        jobs: Its arguments.
        workers: Number of processes; None for one per core, 1 for none beside this one.
        progress: Told after every job, or None.

    Returns:
        One result a job.

    Raises:
        SettingsError: If ``workers`` is less than 1.
    """
    if workers is not None and workers < 1:
        raise SettingsError(
            f"Expected workers of at least 1, but got {workers}. Leave it out for one a core."
        )
    n_workers = min(workers or os.cpu_count() or 1, max(len(jobs), 1))
    if n_workers == 1:
        return _collect(map(do, jobs), len(jobs), progress)
    # Not "fork": the caller may hold threads (torch, a server) that do not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, mp_context=context) as pool:
        return _collect(pool.map(do, jobs, chunksize=8), len(jobs), progress)


def _collect(results: Iterable[Result], total: int, progress: Progress | None) -> list[Result]:
    collected: list[Result] = []
    for result in results:
        collected.append(result)
        if progress is not None:
            progress(len(collected), total)
    return collected
