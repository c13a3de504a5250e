"""HTTP session: what a DICOMweb service is asked with: bounded answers, and reasons in words."""

from __future__ import annotations

import codecs
import email.message
import http.client
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.errors import BytesLengthException, InvalidDicomError

from monai_cxr.errors import DeliveryError
from monai_cxr.optional import require
from monai_cxr.picture.bounds import MALFORMED, MAX_FILE_BYTES

MAX_ANSWER_BYTES = MAX_FILE_BYTES + 2**20
"""Largest answer that is read: the largest file, with what multipart adds to it."""

UNREADABLE: tuple[type[Exception], ...] = (*MALFORMED, InvalidDicomError, BytesLengthException)
"""What reading the data set or the JSON of another system may raise."""

_CHUNK_BYTES = 2**20
_SLOWEST = 20.0
"""An answer may take so many times ``timeout_seconds`` in all, however often it says something."""


@dataclass(frozen=True, slots=True)
class DicomWebServer:
    """A DICOMweb service.

    Attributes:
        url: Its root, for example ``"https://pacs.example/dicom-web"``.
        username: For HTTP Basic, or ``""``.
        password: For HTTP Basic.
        token: Bearer token, or ``""``.
        authorities: PEM file of certificate authorities; None for the system's.
        certificate: (certificate, key) PEM files of ours, for mutual TLS, or None.
        timeout_seconds: For connecting and for each silence within an answer.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    authorities: Path | None = None
    certificate: tuple[Path, Path] | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0


def open_session(server: DicomWebServer) -> Any:
    """A ``requests`` session for one service; several requests share its connections.

    Raises:
        MissingDependency: Without the extra ``pacs``.
        DeliveryError: If a file of certificates is absent.
    """
    requests: Any = require("requests", extra="pacs")
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc between a hospital's own machines
    session.mount("http://", _bounded_adapter(requests, server.timeout_seconds))
    session.mount("https://", _bounded_adapter(requests, server.timeout_seconds))
    if server.token:
        session.headers["Authorization"] = f"Bearer {server.token}"
    elif server.username:
        session.auth = (server.username, server.password)
    if server.authorities is not None:
        session.verify = str(server.authorities)
    if server.certificate is not None:
        session.cert = tuple(str(path) for path in server.certificate)
    for path in (server.authorities, *(server.certificate or ())):
        if path is not None and not path.is_file():
            raise DeliveryError(f"the certificate file '{path.name}' cannot be read")
    return session


def reason_of(error: BaseException) -> str:
    """Why an exchange failed, in words without an address or an identity."""
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop()
        if cause is None or cause in seen:
            continue
        seen.append(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{type(error).__name__}: certificate verify failed: {cause.verify_message}"
        if isinstance(cause, ConnectionRefusedError):
            return f"{type(error).__name__}: connection refused"
        inner = [value for value in cause.args if isinstance(value, BaseException)]
        pending += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *inner]
        pending = [item for item in pending if isinstance(item, BaseException)]
    return type(error).__name__


def _bounded_adapter(requests: Any, timeout_seconds: float) -> Any:
    """An adapter that reads an answer up to a size and a time, before anything looks at it."""

    class BoundedAdapter(requests.adapters.HTTPAdapter):
        """HTTP with bounded answers."""

        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            """Send, and read the answer."""
            # Orthanc takes a wild card as it is typed; RFC 3986 lets "*" stand in a query.
            request.url = request.url.replace("%2A", "*")
            response = super().send(request, *args, **{**options, "stream": True})
            deadline = time.monotonic() + _SLOWEST * timeout_seconds
            content, size = [], 0
            for chunk in response.iter_content(_CHUNK_BYTES):
                content.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                    response.close()
                    raise requests.exceptions.ContentDecodingError("too large or too slow")
            response._content = _whole(requests, request, response, b"".join(content))
            return response

    return BoundedAdapter()


def _whole(requests: Any, request: Any, response: Any, content: bytes) -> bytes:
    """The body of an answer, if it is all of one.

    What is cut short must not pass for an object or for "nothing was found": a stream that was
    compressed ends anywhere without a fault, and a multipart body has no length of its own.
    """
    status = response.status_code
    if status == 206 or status >= 600:  # no part was asked for; no such status
        raise requests.exceptions.HTTPError(f"HTTP {status}", response=response)
    kind = response.headers.get("Content-Type", "")
    if status == 200 and request.method == "GET":
        if not content and "json" in request.headers.get("Accept", ""):
            raise requests.exceptions.ContentDecodingError("empty")  # nothing found is 204, or []
        boundary = _boundary(kind)
        if boundary and content:
            start, end = content.find(boundary), content.rfind(boundary)
            if start == end or content[end + len(boundary) :].strip() not in (b"", b"--"):
                raise requests.exceptions.ContentDecodingError("cut short")
            return content[start:]  # without what stands before the first part (RFC 2046 5.1.1)
    return content.removeprefix(codecs.BOM_UTF8)


def _boundary(kind: str) -> bytes:
    """The delimiter of a multipart body, ``b""`` where there is none."""
    message = email.message.Message()
    message["Content-Type"] = kind
    name = message.get_boundary("") if message.get_content_maintype() == "multipart" else ""
    return f"--{name}".encode("latin-1", "replace") if name else b""


def exchange_errors() -> tuple[type[BaseException], ...]:
    """What an exchange with a service may raise, whatever it answers."""
    requests: Any = require("requests", extra="pacs")
    urllib3: Any = require("urllib3.exceptions", extra="pacs")
    return (requests.RequestException, urllib3.HTTPError, http.client.HTTPException, *UNREADABLE)
