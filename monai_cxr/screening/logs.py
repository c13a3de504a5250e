"""Logs: one JSON object per line, without a patient in it.

Libraries quote header values in their messages and warnings, so nothing they say is let through as
it is: of a foreign record only its logger, level and place remain. Our own records consist of a
fixed sentence and named fields, and only the fields of :data:`FIELDS` are written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import threading
import traceback
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

FIELDS = (
    *("film", "delivery", "n", "state", "error", "reason", "status", "kind", "destination"),
    *("part", "outcome", "uid_hash", "source", "signal", "port", "model", "version", "seconds"),
    "attempts",
)
"""Names of the fields that our records may carry."""

_OURS = "monai_cxr"


def uid_hash(uid: str) -> str:
    """What replaces a UID in a log: the first 12 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(uid.encode()).hexdigest()[:12]


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; exceptions as their kinds, never as their texts."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object without a line break."""
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger": record.name,
        }
        if record.name.partition(".")[0] == _OURS:
            content["message"] = record.msg if isinstance(record.msg, str) else ""
            values = record.__dict__
            content |= {name: values[name] for name in FIELDS if name in values}
        else:
            content["message"] = "(text of a library, withheld)"
            content["at"] = f"{record.module}:{record.lineno}"
        if record.exc_info and record.exc_info[0] is not None:
            content["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            content |= (
                {"at": f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"} if frames else {}
            )
        return json.dumps(content, default=str)


def configure(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every record of this process through :class:`JsonFormatter`, warnings too."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level)
    threading.excepthook = _log_death
    silence_libraries()


def _log_death(death: threading.ExceptHookArgs) -> None:
    """What Python prints of a thread that died, with the exception's text, as a record of ours."""
    if death.exc_value is not None:
        error = (death.exc_type, death.exc_value, death.exc_traceback)
        logging.getLogger(_OURS).error("a thread ended by an unexpected error", exc_info=error)


def silence_libraries() -> None:
    """Keep the libraries that know patients from printing what they read, also as a warning."""
    logging.captureWarnings(True)
    for name in ("pydicom", "pynetdicom", "highdicom", "dicomweb_client", "PIL", "py.warnings"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL)
    pynetdicom = sys.modules.get("pynetdicom._config")
    if pynetdicom is not None:
        pynetdicom.LOG_REQUEST_IDENTIFIERS = False  # type: ignore[attr-defined]
        pynetdicom.LOG_RESPONSE_IDENTIFIERS = False  # type: ignore[attr-defined]
