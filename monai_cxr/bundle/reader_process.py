"""Reader process: a child that reads films; a file that kills its reader kills nothing else.

:mod:`monai_cxr.bundle.reader_child` says how it is asked and how it answers.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Lock, Timer
from typing import IO

import numpy as np

from monai_cxr.bundle import reader_child, reader_template
from monai_cxr.bundle.film_input import InputSpec, PreparedFilm, RefusedFilm
from monai_cxr.bundle.reader_child import LENGTH, spawn, written_specs
from monai_cxr.bundle.reader_template import ForkedReader

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
        self._child: _Child | None = None
        self._closed = False
        self._lock = Lock()  # closing comes from another thread

    def read(self, path: Path) -> PreparedFilm | RefusedFilm:
        """Read one film; a child that dies over it is replaced, and the film tried once more."""
        for _ in range(2):
            child = self._running()
            if child is None:
                break
            late = False

            def stop(child: _Child = child) -> None:
                nonlocal late
                late = True
                child.kill()

            timer = Timer(self._timeout_s, stop)
            timer.daemon = True
            timer.start()
            try:
                return self._ask(child, path)
            except (OSError, EOFError, ValueError):
                self._drop()
            finally:
                timer.cancel()
            if late:
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
