"""Quiet: what libraries would say of a file while it is read stays in: it can quote a patient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_quiet: ContextVar[bool] = ContextVar("monai_cxr_quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the parser's warnings and log lines in: they can quote a header's values."""
    token = _quiet.set(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _quiet.reset(token)


def _let_out(record: logging.LogRecord) -> bool:
    return not _quiet.get()


def keep_quiet(prefix: str) -> None:
    """Filter the loggers of a library while :func:`quiet` is in force.

    A filter of a logger does not see the records of its children: each gets its own.

    Args:
        prefix: Name of the library, whose modules have been imported.
    """
    for name in [prefix, *logging.root.manager.loggerDict]:
        logger = logging.getLogger(name)
        if name.partition(".")[0] == prefix and _let_out not in logger.filters:
            logger.addFilter(_let_out)
