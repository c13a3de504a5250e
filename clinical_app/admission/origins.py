"""Origins: whether a request is for this viewer, and comes from one of its own pages."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_known_host(headers: Headers, hosts: Sequence[str]) -> bool:
    """Whether a request names this viewer, once; a page of another name may be a rebound one.

    Args:
        headers: Headers of the request.
        hosts: Names without a port, ``"*.example.org"`` for those below one; empty: any.
    """
    named = headers.getlist("host")
    name = hostname(named[0]) if len(named) == 1 else ""
    return bool(name) and (not hosts or any(_is_called(name, host) for host in hosts))


def hostname(host: str) -> str:
    """The name in a Host header; ``""`` where it is none."""
    try:
        split = urlsplit(f"//{host}")
        _ = split.port  # a port that is no number is an error
    except ValueError:
        return ""
    if split.netloc != host or "@" in host or not host.isascii() or not host.isprintable():
        return ""
    return (split.hostname or "").rstrip(".")


def _is_called(name: str, host: str) -> bool:
    known = host.strip().lower().rstrip(".").strip("[]")
    return name == known or known == "*" or (known[:2] == "*." and name.endswith(known[1:]))


def is_own_origin(headers: Headers) -> bool:
    """Whether the page that asks is one of this viewer: of the same host and port (RFC 6454)."""
    origins = headers.getlist("origin")
    if len(origins) != 1:
        return False
    scheme, _, netloc = origins[0].lower().partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    host = headers.get("host", "").lower()
    return default is not None and netloc.removesuffix(default) == host.removesuffix(default)
