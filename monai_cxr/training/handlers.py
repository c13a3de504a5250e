"""Handlers: one that the config names by its id, in a list that others may add to."""

from __future__ import annotations

from typing import Protocol

from ignite.engine import Engine


class Handler(Protocol):
    """What MONAI's engines take as a handler."""

    def attach(self, engine: Engine) -> None:
        """Register with an engine."""


class NamedHandler:
    """A handler with its own id, at its place among the others.

    Other parts of a config refer to the id, never to a position in the list, so that a handler may
    be put before the others, as MONAI Label does. MONAI expects a class in each place of the list,
    which a bare reference is not.

    Args:
        handler: A reference such as ``"@train::checkpoint"``.
    """

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def attach(self, engine: Engine) -> None:
        """Register the handler."""
        self.handler.attach(engine)
