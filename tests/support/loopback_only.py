"""Run a server that listens on every address in a network of its own, reached through 127.0.0.1.

Orthanc has no option for the address it listens on. So it runs in a new network namespace, where
nobody else is; this process stands in both and carries bytes between them. Linux only, and as root
or with user namespaces allowed.

Usage: python loopback_only.py OUT INSIDE_PORTS OUTSIDE_PORTS -- COMMAND...
INSIDE_PORTS (comma-separated) become free ports of 127.0.0.1, or, as 4242:10042, the one that is
named, and are written to OUT as JSON; what the server connects to on OUTSIDE_PORTS of its own
loopback reaches ours of the same number.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _enter_new_network() -> None:
    if _LIBC.unshare(_CLONE_NEWNET) and _LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace may be made here")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def _join(reader, writer, connect) -> None:
    try:
        other_reader, other_writer = await connect()
    except OSError:
        writer.close()
        return
    await asyncio.gather(_carry(reader, other_writer), _carry(other_reader, writer))


async def _serve(listening: list[tuple[socket.socket, int]], inner_ports: list[int], home: int,
                 process: subprocess.Popen) -> None:  # fmt: skip
    outside = ThreadPoolExecutor(4, initializer=lambda: _LIBC.setns(home, 0))
    loop = asyncio.get_running_loop()

    def inward(port):
        return lambda: asyncio.open_connection("127.0.0.1", port)

    def outward(port):
        async def connect():
            made = await loop.run_in_executor(
                outside, socket.create_connection, ("127.0.0.1", port)
            )
            made.setblocking(False)
            return await asyncio.open_connection(sock=made)

        return connect

    for handle, port in listening:
        await asyncio.start_server(
            lambda r, w, port=port: _join(r, w, inward(port)), sock=handle, backlog=200
        )
    for port in inner_ports:
        await asyncio.start_server(
            lambda r, w, port=port: _join(r, w, outward(port)), "127.0.0.1", port
        )
    while process.poll() is None:
        await asyncio.sleep(0.2)


def main() -> int:
    out, inside, outside = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    listening = []
    for ports in inside.split(","):
        port, _, wanted = ports.partition(":")
        handle = socket.socket()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        handle.bind(("127.0.0.1", int(wanted or 0)))
        handle.listen(200)
        listening.append((handle, int(port)))
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    _enter_new_network()
    process = subprocess.Popen(sys.argv[5:], preexec_fn=lambda: _LIBC.prctl(1, signal.SIGKILL))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    ports = {str(port): handle.getsockname()[1] for handle, port in listening}
    part = out.with_suffix(".part")
    part.write_text(json.dumps(ports))
    part.replace(out)
    inner = [int(port) for port in outside.split(",") if port]
    asyncio.run(_serve(listening, inner, home, process))
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
