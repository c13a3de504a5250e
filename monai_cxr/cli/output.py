"""Output: tables and progress for people on stderr and stdout, one JSON object for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, JustifyMethod
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

_STDOUT = Console(highlight=False, soft_wrap=True)
_STDERR = Console(stderr=True, highlight=False)


class _RateColumn(ProgressColumn):
    """Things a second, over the whole run."""

    def render(self, task: Task) -> Text:
        """Empty until something is done."""
        known = bool(task.elapsed) and task.completed > 0
        return Text(f"{task.completed / (task.elapsed or 1):.1f}/s" if known else "")


@contextmanager
def progress(what: str, *, rate: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; gives a function of (done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *((_RateColumn(),) if rate else ()),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_STDERR, transient=not _STDERR.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def say(text: str) -> None:
    """A line on stdout."""
    _STDOUT.print(text, markup=False)


def note(text: str) -> None:
    """Print a line on stderr that is not part of the result."""
    _STDERR.print(text, markup=False, soft_wrap=True)  # a command must stay one line to be copied


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; numbers are right-aligned.

    Where the terminal is too narrow for the words of all columns, the rest of the columns follow in
    further tables that begin with the first column again: a word is broken only where it is longer
    than a line.
    """
    cells = [[_text(value) for value in row] for row in rows]
    texts = [[name, *(row[i] for row in cells)] for i, name in enumerate(columns)]
    least = [max((len(w) for text in column for w in text.split()), default=1) for column in texts]
    for number, group in enumerate(_groups(least, _STDOUT.width)):
        table = Table(
            title=Text(title) if title and number == 0 else None,  # values are not markup
            title_justify="left",
            header_style="bold",
        )
        spare = _STDOUT.width - 1 - sum(least[i] + _BORDER for i in group)
        for i in group:
            wished = max(map(len, texts[i])) - least[i]
            more = max(min(wished, spare), 0)
            spare -= more
            numeric = bool(rows) and all(isinstance(row[i], int | float) for row in rows)
            justify: JustifyMethod = "right" if numeric else "left"
            width = least[i] + more
            table.add_column(columns[i], justify=justify, overflow="fold", width=width)
        for row in cells:
            table.add_row(*(Text(row[i]) for i in group))
        _STDOUT.print(table)


_BORDER = 3
"""Of a column: its line and a space on either side; and a line at the end."""


def _groups(widths: list[int], room: int) -> list[list[int]]:
    """Columns that fit side by side, each group with the first column, which names the row."""
    room = max(room - 1, 1)
    first = min(widths[0], room // 2) if widths else 0
    widths[:] = [min(width, max(room - first - 2 * _BORDER, 1)) for width in widths]
    groups: list[list[int]] = [[0]] if widths else []
    for i in range(1, len(widths)):
        used = sum(widths[j] + _BORDER for j in groups[-1])
        if len(groups[-1]) > 1 and used + widths[i] + _BORDER > room:
            groups.append([0])
        groups[-1].append(i)
    return groups


def show_unreadable(films: Sequence[tuple[str, str]]) -> None:
    """Name the first ten films that could not be read, by image and reason."""
    if films:
        more = f" (the first 10 of {len(films)})" if len(films) > 10 else ""
        show(f"Unreadable{more}", ("film", "reason"), films[:10])


def _text(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def emit(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    _STDOUT.print_json(json.dumps(_plain(value), allow_nan=False)) if _STDOUT.is_terminal else (
        _STDOUT.file.write(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")
    )


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
