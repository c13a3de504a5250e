"""Chart names: what a film adds to which chart; the same from a ledger and from a table."""

from __future__ import annotations

ENDED = "ended"
"""Films that came to a first end: what refusals are a share of; no chart of its own."""

TURNAROUND = "turnaround"
"""Decimal logarithm of the seconds from arrival to end; 1 s is the least."""


def flag_rate(finding: str) -> str:
    """Share of films on which a finding is flagged."""
    return f"flag_rate {finding}"


def score(finding: str) -> str:
    """Mean logit of a finding."""
    return f"score {finding}"


def picture(measure: str) -> str:
    """Mean of a quality measure."""
    return f"picture {measure}"


def refused(reason: str) -> str:
    """Share of films that are refused for a reason."""
    return f"refused {reason}"


def of_group(chart: str, fact: str, value: str) -> str:
    """A chart of the films of one maker or view alone."""
    return f"{chart} ({fact} {' '.join(value.split()) or 'not known'})"


FLAGS = "flags"
"""Mean number of findings that are flagged on a film."""

GROUPED = ("manufacturer", "view")
"""Facts whose values have charts of their own: of flags, and of the mean gray."""
