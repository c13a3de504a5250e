"""A planted clock: ``time.time`` is off by the seconds that the file named by CXR_CLOCK holds.

With this folder in PYTHONPATH, Python imports this module when it starts. The soak writes the file,
and the clock of the running process jumps.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_real, _path, _seen = time.time, os.environ.get("CXR_CLOCK", ""), [0.0, 0.0]


def _time() -> float:
    now = _real()
    if now - _seen[0] > 0.2:
        try:
            offset = float(Path(_path).read_text() or 0)
        except (OSError, ValueError):
            offset = 0.0
        _seen[:] = [now, offset]
    return now + _seen[1]


if _path:
    time.time = _time
