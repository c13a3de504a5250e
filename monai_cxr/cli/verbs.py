"""Verbs: the module of each; it is imported, and its options are built, when the verb is asked for.

So a verb does not wait for the others, however many there are.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup

_MONITOR = "monitoring.monitor monitoring.concordance budget"

VERBS = {
    **dict.fromkeys(("phantom", "split", "cache"), "data"),
    **dict.fromkeys(("train", "package", "ensemble", "verify"), "train"),
    "predict": "predict",
    **dict.fromkeys(("calibrate", "thresholds"), "calibrate"),
    "baseline": "monitoring.baseline",
    **dict.fromkeys(("export", "bench"), "speed"),
    **dict.fromkeys(("evaluate", "compare"), "evaluate"),
    "explain": "explain",
    "surveillance": "monitoring.surveillance",
    "deidentify": "deidentify",
    **dict.fromkeys(("retrain", "shadow", "promote", "rollback"), "change"),
    "accept": "accept",
    **dict.fromkeys(("runs", "search", "fetch"), "experiment"),
    **dict.fromkeys(("pretrain", "probe", "few-shot"), "learn"),
    "demo": "demo",
    "view": "view",
    "index": "index",
    "labels": "labels",
    "screen": "screen",
    "monitor": _MONITOR,
    **dict.fromkeys(("plan", "registry"), "change"),
}
"""Verb: modules of ``monai_cxr.cli`` that register it, in the order of the help."""


class Verbs(TyperGroup):
    """All verbs, each built at its first use."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands()


class _Commands(MutableMapping[str, Any]):
    """A command for each verb; only :data:`VERBS` says which there are."""

    def __getitem__(self, name: str) -> Any:
        return _built(VERBS[name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)

    def __contains__(self, name: object) -> bool:
        return name in VERBS

    def __setitem__(self, name: str, command: Any) -> None:
        raise TypeError(f"A verb such as '{name}' is added in monai_cxr/cli/verbs.py.")

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"A verb such as '{name}' is removed in monai_cxr/cli/verbs.py.")


@cache
def _built(modules: str) -> MutableMapping[str, Any]:
    """Commands that some modules register."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.callback()(_nothing)  # a group, also where there is one verb
    for module in modules.split():
        importlib.import_module(f"monai_cxr.cli.{module}").register(app)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands


def _nothing() -> None:
    pass
