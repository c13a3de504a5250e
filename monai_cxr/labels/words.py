"""Words: one search for many patterns, which tries only those that a text may hold.

Most words of a lexicon are not in most sentences. From each pattern the letters are read that every
match of it holds; a pattern whose letters are missing from a sentence is left out of the search
there. What is left out could not have matched, so that the search finds the same.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

if sys.version_info >= (3, 11):
    from re import _parser as grammar  # type: ignore[attr-defined]
else:
    import sre_parse as grammar

_MOST_SEARCHES = 2000
"""Compiled choices of one lexicon's patterns that are kept; beyond, all patterns are tried."""

Letters = frozenset[str]
Thing = TypeVar("Thing")


class Words:
    """Patterns that are searched as one alternation, without case.

    Args:
        patterns: Regular expressions; the first that matches at a place wins.
    """

    __slots__ = ("_always", "_bits", "_patterns", "_searches")

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._searches: dict[int, re.Pattern[str]] = {}
        self._bits: dict[str, int] = {}
        self._always = 0
        for place, pattern in enumerate(self._patterns):
            letters = required_letters(pattern)
            if letters is None:
                self._always |= 1 << place
            for one in letters or ():
                self._bits[one] = self._bits.get(one, 0) | 1 << place

    def finditer(self, text: str, folded: str) -> Iterator[re.Match[str]]:
        """Matches in a text, from left to right, none of them overlapping.

        Args:
            text: Where to search.
            folded: :func:`folded_letters` of the text, or of a longer one that holds it.
        """
        search = self._search(folded)
        return search.finditer(text) if search is not None else iter(())

    def search(self, text: str, folded: str) -> re.Match[str] | None:
        """The first of the matches of :meth:`finditer`."""
        return next(self.finditer(text, folded), None)

    @property
    def letters(self) -> tuple[str, ...]:
        """Runs of letters of which a text holds one, or nothing matches; ``""`` is in any text."""
        return (*self._bits, "") if self._always else tuple(self._bits)

    def _search(self, folded: str) -> re.Pattern[str] | None:
        """The alternation of the patterns that a text with these letters may hold."""
        wanted = self._always
        for letters, bits in self._bits.items():
            if letters in folded:
                wanted |= bits
        if not wanted:
            return None
        search = self._searches.get(wanted)
        if search is None:
            if len(self._searches) >= _MOST_SEARCHES:
                wanted = (1 << len(self._patterns)) - 1
            chosen = (one for place, one in enumerate(self._patterns) if wanted >> place & 1)
            search = self._searches[wanted] = re.compile("|".join(chosen), re.IGNORECASE)
        return search


class Candidates(Generic[Thing]):
    """Which of many things a text may name.

    Args:
        things: In their order, each with the words that name it.
    """

    __slots__ = ("_bits", "_things")

    def __init__(self, things: Iterable[tuple[Thing, Iterable[Words]]]) -> None:
        self._bits: dict[str, int] = {}
        self._things: list[Thing] = []
        for place, (thing, named) in enumerate(things):
            self._things.append(thing)
            for letters in (one for words in named for one in words.letters):
                self._bits[letters] = self._bits.get(letters, 0) | 1 << place

    def within(self, folded: str) -> Candidates[Thing]:
        """Those of a text, to ask for each of its sentences.

        Args:
            folded: :func:`folded_letters` of the text.
        """
        fewer: Candidates[Thing] = Candidates(())
        fewer._things = self._things
        fewer._bits = {letters: bits for letters, bits in self._bits.items() if letters in folded}
        return fewer

    def of(self, folded: str) -> list[Thing]:
        """Those that a sentence may name, in their order."""
        found = 0
        for letters, bits in self._bits.items():
            if letters in folded:
                found |= bits
        if not found:
            return []
        return [one for place, one in enumerate(self._things) if found >> place & 1]


def folded_letters(text: str) -> str:
    """A text in small letters, as searches without case compare them."""
    if text.isascii():
        return text.lower()
    return text.casefold().replace("i\u0307", "i").replace("\u0131", "i")  # Turkish: one letter


def required_letters(pattern: str) -> Letters | None:
    """Runs of letters of which every match of a pattern holds at least one.

    Args:
        pattern: A valid regular expression.

    Returns:
        The runs, folded; None where there are none, and the pattern has to be tried on any text.
    """
    return _of_sequence(grammar.parse(pattern, re.IGNORECASE))


def _of_sequence(parts: Any) -> Letters | None:
    best: Letters | None = None
    run = ""
    for code, value in (*parts, (None, None)):
        if str(code) == "LITERAL":
            run += chr(value)
            continue
        for found in (frozenset({folded_letters(run)}) if run else None, _of_part(code, value)):
            if found is not None and (best is None or _worth(found) > _worth(best)):
                best = found
        run = ""
    return best


def _of_part(code: Any, value: Any) -> Letters | None:
    name = str(code)
    if name == "SUBPATTERN":
        return _of_sequence(value[-1])
    if name in {"MAX_REPEAT", "MIN_REPEAT"} and value[0] > 0:
        return _of_sequence(value[-1])
    if name == "BRANCH":
        found = [_of_sequence(part) for part in value[1]]
        return frozenset().union(*(one for one in found if one is not None)) if all(found) else None
    return None


def _worth(letters: Letters) -> tuple[int, int]:
    """Long runs are rare, and few are soon looked for."""
    return min(map(len, letters)), -len(letters)
