"""Grants: links to films that work in one browser session only, for one user, for a while.

A page checks the role and then grants a link; the route honours it only for the session cookie it
was made for. A copied link is refused everywhere else, and so is a link older than the idle time.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from clinical_app.admission.access import Identity
from monai_cxr.review.uploads import Owner

_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What a link allows.

    Attributes:
        kind: ``"worklist"``, ``"case"``, ``"thumbnail"``, ``"reviews"`` or
            ``"label_audit"``.
        case_id: Which case, or ``""``.
        session: Value of the session cookie.
        identity: For whom.
    """

    kind: str
    case_id: str
    session: str
    identity: Identity

    @property
    def owner(self) -> Owner:
        """Owner of the uploads that it can reach."""
        return Owner(self.session, self.identity.user)


@dataclass(frozen=True, slots=True)
class _Use:
    """The last use of a session, and whose it is."""

    at: float
    identity: Identity | None


class Grants:
    """All links that were given out.

    Args:
        idle_seconds: After so long without use of its session a link ends.
        clock: Seconds that never go back.
    """

    def __init__(self, idle_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: OrderedDict[Grant, str] = OrderedDict()
        self._grants: dict[str, Grant] = {}
        self._used: OrderedDict[str, _Use] = OrderedDict()

    def give(self, kind: str, case_id: str, session: str, identity: Identity) -> str:
        """A link's token; the same for the same request, so that pages do not flicker."""
        grant = Grant(kind, case_id, session, identity)
        with self._lock:
            token = self._tokens.get(grant)
            if token is None:
                token = secrets.token_urlsafe(24)
                self._tokens[grant] = token
                self._grants[token] = grant
            self._tokens.move_to_end(grant)
            while len(self._tokens) > _MOST:
                _, oldest = self._tokens.popitem(last=False)
                del self._grants[oldest]
            return token

    def check(self, token: str, session: str) -> Grant | None:
        """What a token allows in a session; None when it is unknown, another's, or too old."""
        with self._lock:
            grant = self._grants.get(token)
            if grant is None or not session or not secrets.compare_digest(grant.session, session):
                return None
            if self._is_idle(session):
                return None
            return grant

    def use(self, session: str, identity: Identity | None = None) -> None:
        """Note that a person uses a session now.

        Args:
            session: Value of its cookie.
            identity: Whose session it is; links of whoever had it before end. None: as before.
        """
        with self._lock:
            before = self._used.get(session)
            owner = identity or (before.identity if before else None)
            if before is not None and before.identity not in (None, owner):
                self._end(session)
            self._used[session] = _Use(self._clock(), owner)
            self._used.move_to_end(session)
            while len(self._used) > _MOST:
                self._used.popitem(last=False)

    def is_idle(self, session: str) -> bool:
        """Whether a session was used, and then not for too long."""
        with self._lock:
            return self._is_idle(session)

    def idle_seconds_left(self, session: str) -> float:
        """After how long without use a session is locked; 0 where it is, or is not known."""
        with self._lock:
            used = self._used.get(session)
            return 0.0 if used is None else max(used.at + self._idle - self._clock(), 0.0)

    def person(self, session: str) -> Identity | None:
        """Person of a session; None if nobody signed in, or nobody used it for too long."""
        with self._lock:
            used = self._used.get(session)
            return None if used is None or self._is_idle(session) else used.identity

    def was_locked(self, session: str) -> bool:
        """Whether somebody locked a session, as opposed to leaving it."""
        with self._lock:
            used = self._used.get(session)
            return used is not None and used.at == -math.inf

    def _is_idle(self, session: str) -> bool:
        used = self._used.get(session)
        return used is not None and self._clock() - used.at > self._idle

    def lock(self, session: str) -> None:
        """Treat a session as one that nobody used for too long."""
        with self._lock:
            used = self._used.get(session)
            if used is not None:
                self._used[session] = _Use(-math.inf, used.identity)

    def end(self, session: str) -> None:
        """Take all links of a session back."""
        with self._lock:
            self._end(session)

    def _end(self, session: str) -> None:
        for grant in [grant for grant in self._tokens if grant.session == session]:
            del self._grants[self._tokens.pop(grant)]
        self._used.pop(session, None)
