"""HTTP peers: a web server of this machine while a block runs, and handlers that log nothing."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Quiet(BaseHTTPRequestHandler):
    """A handler that logs nothing and answers whole."""

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if status != 204 else b"")


class Files(Quiet, SimpleHTTPRequestHandler):
    """The files of a folder."""

    extensions_map = {".js": "text/javascript", "": "text/html"}  # noqa: RUF012


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    """Serve while the block runs; gives the port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def answering(handler: object) -> Iterator[str]:
    """Let a handler answer on the loopback interface; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    with serving(server) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def serving_folder(folder: Path) -> Iterator[str]:
    """Let the files of a folder be read; gives their address."""
    with answering(partial(Files, directory=str(folder))) as url:
        yield url
