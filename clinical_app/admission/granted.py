"""Granted: routes behind a granted link, and the calm sentences where there is no answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from clinical_app import service as services
from clinical_app.admission.access import identify, proxy_user
from clinical_app.admission.grants import Grant
from clinical_app.admission.security import SESSION_COOKIE
from clinical_app.service import Service
from monai_cxr.errors import BundleError, DeliveryError, InputError, MissingDependency
from monai_cxr.review.film_packing import unzipped, unzipped_size

_LARGEST_REVIEW = 64 * 1024
_BYTES = "application/octet-stream"

Handler = Callable[[Service, Grant, Request], Response]


def refused(status: int, sentence: str) -> Response:
    """An answer that says why the request was refused."""
    return JSONResponse({"message": sentence}, status_code=status)


def allowed(request: Request, kind: str, permission: str) -> Grant | None:
    """What a link allows this request; None where it is not of its session, kind or role."""
    service = services.current()
    session = request.cookies.get(SESSION_COOKIE, "")
    grant = service.grants.check(request.path_params["token"], session)
    if grant is None or grant.kind != kind or not grant.identity.may(permission):
        return None
    if service.settings.authentication == "proxy":
        named = proxy_user(request.headers.items(), service.settings)
        if identify(named, service.settings) != grant.identity:
            return None  # the proxy names somebody else in the same browser now
    return grant


def granted(kind: str, permission: str, handler: Handler) -> Callable[[Request], Response]:
    """A route for whoever holds a link of a kind, and has the permission."""

    @wraps(handler)
    def route(request: Request) -> Response:
        grant = allowed(request, kind, permission)
        if grant is None:
            return denied()
        return answered(lambda: handler(services.current(), grant, request))

    return route


def denied() -> Response:
    """For a link of another session."""
    return refused(403, "This link does not belong to your session. Open the study again.")


def answered(make: Callable[[], Response]) -> Response:
    """An answer, or a calm sentence about why there is none."""
    try:
        return make()
    except InputError as error:
        return refused(422, str(error))
    except (BundleError, MissingDependency) as error:
        return refused(409, str(error))
    except DeliveryError as error:
        return refused(503, str(error))


def pixels(content: bytes, request: Request) -> Response:
    """Pixels in gzip, as they are kept; plain for who does not take it."""
    if not content:
        return Response(b"", media_type=_BYTES)
    takes = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Content-Encoding": "gzip" if takes else "identity", "Vary": "Accept-Encoding"}
    headers["X-Film-Bytes"] = str(unzipped_size(content))  # how far it has come, a browser can tell
    return Response(content if takes else unzipped(content), media_type=_BYTES, headers=headers)


def posted(kind: str, handler: Callable[[Service, Grant, Any], Response]) -> Any:
    """A route that takes a JSON value of a reader who may judge."""

    async def route(request: Request) -> Response:
        grant = allowed(request, kind, "review")
        if grant is None:
            return denied()
        if not request.headers.get("content-type", "").startswith("application/json"):
            return refused(415, "Expected JSON.")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_REVIEW:
                return refused(413, "The review is too long.")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):  # nested deeper than any review
            return refused(422, "Expected JSON of a review.")
        service = services.current()
        return await run_in_threadpool(answered, lambda: handler(service, grant, content))

    return route


def csv_file(table: bytes, name: str) -> Response:
    """A table to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(table, media_type="text/csv", headers=headers)
