"""A link of a chosen speed between a browser and a viewer, for films alone."""

from __future__ import annotations

import asyncio
import contextlib
import threading

_PIECE = 8192
_SLOW = b"/cxr/film/"


class SlowProxy:
    """A proxy in a thread of its own.

    Args:
        target: Port of the viewer on this machine.

    Attributes:
        bytes_a_second: At which films come; it may change at any time.
        url: Of the proxy.
    """

    def __init__(self, target: int) -> None:
        self.target, self.bytes_a_second, self.url = target, 1e9, ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(60)

    def stop(self) -> None:
        """End it, and every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._one, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.1))
        self._loop.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            try:
                inner, outer = await asyncio.open_connection("127.0.0.1", self.target)
            except OSError:  # the viewer is not there now
                writer.close()
                return
            outer.write(_alone(head))
            slow = _SLOW in head.split(b"\r\n", 1)[0]
            await asyncio.gather(self._pipe(reader, outer), self._pipe(inner, writer, slow=slow))

    async def _pipe(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, slow: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                if slow:
                    await asyncio.sleep(len(data) / self.bytes_a_second)
                target.write(data)
                await target.drain()
        target.close()


def _alone(head: bytes) -> bytes:
    """The head of a request whose connection carries no other one."""
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    upgrade = any(one.lower().startswith(b"upgrade:") for one in lines)
    kept = [one for one in lines if not one.lower().startswith(b"connection:")]
    connection = b"Connection: " + (b"Upgrade" if upgrade else b"close")
    return b"\r\n".join([first, *kept, connection]) + b"\r\n\r\n"
