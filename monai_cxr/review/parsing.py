"""Parsing: what a browser says of a study, checked before it becomes a change of a review."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from monai_cxr.errors import InputError
from monai_cxr.findings import FINDINGS
from monai_cxr.review.reviews import LONGEST_NOTE, FindingReview, Mark

OPINIONS = ("", "agree", "disagree")
LABELS = ("", "absent", "uncertain", "present")
LONGEST_READING_SECONDS = 24 * 3600.0
MARK_KINDS = {"length": 2, "ratio": 4, "angle": 4}
"""Kinds of measurement, and how many points each has."""

_MOST_MARKS = 50
_NAME = re.compile(r"[A-Za-z0-9-]{1,40}")
_MEASURED = re.compile(r"(CTR )?\d{1,5}(\.\d{1,3})?( mm| mm at the detector| px|°|)")


def parse_findings(
    value: Any, probabilities: Mapping[str, float | None]
) -> dict[str, FindingReview]:
    """Read the finding part of a review that a browser sent.

    Args:
        value: By finding ``{"opinion", "location", "label"}``.
        probabilities: What the model said, by finding: also the findings that may be reviewed.

    Returns:
        What was said, by finding; an empty word takes an earlier one back.

    Raises:
        InputError: If it is not of this shape.
    """
    if not isinstance(value, dict):
        raise InputError("Expected an object of findings.", reason="invalid_review")
    result: dict[str, FindingReview] = {}
    for name, item in value.items():
        if name not in FINDINGS and name not in probabilities:
            raise InputError(f"Unknown finding '{str(name)[:40]}'.", reason="invalid_review")
        if not isinstance(item, dict):
            raise InputError("Expected an object for a finding.", reason="invalid_review")
        opinion, location, label = (item.get(k, "") for k in ("opinion", "location", "label"))
        if opinion not in OPINIONS or location not in OPINIONS or label not in LABELS:
            raise InputError(
                f"Expected an opinion of {OPINIONS} and a label of {LABELS}.",
                reason="invalid_review",
            )
        result[name] = FindingReview(opinion, location, label, probabilities.get(name))
    return result


def parse_note(value: Any) -> str:
    """A note that a browser sent: text of at most 4,000 characters, control characters left out."""
    if not isinstance(value, str):
        raise InputError("Expected a note as text.", reason="invalid_review")
    text = "".join(c for c in value if c.isprintable() or c in "\n\t")
    return text[:LONGEST_NOTE]


def parse_seconds(value: Any) -> float:
    """A reading time that a browser sent, in [0, one day]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError("Expected seconds as a number.", reason="invalid_review")
    return float(min(max(value, 0.0), LONGEST_READING_SECONDS))


def parse_marks(value: Any, films: Mapping[str, str]) -> dict[str, Mark | None]:
    """Read the measurements that a browser sent.

    Args:
        value: By name ``{"film", "kind", "points", "text"}``, or null for one that is taken away.
        films: SOP Instance UID of each film of the study, by the name that links use.

    Raises:
        InputError: If it is not of this shape, or of a film of another study.
    """
    if not isinstance(value, dict) or len(value) > _MOST_MARKS:
        raise InputError(
            f"Expected an object of at most {_MOST_MARKS} measurements.", reason="invalid_review"
        )
    return {_mark_name(name): item and _mark(item, films) for name, item in value.items()}


def _mark_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError("Expected letters and digits as a mark's name.", reason="invalid_review")
    return name


def _mark(item: Any, films: Mapping[str, str]) -> Mark:
    if not isinstance(item, dict):
        raise InputError("Expected an object for a measurement.", reason="invalid_review")
    film, kind, text = (item.get(key) for key in ("film", "kind", "text"))
    points = item.get("points")
    if not isinstance(film, str) or film not in films:
        raise InputError("A measurement belongs to another film.", reason="invalid_review")
    if not isinstance(kind, str) or kind not in MARK_KINDS:
        raise InputError(f"Expected a kind of {tuple(MARK_KINDS)}.", reason="invalid_review")
    if not isinstance(text, str) or not _MEASURED.fullmatch(text):
        raise InputError("Expected a number and its unit.", reason="invalid_review")
    if not isinstance(points, list) or len(points) != MARK_KINDS[kind]:
        raise InputError(f"Expected {MARK_KINDS[kind]} points.", reason="invalid_review")
    return Mark(films[film], kind, tuple(_point(point) for point in points), text)


def _point(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError("Expected a point as [column, row].", reason="invalid_review")
    for number in value:
        wrong = isinstance(number, bool) or not isinstance(number, int | float)
        if wrong or not abs(number) < 1e6:
            raise InputError("Expected a point within the film.", reason="invalid_review")
    return float(value[0]), float(value[1])
