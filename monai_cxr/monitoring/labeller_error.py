"""Labeller error: agreement with what reports say, by way of rules that misread some of them.

The rules find a share of what reports state (their sensitivity) and invent a little (one minus
their specificity). Held against reports as a person would read them, shares among flagged and among
other studies follow by the estimator of Rogan and Gladen (1978), provided that the rules err alike
whether the model flags the study or not. The intervals hold the error of both counts: of the
site's studies and of the reports on which the rules were measured.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.statistics.intervals import interval_of_draws
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

LANGUAGES = ("en", "es")
"""Lexicons whose error was measured (docs/results/labels.md) and travels with this package."""

_COLUMNS = ("finding", "found", "missed", "invented", "left")
_DRAWS = 4000
_LEAST_SAID = 1.05
"""Sensitivity and specificity of rules that add up to less say too little of a report."""

_UNKNOWN = Interval(math.nan)


@dataclass(frozen=True, slots=True)
class LabellerError:
    """How rules read a finding, counted on reports that people labelled.

    Attributes:
        found: Reports that state it and that the rules read so.
        missed: Reports that state it, of which the rules do not say so.
        invented: Reports that do not state it, of which the rules say so.
        left: All others.
    """

    found: int
    missed: int
    invented: int
    left: int

    @property
    def sensitivity(self) -> float:
        """Share of the statements that are found."""
        return self.found / max(self.found + self.missed, 1)

    @property
    def specificity(self) -> float:
        """Share of the other reports that are left alone."""
        return self.left / max(self.left + self.invented, 1)


@dataclass(frozen=True, slots=True)
class Corrected:
    """Agreement with the reports themselves, not with what the rules read.

    Attributes:
        sensitivity: Flagged among those whose report states the finding.
        specificity: Not flagged among the others.
        ppv: Stated among flagged.
    """

    sensitivity: Interval = _UNKNOWN
    specificity: Interval = _UNKNOWN
    ppv: Interval = _UNKNOWN


def shipped(language: str) -> dict[str, LabellerError]:
    """The measured error of a lexicon of this package, by finding; empty where it has none."""
    place = files("monai_cxr.monitoring").joinpath("labeller_error.csv")
    rows = csv.DictReader(place.read_text(encoding="utf-8").splitlines())
    return {row["finding"]: _of(row) for row in rows if row["language"] == language}


def read_labeller_error(path: Path) -> dict[str, LabellerError]:
    """Read counts of a site's own check of its labeller.

    Args:
        path: CSV with the columns finding, found, missed, invented and left.

    Raises:
        InvalidTable: If a column is missing or a count is none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return {row["finding"]: _of(row) for row in csv.DictReader(stream)}
    except (OSError, KeyError, ValueError, TypeError):
        raise InvalidTable(
            f"'{path.name}' holds no counts of a labeller. Expected a CSV with the columns "
            f"{', '.join(_COLUMNS)} and whole numbers from 0.",
            reason="bad_labeller_error",
        ) from None


def corrected(
    flagged: Interval,
    among_flagged: Interval,
    among_other: Interval,
    error: LabellerError,
    *,
    seed: int = 0,
) -> Corrected:
    """Correct agreement for the labeller's error.

    Args:
        flagged: Share of the studies that the model flags, with a 95 % interval over patients.
        among_flagged: Share of the flagged ones of which the rules read the finding, likewise.
        among_other: Likewise among the others.
        error: Of the rules.
        seed: Of the draws.

    Returns:
        Estimates with 95 % intervals; not known where the rules say too little (sensitivity and
        specificity together at most 1), or a share is not known.
    """
    shares = (flagged, among_flagged, among_other)
    if any(math.isnan(one.low) for one in shares):
        return Corrected()
    if error.sensitivity + error.specificity <= _LEAST_SAID:
        return Corrected()
    rng = np.random.default_rng(seed)
    se = rng.beta(error.found + 0.5, error.missed + 0.5, _DRAWS)
    sp = rng.beta(error.left + 0.5, error.invented + 0.5, _DRAWS)
    drawn = [_drawn(one, rng) for one in shares]
    middle = [np.array([one.estimate]) for one in shares]
    draws = _agreement(drawn[0], drawn[1], drawn[2], se, sp)
    rules = (np.array([error.sensitivity]), np.array([error.specificity]))
    points = _agreement(middle[0], middle[1], middle[2], *rules)
    return Corrected(
        *(interval_of_draws(float(p[0]), d) for p, d in zip(points, draws, strict=True))
    )


def by_language(language: str) -> Mapping[str, LabellerError]:
    """The error of a lexicon by its language, or of a site's own CSV by its path.

    Raises:
        InvalidTable: If it is neither.
    """
    if language in ("", "none"):
        return {}
    return shipped(language) if language in LANGUAGES else read_labeller_error(Path(language))


def _of(row: Mapping[str, str]) -> LabellerError:
    counts = [int(row[name]) for name in _COLUMNS[1:]]
    if min(counts) < 0:
        raise ValueError("a count is below 0")
    return LabellerError(*counts)


def _agreement(
    flagged: Floats, among_flagged: Floats, among_other: Floats, se: Floats, sp: Floats
) -> tuple[Floats, Floats, Floats]:
    """Sensitivity, specificity and PPV, from shares of studies and from what the rules read."""
    spread = np.maximum(se + sp - 1.0, _LEAST_SAID - 1.0)
    yes, no = (
        np.clip((read + sp - 1.0) / spread, 0.0, 1.0) for read in (among_flagged, among_other)
    )
    hits, misses = flagged * yes, (1 - flagged) * no
    false, true = flagged * (1 - yes), (1 - flagged) * (1 - no)
    with np.errstate(invalid="ignore", divide="ignore"):
        return hits / (hits + misses), true / (true + false), yes


def _drawn(share: Interval, rng: np.random.Generator) -> Floats:
    """Draws of a share whose interval is known: a beta variable of the same mean and width."""
    width = max(share.high - share.low, 1e-6)
    middle = float(np.clip((share.low + share.high) / 2, 1e-4, 1 - 1e-4))
    size = max(4 * 1.96**2 * middle * (1 - middle) / width**2 - 1.0, 0.5)
    return rng.beta(max(middle * size, 1e-3), max((1 - middle) * size, 1e-3), _DRAWS)
