"""Tables: small ones of the page's own type, where a data frame draws pixels of its own size."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw rows of equal columns, to which one need not scroll.

    Args:
        rows: Column names to values. Text is shown as it is written, not as Markdown.
    """
    st.table(
        [{as_written(name): _cell(value) for name, value in row.items()} for row in rows],
        border="horizontal",
        hide_index=True,
    )


def as_written(words: str) -> str:
    """Text as Markdown that shows that text: CommonMark takes any punctuation after a backslash."""
    return _PUNCTUATION.sub(r"\\\1", words)


def _cell(value: Any) -> Any:
    return as_written(value) if isinstance(value, str) else value
