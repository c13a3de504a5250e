"""MLLP client: HL7 messages to an interface engine, one after the other, each acknowledged."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

from monai_cxr.errors import DeliveryError
from monai_cxr.labels.hl7_reports import messages_of
from monai_cxr.screening.network.dicom_network import TlsFiles, client_tls
from monai_cxr.screening.network.mllp import FrameReader, framed
from monai_cxr.screening.network.storage_scu import Answer

_MOST_BYTES = 2**20
_STORED = frozenset({"AA", "CA"})
_CORRECT_IT = frozenset({"AE", "CE"})


@dataclass(frozen=True, slots=True)
class MllpPeer:
    """An interface engine.

    Attributes:
        host: Its host name or address.
        port: Where it listens.
        tls: TLS files, or None.
        timeout_seconds: For connecting, and for each acknowledgment.
    """

    host: str
    port: int
    tls: TlsFiles | None = None
    timeout_seconds: float = 30.0


def send(messages: Sequence[bytes], peer: MllpPeer) -> list[Answer]:
    """Send messages on one connection.

    Returns:
        One answer each. AA is stored; AE is refused for good, because the same message has the
        same fault again; AR and silence may pass. After silence the rest is not sent.

    Raises:
        DeliveryError: If nobody answers the call.
    """
    answers: list[Answer] = []
    try:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(_connected(peer))
            reader = FrameReader(_MOST_BYTES)
            for message in messages:
                connection.sendall(framed(message))
                until = time.monotonic() + peer.timeout_seconds
                answers.append(_answer(connection, reader, message, until))
    except ssl.SSLError as error:
        reason = f"TLS: {(error.reason or type(error).__name__).replace('_', ' ').lower()}"
        return _rest(answers, messages, reason)
    except TimeoutError:
        return _rest(answers, messages, "timed out")
    except OSError as error:
        return _rest(answers, messages, (error.strerror or type(error).__name__).lower())
    return answers


def connect(peer: MllpPeer) -> None:
    """Try whether somebody answers the call; nothing is sent.

    Raises:
        DeliveryError: If nobody does.
    """
    try:
        _connected(peer).close()
    except OSError as error:
        raise DeliveryError((error.strerror or type(error).__name__).lower()) from None


def _connected(peer: MllpPeer) -> socket.socket:
    plain = socket.create_connection((peer.host, peer.port), peer.timeout_seconds)
    if peer.tls is None:
        return plain
    try:
        return client_tls(peer.tls).wrap_socket(plain, server_hostname=peer.host)
    except OSError:
        plain.close()
        raise


def _rest(answers: list[Answer], messages: Sequence[bytes], reason: str) -> list[Answer]:
    """Answers for what was not answered."""
    if not answers:
        raise DeliveryError(reason) from None
    return answers + [Answer(False, error=reason)] * (len(messages) - len(answers))


def _answer(connection: socket.socket, reader: FrameReader, message: bytes, until: float) -> Answer:
    """The acknowledgment that names this message; what names another one is passed over."""
    wanted = next(messages_of(message.decode())).header(10)
    while time.monotonic() < until:
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionError("closed without an acknowledgment")
        for frame in reader.feed(piece):
            for said in messages_of(frame.data.decode("utf-8", "replace")):
                fields = next(iter(said.all_of("MSA")), ())
                if len(fields) > 2 and fields[2] == wanted:
                    return _judged(fields[1].strip().upper())
    raise TimeoutError


def _judged(code: str) -> Answer:
    if code in _STORED:
        return Answer(True, status=code)
    return Answer(False, status=code[:16], error="refused", permanent=code in _CORRECT_IT)
