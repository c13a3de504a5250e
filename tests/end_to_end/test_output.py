"""Output: tables on a narrow terminal keep their words whole and lose nothing."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from monai_cxr.cli import output

WORDS = st.text("abcdefgh_0123456789.", min_size=1, max_size=14)
TABLES = {
    "compare": (
        ("finding", "positive", "A", "B", "B - A (95 % interval)", "p (patient)", "p (image)"),
        [("Pleural_Thickening", 1143, 0.775, 0.781, "0.006 (-0.004-0.016)", "< 0.001", "0.231")],
    ),
    "runs": (
        ("run", "epochs", "best", "AUROC", "loss", "images/s", "data", "settings that differ"),
        [("small_resnet_long", 20, 11, 0.812, 0.142, 1034.5, "1f328fa0", "learning_rate=0.0003")],
    ),
    "thresholds": (
        ("finding", "threshold", "sensitivity", "specificity", "positive", "n"),
        [("Pleural_Thickening", 0.043, "0.900 (0.871-0.924)", "0.512 (0.49-0.53)", 211, 9999)],
    ),
}


def printed(monkeypatch, columns, rows, width: int) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(output, "_STDOUT", Console(file=stream, width=width, soft_wrap=True))
    output.show("Title", columns, rows)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("name", TABLES)
def test_words_stay_whole(monkeypatch, name, width):
    columns, rows = TABLES[name]
    text = printed(monkeypatch, columns, rows, width)
    assert max(map(len, text.splitlines())) <= width
    shown = text.split()
    for value in (*columns, *rows[0]):
        for word in output._text(value).split():
            assert word in shown


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    st.integers(48, 120),
)
def test_any_table_keeps_its_words(rows, width):
    with pytest.MonkeyPatch.context() as patch:
        text = printed(patch, [f"c{i}" for i in range(len(rows[0]))], rows, width)
    assert max(map(len, text.splitlines())) <= width
    assert set(text.split()) >= {word for row in rows for word in row}


def test_a_word_longer_than_a_line_is_folded(monkeypatch):
    text = printed(monkeypatch, ("run", "settings"), [("a", "x" * 200)], 80)
    assert text.count("x") == 200
    assert max(map(len, text.splitlines())) <= 80
