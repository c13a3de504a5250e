"""MLLP: HL7 version 2 messages over TCP, in frames (HL7 v2.5.1 Appendix C, MLLP release 1).

A frame is 0x0B, the message, 0x1C 0x0D. Neither byte occurs in a message, so a frame that was cut
short ends where the next one begins, and what lies between frames is noise. A message counts as
received when the other side has its acknowledgment; until then its sender sends it again.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

from monai_cxr.errors import SettingsError
from monai_cxr.screening.network.dicom_network import TlsFiles, server_tls

_START, _END, _CARRIAGE_RETURN = b"\x0b", b"\x1c", b"\r"
_HEADS = (b"\x0bMSH", b"\x0bFHS", b"\x0bBHS")
_KEPT_OF_TOO_LONG = 8_192
_POLL_SECONDS = 0.5
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MllpFrame:
    """What came between a start and an end.

    Attributes:
        data: The message; of one that is too long, its beginning.
        is_too_long: Whether it was longer than allowed, and the rest was thrown away.
    """

    data: bytes = field(repr=False)
    is_too_long: bool = False


class FrameReader:
    """Puts frames together from pieces of any size.

    Args:
        most_bytes: Of one message; what is longer is not kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._buffer = bytearray()
        self._is_too_long = False
        self.is_open = False

    def feed(self, data: bytes) -> Iterator[MllpFrame]:
        """Take a piece; gives the frames that end in it."""
        while data:
            if not self.is_open:
                _, start, data = data.partition(_START)
                self.is_open = bool(start)
                continue
            piece, end, data = data.partition(_END)
            self._keep(piece)
            if end:
                yield self._taken()

    def _keep(self, piece: bytes) -> None:
        self._buffer += piece
        if len(self._buffer) > self._most_bytes:
            self._is_too_long = True
        if self._is_too_long:
            del self._buffer[_KEPT_OF_TOO_LONG:]

    def _taken(self) -> MllpFrame:
        whole = bytes(self._buffer)
        cut = max(whole.rfind(head) for head in _HEADS)  # a message began before one had ended
        frame = MllpFrame(whole[cut + 1 :] if cut >= 0 else whole, self._is_too_long)
        self._buffer.clear()
        self._is_too_long = self.is_open = False
        return frame


def framed(message: bytes) -> bytes:
    """A message as a frame."""
    return _START + message + _END + _CARRIAGE_RETURN


@dataclass(frozen=True, slots=True)
class MllpLimits:
    """What one sender may cost.

    Attributes:
        most_bytes: Of one message.
        most_connections: At a time; more are closed.
        timeout_seconds: Of silence within a message, and until TLS is agreed on.
        idle_seconds: Of silence between messages.
    """

    most_bytes: int = 16 * 2**20
    most_connections: int = 16
    timeout_seconds: float = 60.0
    idle_seconds: float = 3_600.0


class MllpServer:
    """A running listener; a context manager.

    Args:
        address: Host and port; port 0 for any free one.
        answer: Gives the acknowledgment of a frame, ``b""`` for none. It is called by several
            threads at a time, and must not raise.
        allowed: Addresses that may connect.
        tls: Files of mutual TLS, or None.
        limits: What one sender may cost.

    Raises:
        SettingsError: If the address is taken, or TLS files are unfit.
    """

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[MllpFrame], bytes],
        *,
        allowed: frozenset[str],
        tls: TlsFiles | None = None,
        limits: MllpLimits | None = None,
    ) -> None:
        self._answer, self._allowed = answer, allowed
        self._limits = limits or MllpLimits()
        self._context = None if tls is None else server_tls(tls)
        self._stop = threading.Event()
        self._room = threading.Semaphore(self._limits.most_connections)
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            """One connection."""

            def handle(self) -> None:
                """Serve it in a thread of its own."""
                outer._serve(self.request, str(self.client_address[0]))

        try:
            self._server = _Server(address, Handler)
        except OSError as error:
            raise SettingsError(
                f"Cannot listen for HL7 on {address[0]}:{address[1]} "
                f"({error.strerror or type(error).__name__}). Choose another port."
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="mllp", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def is_listening(self) -> bool:
        """Whether it accepts connections."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop; a message in hand is acknowledged first."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> MllpServer:
        """The server itself; it runs since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def _serve(self, plain: socket.socket, host: str) -> None:
        if host not in self._allowed:
            _LOG.warning("HL7 connection refused: the caller is not on the list of senders")
            return
        if not self._room.acquire(blocking=False):
            _LOG.warning("HL7 connection refused: too many at a time")
            return
        try:
            plain.settimeout(self._limits.timeout_seconds)
            with contextlib.closing(self._secured(plain)) as connection:
                self._converse(connection)
        except (OSError, ssl.SSLError) as error:  # the sender went away, and sends it again
            _LOG.info("HL7 connection ended", extra={"error": type(error).__name__})
        finally:
            self._room.release()

    def _secured(self, plain: socket.socket) -> socket.socket:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._context is None:
            return plain
        return self._context.wrap_socket(plain, server_side=True)

    def _converse(self, connection: socket.socket) -> None:
        reader = FrameReader(self._limits.most_bytes)
        heard = time.monotonic()
        while True:
            connection.settimeout(_POLL_SECONDS)
            try:
                piece = connection.recv(65_536)
            except TimeoutError:
                limits, silence = self._limits, time.monotonic() - heard
                patience = limits.timeout_seconds if reader.is_open else limits.idle_seconds
                if not self._stop.is_set() and silence < patience:
                    continue
                piece = b""
            if not piece:
                if reader.is_open:
                    _LOG.warning("an HL7 message was cut short; its sender has no answer")
                return
            heard = time.monotonic()
            for frame in reader.feed(piece):
                connection.settimeout(self._limits.timeout_seconds)
                if answer := self._answer(frame):
                    connection.sendall(framed(answer))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Log the kind; the text may quote a message."""
        _LOG.exception("an HL7 connection failed unexpectedly", exc_info=False)
