"""Model history: which model was in use when, why that changed, by whom, and what it read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from monai_cxr.lifecycle.registry import REGISTRY_NAME, Event, Registry, open_registry
from monai_cxr.screening.watching.model_spans import ModelSpan

_DIGITS = 12
_WORDS = {
    "add": "Came into the registry",
    "attempt": "Was judged by the gate",
    "shadow": "Read beside the champion",
    "promote": "Came into use",
    "rollback": "Came back into use",
}


def registry_of(bundle: Path | str | None) -> Path | None:
    """The registry that a bundle's path leads through, as ``registry/champion`` does; or None."""
    if bundle is None:
        return None
    folder = Path(bundle).parent
    return folder if (folder / REGISTRY_NAME).is_file() else None


def read_history(folder: Path) -> Registry:
    """The registry as it stands.

    Raises:
        SettingsError: If it is damaged, or an event was changed.
    """
    return open_registry(folder)


def history_rows(registry: Registry | None, spans: Sequence[ModelSpan]) -> list[dict[str, str]]:
    """Rows of a table, the newest first.

    Args:
        registry: Or None, where there is none: then the ledger alone says what ran.
        spans: What each model read; ``()`` without a ledger.
    """
    read = {one.digest: one for one in spans}
    if registry is None:
        return [
            {"Model": _name(one.digest, read), "Digest": one.digest[:_DIGITS], "Read": _read(one)}
            for one in reversed(spans)
        ]
    return [_row(event, read) for event in reversed(registry.events)]


def in_use(registry: Registry, digest: str) -> str:
    """Since when which model is in use, and whether the loaded one is that.

    Args:
        registry: The registry.
        digest: Of the loaded model; ``""`` without one.
    """
    if not registry.champions:
        return "No model of the registry is in use."
    changed = next(e for e in reversed(registry.events) if e.action in ("promote", "rollback"))
    champion = registry.champions[-1]
    words = f"{champion[:_DIGITS]} is in use since {_when(changed.at)}, by {changed.by}"
    words += f": {changed.reason.rstrip('.')}." if changed.reason else "."
    if digest and digest != champion:
        words += f" This viewer has another one loaded ({digest[:_DIGITS]}); restart it."
    return words


def _row(event: Event, read: dict[str, ModelSpan]) -> dict[str, str]:
    span = read.get(event.version)
    return {
        "When": _when(event.at),
        "Model": event.version[:_DIGITS] or "-",
        "What": _WORDS.get(event.action, event.action),
        "By": event.by,
        "Why": event.reason or "-",
        "Read so far": _read(span) if span is not None else "-",
    }


def _name(digest: str, read: dict[str, ModelSpan]) -> str:
    return f"{read[digest].name} {read[digest].version}".strip() or digest[:_DIGITS]


def _read(span: ModelSpan) -> str:
    first, last = (
        time.strftime("%d %b %Y", time.gmtime(at)) for at in (span.first_at, span.last_at)
    )
    return f"{span.n:,} films, {first}" + (f" to {last}" if last != first else "")


def _when(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%d %b %Y, %H:%M")
