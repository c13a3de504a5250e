"""Language: which lexicon a report is written for, by its most frequent words."""

from __future__ import annotations

import re
import unicodedata

from monai_cxr.labels.lexicon import LANGUAGES, Lexicon, read_lexicon

_WORD = re.compile(r"[^\W\d_]+")
_LONGEST = 20_000
_FEWEST_WORDS = 8
"""Shorter texts are not judged: "Normal." is of any language."""


def looks_like_another(text: str, lexicon: Lexicon) -> str:
    """The language that a report seems to be written in, where it is clearly not the lexicon's.

    Args:
        text: The report.
        lexicon: The one it is to be read with.

    Returns:
        Another of :data:`LANGUAGES`, ``"unknown"`` where no frequent word of any is in it, or
        ``""`` where it may be the lexicon's.
    """
    plain = unicodedata.normalize("NFD", text[:_LONGEST])
    words = [word.casefold() for word in _WORD.findall("".join(c for c in plain if ord(c) < 0x300))]
    if len(words) < _FEWEST_WORDS:
        return ""
    known = {lexicon.language: lexicon.words}
    known |= {name: read_lexicon(name).words for name in LANGUAGES if name not in known}
    shares = {name: sum(word in own for word in words) / len(words) for name, own in known.items()}
    own = shares[lexicon.language]
    best = max(shares, key=shares.__getitem__)
    if shares[best] > 2 * own and shares[best] > 0.1:
        return best
    return "unknown" if own < 0.02 and len(words) >= 20 else ""
