"""Reader watch: ends a child that reads for too long or holds too much memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Protocol

from monai_cxr.reading.reader_limits import MEMORY, TIMEOUT, ReaderLimits

_LOOK_S = 0.05
"""How often the memory of a child at work is looked at."""


class Child(Protocol):
    """A process that can be ended."""

    pid: int

    def kill(self) -> None:
        """End it."""


class ReaderWatch:
    """Watches one child while it reads: a thread that sleeps while nothing is read.

    Args:
        limits: What one film may cost.
    """

    def __init__(self, limits: ReaderLimits) -> None:
        self._limits = limits
        self._child: Child | None = None
        self._until = 0.0
        self._verdict = ""
        self._thread: Thread | None = None
        self._sleeps = False
        self._closed = False
        self._changed = Condition()

    def begin(self, child: Child) -> None:
        """A child begins to read."""
        with self._changed:
            self._child, self._verdict = child, ""
            self._until = monotonic() + self._limits.timeout_s
            if self._thread is None:
                self._thread = Thread(target=self._work, name="reader-watch", daemon=True)
                self._thread.start()
            elif self._sleeps:
                self._changed.notify()

    def end(self) -> str:
        """The child has read, or has ended.

        Returns:
            Why it was ended, :data:`TIMEOUT` or :data:`MEMORY`; ``""`` if it was not.
        """
        with self._changed:
            self._child = None
            return self._verdict

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _work(self) -> None:
        with self._changed:
            while not self._closed:
                self._sleeps = self._child is None
                left = self._until - monotonic()
                self._changed.wait(None if self._sleeps else max(min(left, _LOOK_S), 0.001))
                if self._child is not None:
                    self._verdict = self._judged(self._child)
                    if self._verdict:
                        self._child.kill()
                        self._child = None

    def _judged(self, child: Child) -> str:
        if monotonic() >= self._until:
            return TIMEOUT
        return MEMORY if resident_bytes(child.pid) > self._limits.memory_bytes else ""


def resident_bytes(pid: int) -> int:
    """Memory that a process holds, in bytes; 0 where the system does not say, and of one gone."""
    return _statm(pid, 1)


def address_space_bytes(pid: int) -> int:
    """Address space of a process in bytes; 0 where the system does not say."""
    return _statm(pid, 0)


def _statm(pid: int, field: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[field]
    except (OSError, IndexError):
        return 0
    return int(pages) * mmap.PAGESIZE
