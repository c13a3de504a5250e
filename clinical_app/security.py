"""Security: headers of every answer, the session cookie, and the proxy's secret; pure ASGI."""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clinical_app.access import proxy_user
from clinical_app.settings import ViewerSettings

SESSION_COOKIE = "cxr_session"

# Streamlit's page needs inline styles; components are modules that it loads from blob: URLs.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' ws: wss:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Middleware around Streamlit and our own routes.

    Args:
        app: What it guards.
        settings: Whether a proxy must prove itself.
    """

    def __init__(self, app: ASGIApp, settings: ViewerSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on and add headers and cookie to the answer."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self._is_stranger(scope, headers):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await PlainTextResponse("Sign in through the proxy of this site.", 403)(
                scope, receive, send
            )
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        fresh = "" if _has_session(headers) else secrets.token_urlsafe(24)
        private = scope["path"].startswith("/cxr/")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer[name] = value
                if private:
                    answer["Cache-Control"] = "no-store"
                if fresh:
                    secure = "; Secure" if scope.get("scheme") == "https" else ""
                    answer.append(
                        "Set-Cookie",
                        f"{SESSION_COOKIE}={fresh}; Path=/; HttpOnly; SameSite=Lax{secure}",
                    )
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _is_stranger(self, scope: Scope, headers: Headers) -> bool:
        if self.settings.authentication != "proxy" or scope["path"] == "/cxr/health":
            return False
        return not proxy_user(dict(headers.items()), self.settings)


def _has_session(headers: Headers) -> bool:
    try:
        return SESSION_COOKIE in SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return False
