"""A reverse proxy that names a user, as those do that stand before a viewer in a hospital.

python header_proxy.py PORT NAME:VALUE...: passes each request on to this port, with these headers
and none of the client's own of these names. It says its own port, and runs until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Mapping


class HeaderProxy:
    """A proxy in a process of its own.

    Args:
        target: Port of the viewer on this machine.
        headers: What it says to the viewer.
    """

    def __init__(self, target: int, headers: Mapping[str, str]) -> None:
        words = [f"{name}:{value}" for name, value in headers.items()]
        command = [sys.executable, __file__, str(target), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)


async def serve(target: int, headers: dict[str, str]) -> None:
    """Pass requests on until the process is ended."""
    added = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
    dropped = {name.lower().encode() for name in headers} | {b"connection"}

    def rewritten(head: bytes) -> bytes:
        first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
        kept = [one for one in lines if one.split(b":")[0].lower() not in dropped]
        upgrade = any(one.lower().startswith(b"upgrade:") for one in lines)
        connection = b"Upgrade" if upgrade else b"close"  # so that each request has its own
        text = b"\r\n".join([first, *kept, b"Connection: " + connection])
        return text + b"\r\n" + added + b"\r\n"

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            inner, outer = await asyncio.open_connection("127.0.0.1", target)
            outer.write(rewritten(head))
            await asyncio.gather(_pipe(reader, outer), _pipe(inner, writer))

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), dict(word.split(":", 1) for word in sys.argv[2:])))
