"""A tab without a browser: Streamlit's websocket and our cookies, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

SECONDS = 120


class Tab:
    """Opens the page as a browser does, and keeps its cookies.

    Args:
        url: Of the viewer, with its base path.
        headers: That a proxy adds.
        cookies: Of the browser; None: a new one.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, cookies: Any = None
    ) -> None:
        self.url, self.headers = url, dict(headers or {})
        self.http = httpx.Client(headers=self.headers, cookies=cookies, timeout=SECONDS)
        self.get("/_stcore/health")
        self.session, self.said = "", ""
        self._socket: Any = None

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(self.url + path, **options)

    def open(self, page: str = "", query: str = "", origin: str | None = "") -> Tab:
        """Run a page to its end; ``said`` is what it sent, ``session`` its name at Streamlit."""
        if self._socket is not None:
            self._socket.close()
        host = self.url.partition("//")[2].partition("/")[0]
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        xsrf = self.http.cookies.get("_streamlit_xsrf", "")
        self._socket = connect(
            f"ws{self.url[4:]}/_stcore/stream",
            origin=f"http://{host}" if origin == "" else origin,
            additional_headers={**self.headers, "Cookie": cookies},
            subprotocols=["streamlit", xsrf],
            max_size=None,
        ).__enter__()  # since version 17 a connection is a context manager alone
        asked = BackMsg()
        asked.rerun_script.query_string = query
        asked.rerun_script.page_name = page
        self._socket.send(asked.SerializeToString())
        parts, deadline = [], time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = ForwardMsg.FromString(self._socket.recv(timeout=SECONDS))
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session = message.new_session.initialize.session_id
            parts.append(str(message))
            if kind == "script_finished":
                break
        self.said = "\n".join(parts)
        return self

    def upload(self, data: bytes, name: str = "film", **headers: str) -> httpx.Response:
        """Send a file as the upload field does."""
        token = self.http.cookies.get("_streamlit_xsrf", "")
        return self.http.put(
            f"{self.url}/_stcore/upload_file/{self.session}/{name}",
            files={"file": (name, data)},
            headers={"X-Xsrftoken": token, **headers},
        )

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self.http.close()
