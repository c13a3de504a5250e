"""Supervision: the parts of a service as threads; one that ends unasked ends the service.

A service that lives on without its worker or its listener looks well from outside and loses a day;
one that ends is started again by systemd or its like. A ledger that goes away for a while is waited
for.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.exc import InterfaceError, OperationalError

from monai_cxr.errors import CXRError
from monai_cxr.screening.ledger.database import DISK_FULL, reason_of

_OUTAGE_SECONDS = 2.0
_WAITING_SECONDS = 15.0
"""A part that its ledger failed within this time waits for it; connecting alone may take 10 s."""

_log = logging.getLogger(__name__)


class ServiceFailed(CXRError):
    """A part of the service ended by an error that nobody expected."""


@dataclass(slots=True)
class Supervision:
    """Running parts.

    Attributes:
        stop: Set to end all of them; set by the first that ends untold.
    """

    stop: threading.Event
    _threads: dict[str, threading.Thread] = field(default_factory=dict, init=False)
    _dead: dict[str, CXRError] = field(default_factory=dict, init=False)
    _outages: dict[str, float] = field(default_factory=dict, init=False)
    _progress: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)

    def start(self, name: str, part: Callable[[], None]) -> None:
        """Run a part in its own thread, again and again until told to stop."""

        def run() -> None:
            try:
                while not self.stop.is_set():
                    self._attempt(name, part)
            except CXRError as error:
                self._dead[name] = error
            finally:
                if not self.stop.is_set():
                    self._end(name, sys.exc_info()[0])

        self._threads[name] = threading.Thread(target=run, name=name)
        self._threads[name].start()

    def join(self) -> None:
        """Wait until every part has ended; give the word first.

        Raises:
            CXRError: What ended a part, where none was told to.
        """
        for thread in self._threads.values():
            thread.join()
        for error in self._dead.values():
            raise error

    def progressed(self, name: str, *, within: float) -> None:
        """Note that a part has got on.

        Args:
            name: The part.
            within: Seconds after which it should say so again; :meth:`unfit` names it otherwise.
        """
        self._progress[name] = time.monotonic(), within

    def unfit(self) -> list[str]:
        """Why nobody should count on this process: parts that have stopped, wait, or get stuck."""
        if self.stop.is_set():
            return [f"{name} has stopped" for name in self._dead] or ["the service is stopping"]
        now = time.monotonic()
        waiting = [
            f"{name} waits for the ledger"
            for name, at in self._outages.items()
            if now - at < _WAITING_SECONDS
        ]
        stuck = [
            f"{name} has got no further for {now - at:.0f} s"
            for name, (at, within) in self._progress.items()
            if now - at > within
        ]
        return waiting + stuck

    def _attempt(self, name: str, part: Callable[[], None]) -> None:
        try:
            part()
        except (OperationalError, InterfaceError) as error:
            self._outages[name] = time.monotonic()
            is_full = reason_of(error) == DISK_FULL
            said = "the ledger's disk is full" if is_full else "the ledger does not answer"
            _log.error(said, extra={"error": type(error).__name__, "reason": reason_of(error)})
            self.stop.wait(_OUTAGE_SECONDS)

    def _end(self, name: str, kind: type[BaseException] | None) -> None:
        what = "" if kind is None else f" by an unexpected {kind.__name__}"
        self._dead.setdefault(
            name,
            ServiceFailed(
                f"The part '{name}' ended{what}, so the service stopped. Nothing that was accepted "
                "is lost: start it again."
            ),
        )
        _log.error("a part has stopped", extra={"part": name.partition(" ")[0]})
        self.stop.set()
