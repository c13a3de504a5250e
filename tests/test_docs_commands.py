"""Every command line that the documentation shows is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from rich.text import Text

from monai_cxr.cli import app

ROOT = Path(__file__).resolve().parents[1]
MADE = ("decisions", "reference")
"""Records of their time, and pages that are written from the code."""

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted(page for page in ROOT.glob("docs/**/*.md") if page.parent.name not in MADE),
    *sorted(ROOT.glob("bundles/*/docs/*.md")),
]
SHAPE = re.compile(r"\[OPTIONS\]|\.\.\.|\b[A-Z]+\b.*\[|\[--")
"""A usage line or a shortened one, not something to type."""


def commands(page: Path) -> list[list[str]]:
    """Words of the command lines in a page; a pipe, a comment or a shell part ends one."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?: {4,}|\t)?(?:\$ )?(monai-cxr .*)$", text, re.MULTILINE)
    found = []
    for line in lines:
        if not SHAPE.search(line):
            words = shlex.split(line, comments=True)
            ends = [i for i, word in enumerate(words) if word in ("|", "&&", ">", ";", "&")]
            found.append(words[: min(ends, default=len(words))])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page):
    for words in commands(page):
        command, rest = typer.main.get_command(app), words[1:]
        while rest and rest[0] in getattr(command, "commands", ()):
            command, rest = command.commands[rest[0]], rest[1:]
        assert len(rest) < len(words) - 1, " ".join(words)
        if not hasattr(command, "commands"):
            command.make_context(words[0], list(rest))


def test_there_are_many():
    assert sum(len(commands(page)) for page in PAGES) > 60


def test_no_help_of_an_option_is_taken_for_markup():
    """What stands in brackets would be read as a style, and not be shown."""
    waiting, taken = [typer.main.get_command(app)], []
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        texts = [(param.name, getattr(param, "help", "") or "") for param in command.params]
        taken += [
            (command.name, name) for name, text in texts if Text.from_markup(text).plain != text
        ]
    assert taken == []
