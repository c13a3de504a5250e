"""Report text: sections, sentences, and what each sentence says of each finding.

The method is NegEx's and ConText's (Chapman 2001, Harkema 2009): cues before or after a mention
decide it, as far as their reach goes. The impression stands above the findings; what was asked,
known before or done is no finding; a statement that all is well yields to any mention by name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from monai_cxr.labels.lexicon import Concept, Lexicon, NormalStatement
from monai_cxr.labels.words import folded_letters

PRESENT, ABSENT, UNCERTAIN = 1, 0, -1
"""States of a finding, as CheXpert writes them; one that is not mentioned has none."""

MAX_CHARACTERS = 200_000
"""Longest text that is read as one report; a radiology report has some thousand characters."""

_SENTENCE_END = re.compile(
    r"(?:(?<!\d\.\d\.)(?<!\d\.\d\d\.)(?<=[.!])|(?<=\w\?))\s+(?=\S)"
    r"|\n\s*\n|(?<=\S)\s*\n(?=\s*(?:[-*•]|\d+[.)]))|;\s"
)
_ABBREVIATIONS = re.compile(
    r"\b(?:dr|mr|mrs|ms|vs|approx|st|cm|mm|p\.o|i\.e|e\.g|vd?|vd?\.\s?a|z|z\.\s?n|bzw|ggf|evtl)\.$",
    re.I,
)
_REACH = {"history": 30, "absent_after": 60, "uncertain_after": 60, "alternative": 50}
_FAR = 120
"""Characters that a cue reaches without a stop; about twenty words, fewer for some."""

_TAKEN_BACK = ("absent_before", "absent_after", "uncertain_before", "history", "alternative")
"""Cues that a harmless look-alike ("no change in", "has not resolved") takes back."""

_NOT_OF_THE_FILM = ("other", "comparison")
_ENDS = {"other": re.compile(r"\n\s*\n"), "comparison": re.compile(r"(?<=[.!])\s+(?=\S)|\n")}
"""Where the last section ends that is not of the film; what follows without a heading is."""

_HEADING_END = re.compile(r"[ \t*_]*:|[ \t*_]*\n")
_JOINED = re.compile(r"[,;]|\band\b|\bwith\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where and why a finding got its state.

    Attributes:
        finding: Name of the finding.
        state: :data:`PRESENT`, :data:`ABSENT` or :data:`UNCERTAIN`.
        section: ``"impression"``, ``"findings"`` or ``""`` where the report has no headings.
        sentence: The sentence, as it was written.
        span: Start and end of the mention within the sentence, in characters.
        rule: What decided: ``"mention"``, a cue's kind and text, a parent, or a normal statement.
        rank: 2 in the impression, 1 elsewhere, 0 for statements that all is well.
    """

    finding: str
    state: int
    section: str
    sentence: str
    span: tuple[int, int]
    rule: str
    rank: int


@dataclass(frozen=True, slots=True)
class LabelledReport:
    """States of a report.

    Attributes:
        states: State by finding; what is not mentioned is left out.
        evidence: What decided each of them, one per finding.
    """

    states: Mapping[str, int]
    evidence: tuple[Evidence, ...]


def label_report(text: str, lexicon: Lexicon) -> LabelledReport:
    """Read one report.

    Args:
        text: The report, with or without headings; characters beyond :data:`MAX_CHARACTERS` are
            not read.
        lexicon: Words of the report's language.

    Returns:
        The states of the findings that the report mentions, each with the sentence that decided.
    """
    text = text[:MAX_CHARACTERS]
    best: dict[str, Evidence] = {}
    candidates = lexicon.candidates.within(folded_letters(_bare(text)))
    for section, written in _sentences(text, lexicon):
        sentence = _bare(written)
        folded = folded_letters(sentence)
        named = candidates.of(folded)
        if not named:
            continue
        cues = _Cues(sentence, folded, lexicon)
        for found in _statements(named, cues, section, written):
            known = best.get(found.finding)
            if known is None or _weight(found) > _weight(known):
                best[found.finding] = found
    order = {concept.name: place for place, concept in enumerate(lexicon.concepts)}
    evidence = tuple(sorted(best.values(), key=lambda one: order.get(one.finding, len(order))))
    return LabelledReport({one.finding: one.state for one in evidence}, evidence)


def _weight(evidence: Evidence) -> tuple[int, int]:
    """Impression before findings before general statements; there, present before the others."""
    return evidence.rank, {PRESENT: 2, UNCERTAIN: 1, ABSENT: 0}[evidence.state]


def _sentences(text: str, lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """(section, sentence) of what says something of the film."""
    for section, body in _sections(text, lexicon):
        if section in _NOT_OF_THE_FILM:
            continue
        start = 0
        for end in _SENTENCE_END.finditer(body):
            if _ABBREVIATIONS.search(body, start, end.start()):
                continue
            yield section, body[start : end.start()].strip()
            start = end.end()
        yield section, body[start:].strip()


def _sections(text: str, lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """Split at headings: a known heading at the start of a line or sentence, before a colon."""
    marks: list[tuple[int, int, str]] = []
    bare = _bare(text)
    folded = folded_letters(bare)
    for role, words in lexicon.sections.items():
        for match in words.finditer(bare, folded):
            after = _HEADING_END.match(text, match.end(), match.end() + 8)
            if after is None or not (":" in after[0] or match[0].isupper()):
                continue
            before = text[: match.start()].rstrip(" \t*#_")
            if not before or before[-1] in "\n\r.:?!":
                marks.append((match.start(), after.end(), role))
    marks.sort()
    if not marks:
        yield "", text
        return
    if text[: marks[0][0]].strip():
        yield "", text[: marks[0][0]]
    for index, (start, end, role) in enumerate(marks):
        following = marks[index + 1][0] if index + 1 < len(marks) else len(text)
        if start > following:
            continue
        if role == "organs":  # "Heart: enlarged" says it of the heart
            role, end = "findings", start
        if index + 1 == len(marks) and role in _ENDS:
            over = _ENDS[role].search(text, end)
            following = over.end() if over else following
        yield role, text[end:following]
        if following < len(text) and index + 1 == len(marks):
            yield "", text[following:]


def _statements(
    named: Sequence[Concept | NormalStatement], cues: _Cues, section: str, written: str
) -> Iterator[Evidence]:
    """What one sentence says, finding by finding."""
    rank = 2 if section == "impression" else 1
    for one in named:
        if isinstance(one, NormalStatement):
            match = one.pattern.search(cues.sentence, cues.folded)
            if match is not None and not cues.is_negated_or_doubted(match.start()):
                for finding in one.absent:
                    yield Evidence(
                        finding, ABSENT, section, written, match.span(), "normal statement", 0
                    )
            continue
        for start, end, is_possible in _mentions(cues.sentence, cues.folded, one):
            state, rule = cues.judge(start, end)
            if state is None:
                continue
            if is_possible and state == PRESENT:
                state, rule = UNCERTAIN, "possible meaning"
            if not one.children:
                yield Evidence(one.name, state, section, written, (start, end), rule, rank)
            elif state == ABSENT:
                for child in one.children:
                    by = f"{one.name} {rule}"
                    yield Evidence(child, state, section, written, (start, end), by, 0)


def _bare(text: str) -> str:
    """Letters without accents, one for one, so that places in the text stay."""
    if text.isascii():
        return text
    return "".join(unicodedata.normalize("NFD", letter)[0] for letter in text)


def _mentions(sentence: str, folded: str, concept: Concept) -> Iterator[tuple[int, int, bool]]:
    """Start and end of each mention, and whether it only may mean the finding."""
    for words in (concept.terms, concept.possible):
        for match in words.finditer(sentence, folded) if words is not None else ():
            start, end = match.span()
            excluded = concept.excluded.finditer(sentence, folded) if concept.excluded else ()
            if not any(one.start() <= start and end <= one.end() for one in excluded):
                yield start, end, words is concept.possible


@dataclass(frozen=True, slots=True)
class _Cue:
    kind: str
    start: int
    end: int
    text: str


class _Cues:
    """The cues of one sentence, and what they say of a mention in it; looked for when asked."""

    def __init__(self, sentence: str, folded: str, lexicon: Lexicon) -> None:
        self.sentence, self.folded, self._lexicon = sentence, folded, lexicon
        self._found: dict[str, list[_Cue]] = {}

    def _cues(self, kind: str) -> list[_Cue]:
        """Cues of one kind, without those that only look like a negation."""
        if kind not in self._found:
            found = [
                _Cue(kind, match.start(), match.end(), " ".join(match[0].split()).casefold())
                for match in self._lexicon.cues[kind].finditer(self.sentence, self.folded)
            ]
            if found and kind in _TAKEN_BACK:
                harmless = self._cues("not_negation")
                found = [
                    cue
                    for cue in found
                    if not any(one.start <= cue.start < one.end for one in harmless)
                ]
            self._found[kind] = found
        return self._found[kind]

    def judge(self, start: int, end: int) -> tuple[int | None, str]:
        """State of a mention and the rule; None as state where it is history."""
        negating = self._nearest("absent_before", start, end) or self._following(
            "absent_after", start, end
        )
        doubting = (
            self._following("uncertain_after", start, end)
            or self._nearest("uncertain_before", start, end)
            or self._alternative(start, end)
        )
        if self._nearest("history", start, end) is not None and negating is None:
            return None, "history"
        if doubting is not None and (negating is None or _covers(doubting, negating)):
            return UNCERTAIN, f"{doubting.kind} '{doubting.text}'"
        if negating is not None:
            return ABSENT, f"{negating.kind} '{negating.text}'"
        return PRESENT, "mention"

    def is_negated_or_doubted(self, start: int) -> bool:
        """Whether a general statement that starts here is taken back by a cue before it."""
        return any(
            self._nearest(kind, start, start) is not None
            for kind in ("absent_before", "uncertain_before")
        )

    def _nearest(self, kind: str, start: int, end: int) -> _Cue | None:
        """The last cue of a kind before (or within) a mention whose reach holds it."""
        for cue in reversed(self._cues(kind)):
            inside = start <= cue.start and cue.end <= end and cue.start > start
            ahead = cue.end <= start and start - cue.end <= _REACH.get(kind, _FAR)
            if inside or (ahead and not self._is_stopped(cue.end, start)):
                return cue
        return None

    def _following(self, kind: str, start: int, end: int) -> _Cue | None:
        for cue in self._cues(kind):
            inside = start < cue.start and cue.end <= end
            behind = cue.start >= end and cue.start - end <= _REACH[kind]
            if inside or (behind and not self._is_stopped(end, cue.start)):
                return cue
        return None

    def _alternative(self, start: int, end: int) -> _Cue | None:
        """A "versus" beside the mention, with nothing joined on in between."""
        for cue in self._cues("alternative"):
            low, high = (end, cue.start) if cue.start >= end else (cue.end, start)
            is_near = high - low <= _REACH["alternative"]
            if is_near and not _JOINED.search(self.sentence, low, high):
                return cue
        return None

    def _is_stopped(self, low: int, high: int) -> bool:
        return any(low <= stop.start and stop.end <= high + 1 for stop in self._cues("stop"))


def _covers(doubting: _Cue, negating: _Cue) -> bool:
    """Whether the words of doubt hold the words of negation: "cannot be excluded"."""
    return doubting.start <= negating.start and negating.end <= doubting.end
