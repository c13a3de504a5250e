"""Worker pool: processes that are started again when they die."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from monai_cxr.errors import BundleError
from monai_cxr.screening.archive.worker import ArchiveWork, work

_MOST_DEATHS = 10


class WorkerPool:
    """The worker processes of one driver.

    Args:
        task: What each is told; its owner is completed with a number.
        on_death: Called with the owner of a process that died, to return its leases.
    """

    def __init__(self, task: ArchiveWork, on_death: Callable[[str], object]) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[str, tuple[BaseProcess, Connection]] = {}
        self._task = replace(task, parent=os.getpid())
        self._on_death = on_death
        self._n_started = 0
        self._n_deaths = 0

    def start(self, n: int = 1) -> None:
        """Start processes."""
        for _ in range(n):
            self._n_started += 1
            task = replace(self._task, owner=f"{self._task.owner}:{os.getpid()}:{self._n_started}")
            mine, theirs = self._context.Pipe(duplex=False)
            process = self._context.Process(target=work, args=(task, theirs), name=task.owner)
            process.start()
            theirs.close()
            self._running[task.owner] = (process, mine)

    def watch(self) -> bool:
        """Start again what died; gives whether there is anything left to wait for.

        Raises:
            BundleError: If a worker said that the installation is wrong, or workers keep dying.
        """
        for owner, (process, errors) in list(self._running.items()):
            if process.is_alive():
                continue
            del self._running[owner]
            sentence = _sentence(errors)
            if sentence:
                raise BundleError(sentence)
            if process.exitcode == 0:
                continue
            self._on_death(owner)
            self._n_deaths += 1
            if self._n_deaths > _MOST_DEATHS:
                raise BundleError(
                    f"Worker processes died {self._n_deaths} times, the last with exit status "
                    f"{process.exitcode}. Is there enough memory? Try --workers 1 and a smaller "
                    "--batch-size, then repeat the command; what was finished is kept."
                )
            self.start()
        return bool(self._running)

    def end(self) -> None:
        """Drain what is running: each process finishes its batch."""
        for process, _ in self._running.values():
            process.terminate()
        for process, errors in self._running.values():
            process.join()
            errors.close()
        self._running.clear()


def _sentence(errors: Connection) -> str:
    try:
        return str(errors.recv()) if errors.poll() else ""
    except EOFError:
        return ""
    finally:
        errors.close()
