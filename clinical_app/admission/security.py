"""Security: what may come in at all, and the headers and cookies of every answer; pure ASGI."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clinical_app.admission.access import identify, proxy_user
from clinical_app.admission.grants import Grants
from clinical_app.admission.origins import hostname, is_known_host, is_own_origin
from clinical_app.admission.upload_limits import UploadLimits, held_by_streamlit
from clinical_app.neighbours import is_neighbour
from clinical_app.settings import ViewerSettings

SESSION_COOKIE = "cxr_session"

# Streamlit's page needs inline styles; components are modules that it loads from blob: URLs.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
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
_HEALTH = "/cxr/health"
_UPLOAD = "/_stcore/upload_file/"
_CLOSED = ("/media/", "/_stcore/metrics")
"""Paths of Streamlit that no page here needs: its files are open to whoever has the link."""
_SAFE = ("GET", "HEAD", "OPTIONS")

_Refusal = tuple[int, str]


class Guard:
    """Middleware around Streamlit and our own routes.

    Args:
        app: What it guards.
        settings: Names of the viewer, and how a proxy proves itself.
        grants: Whose session a cookie is of.
        held: Bytes of uploads in memory, by tab.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ViewerSettings,
        grants: Grants,
        held: Callable[[], Mapping[str, int]] = held_by_streamlit,
    ) -> None:
        self.app = app
        self.settings = settings
        self.grants = grants
        self.limits = UploadLimits(settings.upload_mib_per_person, settings.upload_mib, held)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on and add headers and cookie to the answer."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"].removeprefix(self.settings.base_path)
        refusal = None if path == _HEALTH else self._refusal(scope, headers, path)
        if scope["type"] == "websocket":
            if refusal:
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return
        send = self._dressed(scope, headers, path, send)
        if refusal:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)
        elif path.startswith(_UPLOAD) and scope["method"] not in _SAFE:
            await self._take_upload(scope, headers, path, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers, path: str) -> _Refusal | None:
        """Status and sentence for what must not come in; None for what may."""
        if self.settings.trusts_user and is_neighbour(scope.get("client")):
            return 403, "Another account of this computer started this viewer. Start your own."
        if not is_known_host(headers, self.settings.hosts):
            return 400, "This viewer has another name: see allowed_hosts in [viewer]."
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
        asks = "origin" in headers or scope["type"] == "websocket"
        if changes and asks and not is_own_origin(headers):
            return 403, "Only the viewer's own pages may ask for this."
        if path.startswith(_CLOSED):
            return 404, "Nothing is kept here."
        if self.settings.authentication == "proxy" and not self._proxy_user(headers):
            return 403, "Sign in through the proxy of this site."
        return None

    def _proxy_user(self, headers: Headers) -> str:
        return proxy_user(headers.items(), self.settings)

    async def _take_upload(
        self, scope: Scope, headers: Headers, path: str, receive: Receive, send: Send
    ) -> None:
        """Let a file in of somebody whose page is open and whose role includes it, if it fits."""
        who = self.grants.person(_session(headers))
        named = self._proxy_user(headers)
        if who is None or not who.may("upload"):
            refusal: _Refusal | None = 403, "Sign in, and open the upload page."
        elif self.settings.authentication == "proxy" and identify(named, self.settings) != who:
            refusal = 403, "Somebody else signed in. Open the upload page again."
        elif scope["method"] == "DELETE":
            refusal = None
        elif not headers.get("content-length", "").isdecimal():
            refusal = 411, "Say how large the file is (Content-Length)."
        else:
            tab = path.removeprefix(_UPLOAD).partition("/")[0]
            with self.limits.room(who.user, tab, int(headers["content-length"])) as fits:
                if fits:
                    await self.app(scope, receive, send)
                    return
            refusal = 413, "There is no room for this file now. Close a tab with another upload."
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)

    def _dressed(self, scope: Scope, headers: Headers, path: str, send: Send) -> Send:
        """Send answers with our headers, and cookies that stay in TLS where there is TLS."""
        fresh = "" if _session(headers) else secrets.token_urlsafe(24)
        secure = self._is_tls(scope, headers)
        policy = _with_sockets(headers.get("host", ""), secure=secure)

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer[name] = value
                answer["Content-Security-Policy"] = policy
                del answer["Access-Control-Allow-Origin"]  # pages of others read nothing here
                if path.startswith("/cxr/"):
                    answer["Cache-Control"] = "no-store"
                if fresh:
                    place = self.settings.base_path or "/"
                    cookie = f"{SESSION_COOKIE}={fresh}; Path={place}; HttpOnly; SameSite=Lax"
                    answer.append("Set-Cookie", cookie)
                if secure:
                    message["headers"] = [_secured(*header) for header in message["headers"]]
            await send(message)

        return send_dressed

    def _is_tls(self, scope: Scope, headers: Headers) -> bool:
        """Whether the browser speaks TLS: with us, or with whom we know to stand before us."""
        if scope.get("scheme") == "https":
            return True
        if self.settings.authentication == "oidc":
            return self.settings.oidc["redirect_uri"].startswith("https://")
        proves = self.settings.authentication == "proxy" and bool(self._proxy_user(headers))
        return proves and headers.getlist("x-forwarded-proto")[-1:] == ["https"]


def _session(headers: Headers) -> str:
    """Value of the session cookie, or ``""``."""
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(SESSION_COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _with_sockets(host: str, *, secure: bool) -> str:
    """The policy, with the viewer's own websocket named: not all browsers take 'self' for it."""
    if not hostname(host) or any(sign in host for sign in " ;,'\""):
        return _POLICY
    scheme = "wss" if secure else "ws"
    return _POLICY.replace("connect-src 'self'", f"connect-src 'self' {scheme}://{host}")


def _secured(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name.lower() != b"set-cookie" or b"; secure" in value.lower():
        return name, value
    return name, value + b"; Secure"
