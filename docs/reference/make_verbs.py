"""Write verbs.md, the reference of the command line, from the code.

    python docs/reference/make_verbs.py

A test fails while the page and the code differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from monai_cxr.cli import app

PAGE = Path(__file__).with_name("verbs.md")
HEAD = """# The verbs

This page is written from the code by `python docs/reference/make_verbs.py`.

Each verb works alone, explains itself with `--help`, and prints JSON with `--json` where it prints
at all. `monai-cxr --install-completion` lets the shell complete verbs and options with Tab (bash, zsh,
fish, PowerShell). The exit status is 0 (done), 1 (the input is wrong), 2 (the command line is wrong) or 3 (our
fault).
"""


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every verb with its full name, in the order of ``--help``."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield f"{prefix}{name}", command


def page() -> str:
    """The whole page."""
    verbs = list(commands(typer.main.get_command(app)))
    rows = [
        f"| [`{name}`](#{_anchor(name)}) | {_cell(_first(command.help))} |"
        for name, command in verbs
    ]
    sections = [_section(name, command) for name, command in verbs]
    return "\n".join([HEAD, "| verb | what it does |", "|---|---|", *rows, "", *sections])


def _section(name: str, command: Any) -> str:
    text = _plain(command.help)
    body, _, example = text.partition("Example: ")
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    words = [_argument(one) for one in arguments] + ["[OPTIONS]"] * bool(options)
    lines = [f"## {name}", "", f"    monai-cxr {' '.join([name, *words])}", "", body.strip(), ""]
    if example:
        lines += ["For example:", "", *(f"    {line.strip()}" for line in example.splitlines()), ""]
    rows = [f"| `{_argument(one)}` | {_cell(_help(one))} | |" for one in arguments]
    rows += [_option(one) for one in options]
    if rows:
        lines += ["| argument or option | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _first(text: str | None) -> str:
    """The first sentence of a help text."""
    return re.split(r"[.;](?:\s|$)", _plain(text), maxsplit=1)[0] + "."


def _argument(parameter: Any) -> str:
    word = (parameter.metavar or parameter.human_readable_name).upper()
    word = word.strip("[].")
    word += "..." if parameter.nargs == -1 else ""
    return word if parameter.required else f"[{word}]"


def _option(option: Any) -> str:
    names = ", ".join(f"`{one}`" for one in (*option.opts, *option.secondary_opts))
    default = option.default
    is_said = default not in (None, (), []) and not isinstance(default, bool)
    shown = "required" if option.required else default if is_said else ""
    return f"| {names} | {_cell(_help(option))} | {_cell(str(shown))} |"


def _help(parameter: Any) -> str:
    return _plain(getattr(parameter, "help", None))


def _plain(text: str | None) -> str:
    """Help text without rich's marks."""
    return re.sub(r"\[/?(b|i|bold|dim|italic)\]", "", text or "").replace("\x08", "").strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
