"""Reader process: a child that reads films; a file that kills its reader kills nothing else.

:mod:`monai_cxr.reading.reader_child` says how it is asked and how it answers.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr.picture.bounds import MAX_PIXELS
from monai_cxr.reading import reader_child, reader_template
from monai_cxr.reading.crossing import unpacked
from monai_cxr.reading.film_input import RefusedFilm
from monai_cxr.reading.reader_child import LENGTH, spawn
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, MEMORY, TIMEOUT, TRIES, ReaderLimits
from monai_cxr.reading.reader_template import ForkedReader
from monai_cxr.reading.reader_watch import ReaderWatch
from monai_cxr.reading.readings import Answer, Reading, written_reading

_MAX_HEADER = 1 << 20
_MAX_ARRAYS = 2 * 4 * MAX_PIXELS
_DTYPES = frozenset({"<f4", "<u2", "|u1", "|b1"})
_FILMS_A_CHILD = 500
"""A child is replaced after so many films, so that what a decoder leaks is bounded."""

_Child = subprocess.Popen[bytes] | ForkedReader


class ReaderProcess:
    """The parent's end of one child; used by one thread at a time.

    Args:
        limits: What one film may cost; a child that goes beyond is replaced.
    """

    def __init__(self, limits: ReaderLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._watch = ReaderWatch(limits)
        self._child: _Child | None = None
        self._n_read = 0
        self._closed = False
        self._lock = Lock()  # closing comes from another thread

    def read(self, reading: Reading[Answer], source: Path | bytes) -> Answer | RefusedFilm:
        """Read one film; a child that dies over it is replaced, and the film tried once more.

        Args:
            reading: What is asked for.
            source: Path of a file, or its bytes.
        """
        for _ in range(TRIES):
            child = self._running()
            if child is None:
                break
            is_fresh = self._n_read == 0
            self._watch.begin(child)
            answer: Answer | RefusedFilm | None = None
            try:
                answer = self._ask(child, reading, source)
                self._n_read += 1
            except (OSError, EOFError, ValueError, LookupError, TypeError):
                self._drop()
            finally:
                verdict = self._watch.end()
            if answer is not None:
                if verdict or self._n_read >= _FILMS_A_CHILD:
                    self._drop()
                return answer
            if verdict == TIMEOUT:
                return self._limits.took_too_long()
            if verdict == MEMORY and is_fresh:  # else films before it may have left something
                return self._limits.took_too_much()
        return self._limits.crashed()

    def close(self) -> None:
        """End the child; a read under way ends too."""
        self._closed = True
        self._watch.close()
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            child, self._child, self._n_read = self._child, None, 0
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
        memory = self._limits.memory_bytes
        if reader_template.IS_AVAILABLE:
            return reader_template.fork_reader(memory)
        pipe = subprocess.PIPE
        return spawn(reader_child.__name__, str(memory), stdin=pipe, stdout=pipe)

    def _ask(
        self, child: _Child, reading: Reading[Answer], source: Path | bytes
    ) -> Answer | RefusedFilm:
        to_child, from_child = child.stdin, child.stdout
        if to_child is None or from_child is None:
            raise EOFError
        # The child may have been started in another folder than this process is in now.
        where: dict[str, str | int] = (
            {"path": os.fspath(source.absolute())}
            if isinstance(source, Path)
            else {"n_bytes": len(source)}
        )
        to_child.write(json.dumps({**written_reading(reading), **where}).encode() + b"\n")
        if isinstance(source, bytes):
            to_child.write(source)
        to_child.flush()
        (length,) = LENGTH.unpack(_exactly(from_child, LENGTH.size))
        if length > _MAX_HEADER:
            raise ValueError("The reader's answer is damaged.")
        header = json.loads(_exactly(from_child, length))
        if "reason" in header:
            if header["reason"] == MEMORY:
                return self._limits.took_too_much()
            return RefusedFilm(
                str(header["reason"]), str(header["message"]), bool(header["is_unsupported"])
            )
        answer: Answer = unpacked(header["content"], _arrays(from_child, header["arrays"]))
        if not reading.is_answer(answer):
            raise ValueError("The reader's answer is damaged.")
        return answer


def _arrays(stream: IO[bytes], described: list[Any]) -> list[NDArray[Any]]:
    """The arrays of an answer, of no other types and no more bytes than an answer can have."""
    sizes = []
    for kind, shape in described:
        if kind not in _DTYPES or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError("The reader's answer is damaged.")
        sizes.append(math.prod(shape) * np.dtype(kind).itemsize)
    if sum(sizes) > _MAX_ARRAYS:
        raise ValueError("The reader's answer is damaged.")
    return [
        np.frombuffer(_exactly(stream, size), dtype=kind).reshape(shape)
        for (kind, shape), size in zip(described, sizes, strict=True)
    ]


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
