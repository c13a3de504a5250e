"""Helpers of the viewer's tests: a reader, a browser's HTTP client, the studies that were read."""

from __future__ import annotations

import anyio
import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware

from clinical_app.admission.access import Identity
from clinical_app.admission.security import SESSION_COOKIE, Guard
from clinical_app.routes import routes
from clinical_app.service import Service
from monai_cxr.review.uploads import Owner

READER = Identity("anna", "reader")
OWNER = Owner("session-of-anna", READER.user)


class Browser:
    """A synchronous HTTP client of an ASGI application."""

    def __init__(self, app: Starlette, cookies: dict[str, str]) -> None:
        self.app = app
        self.cookies = cookies

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(self.app),
                base_url="http://127.0.0.1",
                cookies=self.cookies,
            ) as client:
                return await client.request(method, path, **options)

        return anyio.run(ask)

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: object) -> httpx.Response:
        return self.request("POST", path, **options)


def make_client(service: Service, session: str = "session-of-anna") -> Browser:
    guard = Middleware(Guard, settings=service.settings, grants=service.grants, held=dict)
    app = Starlette(routes=routes(service.settings.base_path), middleware=[guard])
    return Browser(app, {SESSION_COOKIE: session} if session else {})


def analysed(service: Service):
    return [case for case in service.source.cases() if case.prediction is not None]
