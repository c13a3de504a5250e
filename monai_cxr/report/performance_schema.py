"""Performance schema: the JSON Schema of ``performance.json``, of the version in use."""

from __future__ import annotations

import json
from importlib.resources import files

PERFORMANCE_SCHEMA: dict[str, object] = json.loads(
    files("monai_cxr.report").joinpath("performance.schema.json").read_text(encoding="utf-8")
)
"""Any field that ``performance.json`` has, and no other; a number that is not known is null."""
