"""Presence: who has which study open now, told by their browsers; forgotten within a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

STAYS_SECONDS = 50.0
"""How long a reader counts as reading after the last word of their browser."""


class Presence:
    """Who reads what; in memory only, one study a reader and browser.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._at: dict[tuple[str, str], tuple[str, float]] = {}  # (user, tab) -> study, when

    def reads(self, user: str, tab: str, study: str) -> None:
        """Note that a reader has a study open; ``""`` for none."""
        with self._lock:
            self._forget_old()
            if study:
                self._at[user, tab] = (study, self._clock())
            else:
                self._at.pop((user, tab), None)

    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """Readers by study, in alphabetical order."""
        found: dict[str, set[str]] = {}
        with self._lock:
            self._forget_old()
            for (user, _tab), (study, _at) in self._at.items():
                found.setdefault(study, set()).add(user)
        return {study: tuple(sorted(users)) for study, users in found.items()}

    def of(self, study: str) -> tuple[str, ...]:
        """Who reads a study."""
        return self.readers().get(study, ())

    def _forget_old(self) -> None:
        oldest = self._clock() - STAYS_SECONDS
        self._at = {key: value for key, value in self._at.items() if value[1] >= oldest}
