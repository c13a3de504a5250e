"""Tables: a cell shows what was written, whatever Markdown would make of it."""

from __future__ import annotations

import html
import string

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from clinical_app.tables import as_written

WRITTEN = string.ascii_letters + string.digits + string.punctuation


def shown(markdown: str) -> str:
    rendered = MarkdownIt("commonmark").render(markdown)
    assert rendered.startswith("<p>")
    return html.unescape(rendered.removeprefix("<p>").removesuffix("</p>\n"))


@given(st.text(WRITTEN, min_size=1))
def test_text_is_shown_as_it_is_written(text):
    assert shown(as_written(text)) == text


def test_what_a_table_of_numbers_holds():
    for text in ("-", "> 99 % (98 % to > 99 %)", "-4.29", "*", "1.", "[a](http://b)", ":red[x]"):
        assert shown(as_written(text)) == text
