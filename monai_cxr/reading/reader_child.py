"""Reader child: the loop that reads the films it is asked for, in a process of its own.

It is asked one JSON path a line, and answers: the length of a JSON header (four bytes,
little-endian), the header, then the network inputs as raw float32. Nothing is unpickled, so a
decoder that was taken over cannot reach the parent.
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
from typing import IO, Any

import numpy as np

from monai_cxr.reading.film_input import InputSpec, PreparedFilm, RefusedFilm, read_film_input

LENGTH = struct.Struct("<I")

_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 28)}
"""For glibc, in bytes: blocks up to the first are kept, of free ones at most the second."""

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""For decoders, and for an allocator of Arrow that starts a thread when it is loaded."""


def spawn(module: str, *arguments: str, **settings: Any) -> subprocess.Popen[bytes]:
    """Start a Python process that reads films, or that readers are forked from.

    Its decoders take one thread, and keep the memory of one film for the next: handing it back to
    the system and asking for it again costs up to 16 ms a film.

    Args:
        module: What it runs.
        *arguments: Of its command line.
        **settings: Its standard input and output, for :class:`subprocess.Popen`.
    """
    loud = bool(os.environ.get("MONAI_CXR_DEBUG"))  # a decoder's warnings may name a patient
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stderr=None if loud else subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **_ONE_THREAD,
            **_KEEP_MEMORY,
        },
        **settings,
    )


def serve(specs: Sequence[InputSpec], requests: IO[bytes], answers: IO[bytes]) -> None:
    """Read films until the requests end, as they do when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children
    for line in requests:
        film = read_film_input(Path(json.loads(line)), specs)
        answers.writelines(_answer(film))
        answers.flush()


def written_specs(specs: Sequence[InputSpec]) -> list[str]:
    """Specs as words of a command line."""
    return [":".join(map(str, astuple(spec))) for spec in specs]


def parsed_specs(words: Sequence[str]) -> list[InputSpec]:
    """What :func:`written_specs` wrote."""
    fields = (word.split(":") for word in words)
    return [InputSpec(int(size), *rest) for size, *rest in fields]  # type: ignore[arg-type]


def _answer(film: PreparedFilm | RefusedFilm) -> list[bytes]:
    if isinstance(film, RefusedFilm):
        content: dict[str, Any] = {"reason": film.reason, "message": film.message}
        arrays = []
    else:
        content = {"facts": film.facts, "quality": film.quality}
        arrays = [np.ascontiguousarray(one, dtype="<f4").tobytes() for one in film.inputs]
    header = json.dumps(content).encode()
    return [LENGTH.pack(len(header)), header, *arrays]


def main(words: Sequence[str]) -> None:
    """Serve on standard input and output; what a decoder prints is no answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(parsed_specs(words), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
