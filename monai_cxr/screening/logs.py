"""Logs: one JSON object a line, without a patient in it.

Libraries quote header values in their messages and warnings, so nothing they say is let through as
it is: of a foreign record only its logger, level and place remain. Our own records consist of a
fixed sentence and named fields, and only the fields of :data:`FIELDS` are written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import warnings
from datetime import datetime, timezone
from typing import Any, TextIO

FIELDS = (
    *("film", "delivery", "n", "state", "error", "reason", "status", "kind", "destination"),
    *("outcome", "uid_hash", "source", "signal", "port", "model", "version", "seconds", "attempts"),
)
"""Names of the fields that our records may carry."""

_OURS = "monai_cxr"


def uid_hash(uid: str) -> str:
    """What stands for a UID in a log: the first 12 hexadecimal digits of its SHA-256."""
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
    logging.captureWarnings(True)
    silence_libraries()


def silence_libraries() -> None:
    """Keep the libraries that know patients from printing what they read."""
    for name in ("pydicom", "pynetdicom", "highdicom", "dicomweb_client", "PIL", "py.warnings"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"(pydicom|pynetdicom|highdicom|PIL)\b")
    pynetdicom = sys.modules.get("pynetdicom._config")
    if pynetdicom is not None:
        pynetdicom.LOG_REQUEST_IDENTIFIERS = False  # type: ignore[attr-defined]
        pynetdicom.LOG_RESPONSE_IDENTIFIERS = False  # type: ignore[attr-defined]
