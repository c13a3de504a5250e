"""Lexicon: the words by which reports of one language name findings and say whether they are there.

A lexicon is a TOML file that a radiologist can read and extend; the package ships one a language.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from monai_cxr.errors import SettingsError
from monai_cxr.labels.words import Candidates, Words

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LANGUAGES = ("en", "es", "de")
"""Languages that the package has a lexicon of."""

CUES = (
    "not_negation",
    "absent_before",
    "absent_after",
    "uncertain_before",
    "uncertain_after",
    "alternative",
    "history",
    "stop",
)
"""What a cue can say, by the keys of a lexicon's table ``cues``."""


@dataclass(frozen=True, slots=True)
class Concept:
    """A finding, or a parent of findings, and how it is written.

    Attributes:
        name: Name of the finding or the parent.
        terms: Matches a mention.
        possible: Matches words that may mean it, which are uncertain unless denied; None without.
        excluded: Matches what only looks like one; None when nothing does.
        children: Findings that are absent where a parent is; empty for a finding.
    """

    name: str
    terms: Words
    possible: Words | None = None
    excluded: Words | None = None
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NormalStatement:
    """A sentence that says that several findings are absent without naming them.

    Attributes:
        pattern: Matches it.
        absent: The findings.
    """

    pattern: Words
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of one language.

    Attributes:
        language: Two letters of ISO 639-1.
        version: Counts up with each change of the file.
        words: Frequent words, which tell the language.
        sections: Matches a heading, by what the section holds.
        concepts: Findings first, then parents.
        normal: Statements that all is well.
        cues: Matches a cue, by what it says (:data:`CUES`).
        candidates: Which concepts and statements of ``normal`` a text may hold.
    """

    language: str
    version: int
    words: frozenset[str]
    sections: Mapping[str, Words]
    concepts: tuple[Concept, ...]
    normal: tuple[NormalStatement, ...]
    cues: Mapping[str, Words]
    candidates: Candidates[Concept | NormalStatement] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make ``candidates``."""
        named = [
            *(
                (one, [words for words in (one.terms, one.possible) if words])
                for one in self.concepts
            ),
            *((one, [one.pattern]) for one in self.normal),
        ]
        object.__setattr__(self, "candidates", Candidates(named))

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the findings, in the order of the file."""
        return tuple(concept.name for concept in self.concepts if not concept.children)


@cache
def read_lexicon(source: Path | str) -> Lexicon:
    """Read a lexicon.

    Args:
        source: A language of :data:`LANGUAGES`, or a TOML file in the form of the package's own.

    Raises:
        SettingsError: If the language is unknown, or the file is missing or malformed; a broken
            pattern is named with file and line.
    """
    if isinstance(source, str) and source in LANGUAGES:
        text = files(__package__).joinpath("lexicons", f"{source}.toml").read_text(encoding="utf-8")
        return _Reader(text, f"{source}.toml").lexicon()
    path = Path(source)
    if not path.is_file():
        raise SettingsError(
            f"Expected a language ({', '.join(LANGUAGES)}) or a lexicon, but got '{path.name}'."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"The lexicon '{path.name}' is not UTF-8 text.") from None
    return _Reader(text, path.name).lexicon()


class _Reader:
    """Parses one file and knows where each pattern stands in it."""

    def __init__(self, text: str, name: str) -> None:
        self.lines, self.name = text.splitlines(), name
        try:
            self.content: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"The lexicon '{name}' is not valid TOML: {error}.") from None

    def lexicon(self) -> Lexicon:
        head, cues = self._table("lexicon"), self._table("cues")
        unknown = sorted(set(cues) - set(CUES))
        if unknown:
            raise SettingsError(
                f"'{self.name}' has an unknown cue '{unknown[0]}'; expected {', '.join(CUES)}."
            )
        findings = [self._concept(name, row) for name, row in self._table("findings").items()]
        if not findings:
            raise SettingsError(f"The lexicon '{self.name}' names no findings.")
        parents = self.content.get("parents", {})
        normal = self.content.get("normal", ())
        named = [name for row in (*normal, *parents.values()) for name in self._names(row)]
        strange = next((name for name in named if name not in self._table("findings")), None)
        if strange is not None:
            raise SettingsError(
                f"'{self.name}' says that '{strange}' is absent, which is none of its findings."
            )
        return Lexicon(
            language=str(head.get("language", "")),
            version=int(head.get("version", 0)),
            words=frozenset(str(word).casefold() for word in head.get("words", ())),
            sections={
                role: self._pattern(words) for role, words in self._table("sections").items()
            },
            concepts=(*findings, *(self._concept(name, row) for name, row in parents.items())),
            normal=tuple(
                NormalStatement(self._pattern([row["pattern"]]), tuple(row["absent"]))
                for row in normal
            ),
            cues={cue: self._pattern(cues.get(cue, ())) for cue in CUES},
        )

    def _table(self, name: str) -> dict[str, Any]:
        table = self.content.get(name)
        if not isinstance(table, dict):
            raise SettingsError(f"The lexicon '{self.name}' has no table [{name}].")
        return table

    @staticmethod
    def _names(row: Mapping[str, Any]) -> tuple[str, ...]:
        return (*row.get("absent", ()), *row.get("children", ()))

    def _concept(self, name: str, row: Mapping[str, Any]) -> Concept:
        terms = row.get("terms")
        if not terms:
            raise SettingsError(f"'{self.name}' has no terms for '{name}'.")
        children = tuple(row.get("children", ()))
        possible, excluded = (
            self._pattern(row[key]) if row.get(key) else None for key in ("possible", "not")
        )
        return Concept(name, self._pattern(terms), possible, excluded, children)

    def _pattern(self, words: Iterable[str]) -> Words:
        """One alternation of all words, each tried alone first so that a broken one is named."""
        return Words([self._tried(word) for word in words])

    def _tried(self, word: str) -> str:
        try:
            if re.compile(_bounded(word)).groupindex or re.search(r"\\[1-9]", word):
                raise re.error("a group cannot be named or repeated, as patterns are joined")
        except (re.error, OverflowError) as error:
            line = next((i for i, text in enumerate(self.lines, 1) if word in text), 0)
            raise SettingsError(
                f"{self.name}:{line}: the pattern '{word}' is not valid: {error}."
            ) from None
        return _bounded(word)


def _bounded(word: str) -> str:
    """A pattern that does not begin or end within a word; marks have no such bounds."""
    before = "" if re.match(r":|\\\?|,", word) else r"(?<!\w)"
    after = "" if word.endswith(r"\?") else r"(?!\w)"
    return rf"{before}(?:{_flexible(word)}){after}"


def _flexible(pattern: str) -> str:
    """The pattern with spaces that match any run of white space."""
    return re.sub(r"(?<!\\) ([?*]?)", lambda one: r"\s*" if one[1] else r"\s+", pattern)
