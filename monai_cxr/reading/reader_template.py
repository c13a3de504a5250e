"""Reader template: a process that has imported what reading needs, from which readers are forked.

Importing takes half a second of CPU: a server of 64 cores would pay it 64 times, and each run
again. The template pays it once for the life of its parent, and readers share its memory. It has
one thread and opens no film, so forking it is safe; the parent, whose engines have threads, is
never forked. On Linux alone: elsewhere each reader is started for itself.

The parent asks over a socket, one JSON packet a request: with a file descriptor, the memory of a
reader that shall serve on it, answered by its process ID; without one, the process ID of a reader
to kill, answered by the same. A reader is not reaped before its end is asked for, so that its ID
cannot become that of a stranger; one that a dead file system holds is left for later. Readers do
not outlive the template, even those that hang, nor does the template outlive its parent.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from threading import Lock
from typing import Any, NoReturn

from PIL import Image

from monai_cxr.reading.reader_child import serve, spawn

IS_AVAILABLE = sys.platform == "linux"
_PACKET = 1 << 16
_PATIENCE_S = 1.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ForkedReader:
    """A reader forked from a template; behaves as its :class:`subprocess.Popen` would.

    Attributes:
        pid: Its process ID.
        stdin: Takes requests.
        stdout: Gives answers.
        returncode: None until :meth:`kill`.
    """

    def __init__(self, template: ReaderTemplate, pid: int, ours: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._template = template
        self._lock = Lock()  # a timer may kill it while its reader does
        with ours:
            self.stdin, self.stdout = ours.makefile("wb"), ours.makefile("rb")

    def kill(self) -> None:
        """End it, whatever it does; a second time does nothing."""
        with self._lock:
            if self.returncode is None:
                self._template.end(self.pid)
                self.returncode = -signal.SIGKILL

    def wait(self) -> int | None:
        """The exit code after :meth:`kill`, which waits itself."""
        return self.returncode


class ReaderTemplate:
    """The parent's end of one template."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = spawn(__name__, stdin=theirs, stdout=subprocess.DEVNULL)
        self._lock = Lock()
        self.pid = self._process.pid
        self.is_alive = True

    def fork(self, memory_bytes: int) -> ForkedReader:
        """Start a reader.

        Args:
            memory_bytes: See :func:`monai_cxr.reading.reader_child.serve`.

        Raises:
            OSError: If the template is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            pid = self._ask(memory_bytes, theirs.fileno())
        if pid is None:
            ours.close()
            raise OSError("the template that readers are forked from is gone")
        return ForkedReader(self, pid, ours)

    def end(self, pid: int) -> None:
        """Kill a reader; a reader whose template is gone ends with its requests."""
        self._ask(pid)

    def close(self) -> None:
        """End the template; its readers end with their requests."""
        self.is_alive = False
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _ask(self, request: Any, *descriptors: int) -> int | None:
        """The answer, or None from a template that is gone."""
        with self._lock:
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
                answer = self._control.recv(_PACKET)
            except OSError:
                answer = b""
            self.is_alive = self.is_alive and bool(answer)
            return int(answer) if answer else None


_shared: ReaderTemplate | None = None
_shared_lock = Lock()


def fork_reader(memory_bytes: int) -> ForkedReader:
    """Fork a reader from the one template of this process, started at the first call.

    Args:
        memory_bytes: See :func:`monai_cxr.reading.reader_child.serve`.

    Raises:
        OSError: If no template can be started.
    """
    try:
        return _template().fork(memory_bytes)
    except OSError:
        return _template().fork(memory_bytes)  # it had died since the last time


def _template() -> ReaderTemplate:
    global _shared
    with _shared_lock:
        if _shared is not None and not _shared.is_alive:
            _shared.close()
            _shared = None
        if _shared is None:
            _shared = ReaderTemplate()
        return _shared


def start_template() -> None:
    """Start the template now, so that it imports while its parent does something else."""
    if IS_AVAILABLE:
        _template()


def template_pid() -> int | None:
    """Process ID of this process's template, the parent of its readers; None without one."""
    with _shared_lock:
        return None if _shared is None else _shared.pid


def close_template() -> None:
    """End the template of this process, if there is one."""
    global _shared
    with _shared_lock:
        if _shared is not None:
            _shared.close()
        _shared = None


def _forget() -> None:
    """A child forked from this process has a template of its own, not that of its parent."""
    global _shared, _shared_lock
    _shared, _shared_lock = None, Lock()


atexit.register(close_template)
if IS_AVAILABLE:
    os.register_at_fork(after_in_child=_forget)


def main() -> None:
    """The template's loop: until the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent ends it
    control = socket.socket(fileno=os.dup(0))
    os.dup2(1, 0)
    Image.init()  # or each reader imports Pillow's formats for itself
    template, ended = os.getpid(), set[int]()
    while True:
        packet, descriptors, _, _ = socket.recv_fds(control, _PACKET, 1)
        if not packet:
            return
        request = json.loads(packet)
        if descriptors:
            answer = os.fork()
            if answer == 0:
                control.close()
                _serve_and_exit(descriptors[0], request, template)
            os.close(descriptors[0])
        else:
            answer = request
            os.kill(answer, signal.SIGKILL)
            ended.add(answer)
            _reap(ended)
        control.send(str(answer).encode())


def _reap(ended: set[int]) -> None:
    """Reap killed readers, and wait a moment for those that are not gone yet."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        ended -= {pid for pid in ended if os.waitpid(pid, os.WNOHANG)[0]}
        if not ended or time.monotonic() > deadline:
            return
        time.sleep(0.001)


def _end_with(template: int) -> None:
    """Have the system kill this process when its parent ends; a reader that hangs sees no end."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != template:
        os._exit(1)  # it had ended before


def _serve_and_exit(descriptor: int, memory_bytes: int, template: int) -> NoReturn:
    try:
        _end_with(template)
        with (
            os.fdopen(descriptor, "rb") as requests,
            os.fdopen(os.dup(descriptor), "wb") as answers,
        ):
            serve(memory_bytes, requests, answers)
    except BaseException:  # noqa: BLE001 - a forked process must not run on as its parent
        traceback.print_exc()  # seen with MONAI_CXR_DEBUG alone
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
