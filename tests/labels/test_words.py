"""The search of many words finds what one alternation of all finds, on any text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.labels.words import Candidates, Words, folded_letters, required_letters

PATTERNS = (
    r"(?<!\w)(?:no( \w+){0,2} (change|increase))(?!\w)",
    r"(?<!\w)(?:(heart|cardiac)( size)? (is |are )?enlarged)(?!\w)",
    r"(?<!\w)(?:gro(ss|ß)e?s?)(?!\w)",
    r"(?<!\w)(?:effusions?|fluid)(?!\w)",
    r"\?",
    r"(?<!\w)(?:[ab]lau|\d+ (cm|mm))(?!\w)",
    r"(?<!\w)(?:st[ae]ble|kühl)(?!\w)",
)
"""One for each form that a pattern can take, with and without letters that it needs."""

PIECES = ["no", "change", "heart", "cardiac", "size", "is", "enlarged", "groß", "GROSS", "grosses"]
PIECES += ["effusion", "EFFUSIONS", "fluıd", "ﬂuid", "flu\u0130d", "?", "5", "mm", "blau", "STABLE"]
PIECES += ["ſtable", "KÜHL", "groẞ", "\u212aühl", " ", " ", " ", ".", "x"]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=20)


@given(texts, st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=7))
def test_what_is_left_out_could_not_match(text: str, patterns: list[str]) -> None:
    whole = re.compile("|".join(patterns), re.IGNORECASE)
    words = Words(patterns)
    folded = folded_letters(text)
    got = [match.span() for match in words.finditer(text, folded)]
    assert got == [match.span() for match in whole.finditer(text)]
    found = Candidates([("these", [words])]).within(folded).of(folded)
    assert found or not got


@pytest.mark.parametrize(
    ("pattern", "letters"),
    [
        ("effusions?", {"effusion"}),
        ("(heart|cardiac) enlarged", {" enlarged"}),
        ("(pulmonary|lung) o?edema", {"edema"}),
        (r"\?", {"?"}),
        (r"\w+", None),
        ("(a|b*)", None),
    ],
)
def test_letters_that_a_match_needs(pattern: str, letters: set[str] | None) -> None:
    assert required_letters(pattern) == letters


def test_patterns_that_are_always_tried_stand_beside_others() -> None:
    words = Words([r"\d+", "fluid"])
    assert [match[0] for match in words.finditer("7 x fluid", "7 x fluid")] == ["7", "fluid"]
    assert words.letters == ("fluid", "")
