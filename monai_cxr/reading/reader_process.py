"""Reader process: a child that reads films; a file that kills its reader kills nothing else.

:mod:`monai_cxr.reading.reader_child` says how it is asked and how it answers.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Condition, Lock, Thread
from time import monotonic
from typing import IO

import numpy as np

from monai_cxr.reading import reader_child, reader_template
from monai_cxr.reading.film_input import InputSpec, PreparedFilm, RefusedFilm
from monai_cxr.reading.reader_child import LENGTH, spawn, written_specs
from monai_cxr.reading.reader_template import ForkedReader

_MAX_HEADER = 1 << 20
_Child = subprocess.Popen[bytes] | ForkedReader


class ReaderProcess:
    """The parent's end of one child; used by one thread at a time.

    Args:
        specs: What the networks take.
        timeout_s: A file that takes longer is refused and the child replaced.
    """

    def __init__(self, specs: Sequence[InputSpec], timeout_s: float = 120.0) -> None:
        self._specs = tuple(specs)
        self._timeout_s = timeout_s
        self._watch = _Watch(timeout_s)
        self._child: _Child | None = None
        self._closed = False
        self._lock = Lock()  # closing comes from another thread

    def read(self, path: Path) -> PreparedFilm | RefusedFilm:
        """Read one film; a child that dies over it is replaced, and the film tried once more."""
        for _ in range(2):
            child = self._running()
            if child is None:
                break
            self._watch.begin(child)
            try:
                return self._ask(child, path)
            except (OSError, EOFError, ValueError):
                self._drop()
            finally:
                was_late = self._watch.end()
            if was_late:
                return RefusedFilm(
                    "reader_timeout",
                    f"Reading the file took longer than {self._timeout_s:g} s. Check the file.",
                )
        return RefusedFilm(
            "reader_crashed", "Reading the file ended the reader process twice. Check the file."
        )

    def close(self) -> None:
        """End the child; a read under way ends too."""
        self._closed = True
        self._watch.close()
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                _close_quietly(pipe)

    def _running(self) -> _Child | None:
        with self._lock:
            if self._child is None and not self._closed:
                self._child = self._start()
            return self._child

    def _start(self) -> _Child:
        if reader_template.IS_AVAILABLE:
            return reader_template.fork_reader(self._specs)
        pipe = subprocess.PIPE
        words = written_specs(self._specs)
        return spawn(reader_child.__name__, *words, stdin=pipe, stdout=pipe)

    def _ask(self, child: _Child, path: Path) -> PreparedFilm | RefusedFilm:
        to_child, from_child = child.stdin, child.stdout
        if to_child is None or from_child is None:
            raise EOFError
        to_child.write(json.dumps(os.fspath(path)).encode() + b"\n")
        to_child.flush()
        (length,) = LENGTH.unpack(_exactly(from_child, LENGTH.size))
        if length > _MAX_HEADER:
            raise ValueError("The reader's answer is damaged.")
        header = json.loads(_exactly(from_child, length))
        if "reason" in header:
            return RefusedFilm(str(header["reason"]), str(header["message"]))
        inputs = tuple(
            np.frombuffer(_exactly(from_child, 4 * spec.size**2), dtype="<f4").reshape(
                1, spec.size, spec.size
            )
            for spec in self._specs
        )
        return PreparedFilm(inputs, header["facts"], header["quality"])


class _Watch:
    """Kills a child that reads for too long.

    It is one thread that sleeps up to the limit; a timer a film would be a thread a film.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._child: _Child | None = None
        self._until = 0.0
        self._was_late = False
        self._thread: Thread | None = None
        self._closed = False
        self._changed = Condition()

    def begin(self, child: _Child) -> None:
        """A child begins to read."""
        with self._changed:
            self._child, self._was_late = child, False
            self._until = monotonic() + self._limit_s
            if self._thread is None:
                self._thread = Thread(target=self._work, name="reader-watch", daemon=True)
                self._thread.start()

    def end(self) -> bool:
        """It has read; whether it was killed."""
        with self._changed:
            self._child = None
            return self._was_late

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _work(self) -> None:
        with self._changed:
            while not self._closed:
                # A read that begins later ends later: nobody need wake it.
                left = self._until - monotonic() if self._child else self._limit_s
                if left > 0:
                    self._changed.wait(left)
                elif self._child is not None:
                    self._was_late = True
                    self._child.kill()
                    self._child = None


def _exactly(stream: IO[bytes], n_bytes: int) -> bytes:
    data = stream.read(n_bytes)
    if len(data) != n_bytes:
        raise EOFError
    return data


def _close_quietly(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            return  # what could not be flushed was for a child that is gone
