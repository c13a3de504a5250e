"""Access: who is at the screen, what their role lets them do, and when a session is locked."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clinical_app.settings import ROLES, ViewerSettings

PERMISSIONS: Mapping[str, frozenset[str]] = {
    "viewer": frozenset({"account", "worklist", "read", "model"}),
    "reader": frozenset({"account", "worklist", "read", "model", "review", "upload", "monitoring"}),
    "operator": frozenset({"account", "model", "monitoring", "operations", "acknowledge"}),
    "admin": frozenset(
        {"account", "worklist", "read", "model", "review", "upload", "monitoring", "operations"}
        | {"acknowledge", "audit"}
    ),
}
"""What each role may do. An operator keeps the service running and sees thumbnails at most."""

DUTIES: Mapping[str, str] = {
    "worklist": "see the worklist",
    "read": "open films, heatmaps and reports",
    "review": "judge findings and finish studies",
    "upload": "have a film read that is dropped in",
    "model": "see what is known of the model",
    "monitoring": "see how the model behaves",
    "acknowledge": "close an alarm, with what was done",
    "operations": "see the queue and try again what failed",
    "audit": "see who saw what",
}
"""Permissions in words, in the order of a reader's day."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the screen.

    Attributes:
        user: Login name or address; it is stored with reviews and audit, never logged.
        role: One of viewer, reader, operator and admin; ``""`` for a stranger.
    """

    user: str
    role: str

    def may(self, permission: str) -> bool:
        """Whether the role includes a permission."""
        return permission in PERMISSIONS.get(self.role, frozenset())

    def __repr__(self) -> str:
        """The role alone."""
        return f"Identity(role={self.role!r})"


def local_identity(user: str, settings: ViewerSettings) -> Identity:
    """Whoever uses this machine, if the viewer listens to nobody else."""
    return Identity(user, settings.local_role)


def identify(user: str, settings: ViewerSettings, claim: object = None) -> Identity:
    """The role of an authenticated user.

    Args:
        user: Login name or address, as the identity provider or the proxy states it.
        settings: Who has which role.
        claim: Value of the role claim: one role, or several of which the most powerful counts.

    Returns:
        An identity, with an empty role for a user whom nothing names.
    """
    name = user.strip().casefold()
    if not name:
        return Identity("", "")
    listed = [role for role in ROLES if name in settings.roles.get(role, ())]
    claimed = claim if isinstance(claim, list | tuple) else [claim]
    named = listed or [role for role in ROLES if role in claimed]
    return Identity(name, named[-1] if named else settings.default_role)


def proxy_user(headers: Iterable[tuple[str, str]], settings: ViewerSettings) -> str:
    """The user whom a trusted proxy names; ``""`` where its secret is not right.

    A header that comes twice names nobody: one of the two is the client's own.

    Args:
        headers: Headers of the request, name and value, each as often as it was sent.
        settings: Name of the header, and the secret.
    """
    sent = [(name.lower(), value) for name, value in headers]
    secrets = [value for name, value in sent if name == "x-viewer-secret"]
    users = [value for name, value in sent if name == settings.proxy_header.lower()]
    if len(secrets) != 1 or len(users) != 1:
        return ""
    if not hmac.compare_digest(secrets[0].encode(), settings.proxy_secret.encode()):
        return ""
    return users[0]
