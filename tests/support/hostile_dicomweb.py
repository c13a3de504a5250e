"""A DICOMweb service that breaks the standard on demand, page by page and object by object."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import requests
from odd_wire import ODD_PAGE_WIRES, ODD_WIRES

MULTIPART = 'multipart/related; type="application/dicom"; boundary=x'
JSON = "application/dicom+json"

# name -> (status, content type, body): what is answered instead of an object.
ODD_OBJECTS: dict[str, tuple[int, str, bytes]] = {
    "not_found": (404, JSON, b""),
    "not_acceptable": (406, JSON, b""),
    "server_error": (500, "text/html", b"<html>"),
    "html": (200, "text/html", b"<html>Log in</html>"),
    "no_dicom": (200, MULTIPART, b"--x\r\nContent-Type: application/dicom\r\n\r\nno film\r\n--x--"),
    "empty_multipart": (200, MULTIPART, b"--x--\r\n"),
    "empty_body": (200, MULTIPART, b""),
    "no_boundary": (200, "multipart/related", b"--y\r\n\r\n"),
    "json_object": (200, JSON, b"{}"),
    "no_content": (204, JSON, b""),
    "moved": (301, JSON, b""),
}

# name -> body of an answer to a query for studies.
ODD_PAGES: dict[str, bytes] = {
    "null": b"null", "number": b"7", "string": b'"x"', "object": b'{"a": 1}', "html": b"<html>",
    "list_of_lists": b"[[]]", "list_of_null": b"[null]", "value_null": b'[{"0020000D": null}]',
    "value_number": b'[{"0020000D": {"Value": [7]}}]', "no_value": b'[{"0020000D": {"vr": "UI"}}]',
    "value_no_list": b'[{"0020000D": {"Value": "1.2"}}]', "cut": b'[{"0020000D": {"Va',
    "deep": b"[" * 100_000, "not_utf8": b'["\xff"]',
}  # fmt: skip

# name -> (status, body): what STOW-RS says.
ODD_STORES: dict[str, tuple[int, bytes]] = {
    "array": (200, b"[]"), "null": (200, b"null"), "number": (200, b"1"), "string": (200, b'"x"'),
    "reason_text": (200, b'{"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["UID"]},'
                         b'"00081197":{"vr":"US","Value":["full"]}}]}}'),
    "reason_two": (409, b'{"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["UID"]},'
                        b'"00081197":{"vr":"US","Value":[1,2]}}]}}'),
    "both": (202, b'{"00081199":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["UID"]}}]},'
                  b'"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["UID"]},'
                  b'"00081197":{"vr":"US","Value":[272]}}]}}'),
    "no_reason": (202, b'{"00081198":{"vr":"SQ","Value":['
                       b'{"00081155":{"vr":"UI","Value":["UID"]}}]}}'),
    "of_another": (200, b'{"00081199":{"vr":"SQ","Value":['
                        b'{"00081155":{"vr":"UI","Value":["1"]}}]}}'),
    "failed_is_text": (200, b'{"00081198":{"vr":"SQ","Value":"text"}}'),
    "moved": (301, b""), "html": (200, b"<html>"), "teapot": (418, b"{}"), "empty": (200, b""),
}  # fmt: skip


@dataclass
class HostileDicomWeb:
    """A running service.

    Attributes:
        films: (study UID, series UID, SOP Instance UID, file) that it holds.
        most: Largest page that it gives.
        ignores_offset: Whether each page is the first.
        odd_objects: What it answers instead of a film, by SOP Instance UID; a key of
            :data:`ODD_OBJECTS` or of :data:`~odd_wire.ODD_WIRES`, ``"cut"`` or ``"silent"``.
        odd_page: Answer to each query for studies, a key of :data:`ODD_PAGES`; or to each query, a
            key of :data:`~odd_wire.ODD_PAGE_WIRES`.
        odd_store: Answer to STOW-RS, a key of :data:`ODD_STORES`.
        behind: Address of a real service that STOW-RS, and searches for single instances, are
            passed on to; every other odd answer comes after the object was stored there.
        requests: Numbers of requests by kind.
    """

    films: Sequence[tuple[str, str, str, bytes]] = ()
    most: int = 1_000
    ignores_offset: bool = False
    odd_objects: dict[str, str] = field(default_factory=dict)
    odd_page: str = ""
    odd_store: str = ""
    behind: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def found(self, path: str, query: dict[str, list[str]]) -> list[dict]:
        """The matches of a query, in the DICOM JSON model."""
        if "DX" not in query.get("ModalitiesInStudy", ["DX"]) + query.get("Modality", ["DX"]):
            return []
        parts = path.strip("/").split("/")
        place = ("studies", "series", "instances").index(parts[-1])
        tag = ("0020000D", "0020000E", "00080018")[place]
        known = [film for film in self.films if place == 0 or film[0] in parts]
        values = list(dict.fromkeys(film[place] for film in known))
        offset = 0 if self.ignores_offset else int(query.get("offset", ["0"])[0])
        limit = min(self.most, int(query.get("limit", ["1000"])[0]))
        return [{tag: {"vr": "UI", "Value": [v]}} for v in values[offset : offset + limit]]


@contextlib.contextmanager
def running(service: HostileDicomWeb, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run it on the loopback interface; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status == 301:
                self.send_header("Location", service.url + "/studies")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def raw(self, answer: bytes) -> None:
            self.close_connection = True
            with contextlib.suppress(ConnectionError):  # some are enough to hang up on
                self.wfile.write(answer)

        def do_POST(self) -> None:
            service.requests["store"] += 1
            sent, odd = self.rfile.read(int(self.headers["Content-Length"])), service.odd_store
            if service.behind and (not odd or service.requests["store"] % 2):
                passed = self.passed_on("POST", sent)
                if not odd:
                    return self.answer(passed.status_code, JSON, passed.content)
            return self.answer(ODD_STORES[odd][0], JSON, ODD_STORES[odd][1])

        def passed_on(self, method: str, sent: bytes = b"") -> requests.Response:
            kept = ("authorization", "content-type", "accept")
            headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
            place = service.behind + self.path.removeprefix(urlparse(service.url).path)
            return requests.request(method, place, data=sent, headers=headers, timeout=60)

        def do_GET(self) -> None:
            url = urlparse(self.path)
            if service.behind and "SOPInstanceUID" in parse_qs(url.query):
                passed = self.passed_on("GET")
                return self.answer(passed.status_code, JSON, passed.content)
            if url.path.rpartition("/")[2] in ("studies", "series", "instances"):
                service.requests["query"] += 1
                if service.odd_page in ODD_PAGE_WIRES:
                    found = json.dumps(service.found(url.path, parse_qs(url.query)))
                    return self.raw(ODD_PAGE_WIRES[service.odd_page](JSON, found.encode()))
                if service.odd_page and url.path.endswith("/studies"):
                    return self.answer(200, JSON, ODD_PAGES[service.odd_page])
                found = service.found(url.path, parse_qs(url.query))
                return self.answer(200, JSON, json.dumps(found).encode())
            service.requests["retrieve"] += 1
            sop_uid = url.path.rpartition("/")[2]
            odd = service.odd_objects.get(sop_uid)
            if odd == "silent":
                time.sleep(3)
                self.close_connection = True
                return None
            if odd == "cut":
                self.send_response(200)
                self.send_header("Content-Type", MULTIPART)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                self.wfile.write(b"--x\r\n")
                self.close_connection = True
                return None
            if odd in ODD_OBJECTS:
                return self.answer(*ODD_OBJECTS[odd])
            data = next(film[3] for film in service.films if film[2] == sop_uid)
            if odd:
                return self.raw(ODD_WIRES[odd](MULTIPART, data))
            head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
            return self.answer(200, MULTIPART, head + data + b"\r\n--x--\r\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scheme = "http"
    if tls is not None:
        server.socket, scheme = tls.wrap_socket(server.socket, server_side=True), "https"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    service.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/dicom-web"
    try:
        yield service.url
    finally:
        server.shutdown()
        server.server_close()
