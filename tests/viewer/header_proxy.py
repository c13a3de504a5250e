"""A reverse proxy that names a user, as those do that stand before a viewer in a hospital."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping


class HeaderProxy:
    """Passes every request of its port on, with these headers and none of the client's own.

    Args:
        target: Port of the viewer on this machine.
        headers: What it says to the viewer.
    """

    def __init__(self, target: int, headers: Mapping[str, str]) -> None:
        self.target = target
        self.added = b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items())
        self.dropped = {name.lower().encode() for name in headers} | {b"connection"}
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self.loop
        )
        self.server = started.result(60)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            inner, outer = await asyncio.open_connection("127.0.0.1", self.target)
            outer.write(self._rewritten(head))
            await asyncio.gather(_pipe(reader, outer), _pipe(inner, writer))

    def _rewritten(self, head: bytes) -> bytes:
        first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
        kept = [one for one in lines if one.split(b":")[0].lower() not in self.dropped]
        upgrade = any(one.lower().startswith(b"upgrade:") for one in lines)
        connection = b"Upgrade" if upgrade else b"close"  # so that each request has its own
        text = b"\r\n".join([first, *kept, b"Connection: " + connection])
        return text + b"\r\n" + self.added + b"\r\n"

    def stop(self) -> None:
        async def end() -> None:
            self.server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()
