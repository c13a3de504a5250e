"""Reader child: the loop that reads the films it is asked for, in a process of its own.

It is asked by a line of JSON, which holds a question of :mod:`monai_cxr.reading.readings` and the
path of a file, or the number of bytes of a file that follow. It answers: the length of a JSON
header (four bytes, little-endian), the header, then the arrays that the header describes.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import InputError
from monai_cxr.reading.crossing import packed
from monai_cxr.reading.film_input import RefusedFilm
from monai_cxr.reading.reader_limits import MEMORY
from monai_cxr.reading.reader_watch import address_space_bytes
from monai_cxr.reading.readings import read_reading

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


def serve(memory_bytes: int, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Read films until the requests end, as they do when the parent is gone.

    Args:
        memory_bytes: What a reader may hold; its parent watches that, and twice as much is the
            most that the system gives it, should the parent be too slow.
        requests: Whence it is asked.
        answers: Where it answers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # of a terminal or a service manager to all of
        signal.signal(number, signal.SIG_IGN)  # a group: the parent ends its children
    _bound_memory(2 * memory_bytes)
    while line := requests.readline():
        answers.writelines(_answer(json.loads(line), requests))
        answers.flush()


def _bound_memory(n_bytes: int) -> None:
    taken = address_space_bytes(os.getpid())
    if taken:  # on Linux
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = taken + n_bytes
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _answer(request: dict[str, Any], requests: IO[bytes]) -> list[bytes]:
    reading = read_reading(request)
    source = Path(request["path"]) if "path" in request else requests.read(request["n_bytes"])
    try:
        arrays: list[NDArray[Any]] = []
        content = packed(reading.read(source), arrays)
    except MemoryError:
        return [_header({"reason": MEMORY})]
    except InputError as error:
        film = RefusedFilm.of(error)
        return [_header({"reason": MEMORY} if _is_short_of_memory(error) else asdict(film))]
    arrays = [np.ascontiguousarray(one, one.dtype.newbyteorder("<")) for one in arrays]
    described = [[one.dtype.str, one.shape] for one in arrays]
    return [_header({"content": content, "arrays": described}), *(one.tobytes() for one in arrays)]


def _is_short_of_memory(error: BaseException | None) -> bool:
    """Whether a refusal of damaged pixels comes from a decoder that got no memory."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _header(content: dict[str, Any]) -> bytes:
    header = json.dumps(content).encode()
    return LENGTH.pack(len(header)) + header


def main(words: Sequence[str]) -> None:
    """Serve on standard input and output; output of a decoder does not count as an answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(int(words[0]), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
