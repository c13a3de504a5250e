"""Drifting: scores and pictures of the films at hand beside the reference that a bundle carries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from monai_cxr.bundle.model import REFERENCE_NAME
from monai_cxr.errors import InvalidTable
from monai_cxr.findings import title_of
from monai_cxr.monitoring.drift import Drift, Reference, drift, read_references
from monai_cxr.prediction import Prediction
from monai_cxr.review.cases import Case, urgency_of
from monai_cxr.review.words import MEASURES

_SCORE, _PICTURE = "logit_", "quality_"


def find_references(bundle: Path) -> tuple[Reference, ...]:
    """The reference of a bundle; empty where it has none that can be read."""
    try:
        return read_references(bundle / REFERENCE_NAME)
    except InvalidTable:
        return ()


def film_predictions(cases: Iterable[Case], digest: str, *, since: float = 0.0) -> list[Prediction]:
    """Predictions of single films by one model, of studies that arrived at or after a time."""
    return [
        image.prediction
        for case in cases
        if case.received >= since
        for image in case.images
        if image.prediction is not None and image.prediction.model.digest == digest
    ]


def since(days: float, *, now: Callable[[], float] = time.time) -> float:
    """POSIX seconds of a number of days ago; 0 for infinitely many."""
    return max(0.0, now() - days * 86_400.0)


def score_drifts(
    films: Sequence[Prediction], references: Sequence[Reference]
) -> list[tuple[str, Drift]]:
    """(finding, drift of its score), the most urgent finding first."""
    known = {one.name.removeprefix(_SCORE): one for one in references if one.name[:6] == _SCORE}
    names = sorted(known, key=lambda name: (urgency_of(name), name))
    scores = [{score.finding: score.logit for score in film.scores} for film in films]
    return [
        (title_of(name), drift(known[name], [one.get(name, math.nan) for one in scores]))
        for name in names
    ]


def picture_drifts(
    films: Sequence[Prediction], references: Sequence[Reference]
) -> list[tuple[str, Drift]]:
    """(measure in words, its drift)."""
    known = {one.name.removeprefix(_PICTURE): one for one in references if one.name[:8] == _PICTURE}
    return [
        (words, drift(known[name], [film.quality.get(name, math.nan) for film in films]))
        for name, words in MEASURES.items()
        if name in known
    ]


def verdict(found: Drift) -> str:
    """``"differs"``, ``"as expected"`` or ``"too few"``."""
    if math.isnan(found.index):
        return "too few"
    return "differs" if found.differs else "as expected"


def drift_rows(
    found: Sequence[tuple[str, Drift]], what: str, *, digits: int
) -> list[dict[str, str]]:
    """Rows of a table: what moves, how far, and whether more than by chance.

    Args:
        found: By name.
        what: Heading of the first column.
        digits: Digits of the medians.
    """
    return [
        {
            what: name,
            "Films": f"{one.n:,}",
            "Median now": _number(one.median, digits),
            "In the reference": _number(one.reference_median, digits),
            "Stability index": _number(one.index, 2),
            "By chance up to": _number(one.index_by_chance, 2),
            "KS distance": _number(one.distance, 2),
            "Verdict": verdict(one),
        }
        for name, one in found
    ]


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
