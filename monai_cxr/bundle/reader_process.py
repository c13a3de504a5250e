"""Reader process: a child that reads films; a file that kills its reader kills nothing else.

The child is asked over its standard input, one JSON path a line, and answers on its standard
output: the length of a JSON header (four bytes, little-endian), the header, then the network inputs
as raw float32. Nothing is unpickled, so a decoder that was taken over cannot reach the parent.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Any

import numpy as np

from monai_cxr.bundle.film_input import InputSpec, PreparedFilm, RefusedFilm, read_film_input

_LENGTH = struct.Struct("<I")
_MAX_HEADER = 1 << 20


class ReaderProcess:
    """The parent's end of one child; used by one thread at a time.

    Args:
        specs: What the networks take.
        timeout_s: A file that takes longer is refused and the child replaced.
    """

    def __init__(self, specs: Sequence[InputSpec], timeout_s: float = 120.0) -> None:
        self._specs = tuple(specs)
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = Lock()  # closing comes from another thread

    def read(self, path: Path) -> PreparedFilm | RefusedFilm:
        """Read one film; a child that dies over it is replaced, and the film tried once more."""
        for _ in range(2):
            child = self._running()
            if child is None:
                break
            late = False

            def stop(child: subprocess.Popen[bytes] = child) -> None:
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

    def _running(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._child is None and not self._closed:
                self._child = self._start()
            return self._child

    def _start(self) -> subprocess.Popen[bytes]:
        specs = [":".join(map(str, astuple(spec))) for spec in self._specs]
        loud = bool(os.environ.get("MONAI_CXR_DEBUG"))  # a decoder's warnings may name a patient
        return subprocess.Popen(
            [sys.executable, "-m", "monai_cxr.bundle.reader_process", *specs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if loud else subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "OMP_NUM_THREADS": "1",
            },
        )

    def _ask(self, child: subprocess.Popen[bytes], path: Path) -> PreparedFilm | RefusedFilm:
        to_child, from_child = child.stdin, child.stdout
        if to_child is None or from_child is None:
            raise EOFError
        to_child.write(json.dumps(os.fspath(path)).encode() + b"\n")
        to_child.flush()
        (length,) = _LENGTH.unpack(_exactly(from_child, _LENGTH.size))
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


def _answer(film: PreparedFilm | RefusedFilm) -> list[bytes]:
    if isinstance(film, RefusedFilm):
        content: dict[str, Any] = {"reason": film.reason, "message": film.message}
        arrays = []
    else:
        content = {"facts": film.facts, "quality": film.quality}
        arrays = [np.ascontiguousarray(one, dtype="<f4").tobytes() for one in film.inputs]
    header = json.dumps(content).encode()
    return [_LENGTH.pack(len(header)), header, *arrays]


def serve(specs: Sequence[InputSpec]) -> None:
    """The child's loop: until its standard input ends, as it does when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints is no answer
    for line in sys.stdin.buffer:
        film = read_film_input(Path(json.loads(line)), specs)
        answers.writelines(_answer(film))
        answers.flush()


def _parse_spec(text: str) -> InputSpec:
    size, *rest = text.split(":")
    return InputSpec(int(size), *rest)  # type: ignore[arg-type]


if __name__ == "__main__":
    serve([_parse_spec(text) for text in sys.argv[1:]])
