"""Work: render many films over processes, in order, whatever their number."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from monai_cxr.errors import SettingsError
from monai_cxr.phantom.patients import n_films
from monai_cxr.phantom.settings import PhantomSettings

Job = TypeVar("Job")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (films done, films in total)."""


def films_of(settings: PhantomSettings) -> list[tuple[int, int]]:
    """(patient, follow_up) of every film of an archive, patients in order."""
    return [
        (patient, follow_up)
        for patient in range(settings.n_patients)
        for follow_up in range(n_films(settings, patient))
    ]


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
        workers: Number of processes; None for one a core, 1 for none beside this one.
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
