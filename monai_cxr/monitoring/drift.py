"""Drift: do the scores and the pictures of today differ from those that a model was calibrated on?

Two measures that need no label: the population stability index over the deciles of the reference,
and the Kolmogorov-Smirnov distance. A reference is a summary (counts and percentiles), so that it
can travel in a bundle without telling anything of a film.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import kolmogi
from scipy.stats import chi2, ks_2samp

from monai_cxr.atomic import write_text
from monai_cxr.errors import InvalidTable
from monai_cxr.tables import QUALITY_COLUMNS, logit_column

FEWEST = 50
"""Values below which nothing is said of drift."""

LARGE_INDEX = 0.1
"""Below this a population stability index is called small (Siddiqi 2006: 0.1 and 0.25)."""

LARGE_DISTANCE = 0.2
"""Below this a Kolmogorov-Smirnov distance is called small."""

_FORMAT = "monai_cxr drift reference"
_CHANCE = 0.999  # of some twenty measures that stand still, one in fifty looks is called different
_PERCENTILES = np.arange(101.0)
_DECILES = slice(10, 100, 10)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reference:
    """How one measure was distributed on the data that calibrated a model.

    Attributes:
        name: Name of the measure: a column of the predictions table.
        n: Films.
        edges: Increasing inner edges of the bins; a bin holds the values up to and with its edge.
        counts: Films in each bin, one more than edges.
        percentiles: From the minimum to the maximum, 101 values.
    """

    name: str
    n: int
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    percentiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """One measure now, beside its reference.

    Attributes:
        name: Name of the measure.
        n: Films now.
        index: Population stability index; NaN with fewer than :data:`FEWEST` films.
        index_by_chance: What sampling alone stays below in 999 of 1,000 looks.
        distance: Kolmogorov-Smirnov distance, [0, 1].
        median: Now.
        reference_median: Median of the reference.
        differs: Whether the index or the distance is neither small nor chance.
    """

    name: str
    n: int
    index: float
    index_by_chance: float
    distance: float
    median: float
    reference_median: float
    differs: bool


def reference_of(name: str, values: ArrayLike) -> Reference | None:
    """Summarise a measure.

    Args:
        name: Name of the measure.
        values: Shape (N,); NaN is left out.

    Returns:
        The reference, or None without a value.
    """
    known = _known(values)
    if not len(known):
        return None
    percentiles = np.percentile(known, _PERCENTILES, method="inverted_cdf")
    edges = np.unique(percentiles[_DECILES])
    edges = edges[edges < percentiles[-1]]  # else the last bin would be empty by construction
    return Reference(
        name,
        len(known),
        tuple(edges.tolist()),
        tuple(_counts(known, edges).tolist()),
        tuple(percentiles.tolist()),
    )


def references_of(table: pd.DataFrame, findings: Sequence[str]) -> tuple[Reference, ...]:
    """References of the scores (logits, which no calibration changes) and of picture measures.

    Args:
        table: A predictions table; columns that it lacks are left out.
        findings: Names.
    """
    columns = [*map(logit_column, findings), *QUALITY_COLUMNS]
    made = [reference_of(name, table[name]) for name in columns if name in table]
    return tuple(one for one in made if one is not None)


def drift(reference: Reference, values: ArrayLike) -> Drift:
    """Hold a measure of today against its reference; films are taken for independent.

    Args:
        reference: Reference of the same measure.
        values: Shape (N,); NaN is left out.
    """
    known = _known(values)
    n = len(known)
    middle = reference.percentiles[50]
    if n < FEWEST:
        median = float(np.median(known)) if n else math.nan
        return Drift(reference.name, n, math.nan, math.nan, math.nan, median, middle, False)
    index, chance = stability_index(reference, known), index_by_chance(reference, n)
    distance = float(ks_2samp(known, reference.percentiles, method="asymp").statistic)
    return Drift(
        name=reference.name,
        n=n,
        index=index,
        index_by_chance=chance,
        distance=distance,
        median=float(np.median(known)),
        reference_median=middle,
        differs=index > max(LARGE_INDEX, chance)
        or distance > max(LARGE_DISTANCE, _distance_by_chance(reference, n)),
    )


def stability_index(reference: Reference, values: ArrayLike) -> float:
    """Population stability index: sum of (p - q) ln(p / q) over the bins of the reference.

    Half a film is added to each bin on both sides, so that an empty one stays finite.

    Args:
        reference: Reference of the same measure.
        values: Shape (N,), at least one that is known.
    """
    then = np.asarray(reference.counts, dtype=np.float64) + 0.5
    now = _counts(_known(values), np.asarray(reference.edges)) + 0.5
    p, q = now / now.sum(), then / then.sum()
    return float(np.sum((p - q) * np.log(p / q)))


def index_by_chance(reference: Reference, n: int) -> float:
    """What the index of ``n`` films of the same kind stays below in 999 of 1,000 samples.

    Without drift the index is (1/n + 1/m) times a chi-squared variable with one degree less than
    there are bins (Yurdakul 2018).
    """
    spread = 1.0 / n + 1.0 / reference.n
    return float(chi2.ppf(_CHANCE, max(len(reference.edges), 1)) * spread)


def _distance_by_chance(reference: Reference, n: int) -> float:
    """Kolmogorov's limit, and what 101 percentiles leave open of a distribution."""
    return float(kolmogi(1.0 - _CHANCE)) * math.sqrt(1.0 / n + 1.0 / reference.n) + 0.01


def write_references(
    references: Sequence[Reference], path: Path, more: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Write references as JSON.

    Args:
        references: Of scores and picture measures.
        path: The file.
        more: What else the file keeps, by key.
    """
    measures = {
        one.name: {
            "n": one.n,
            "edges": list(one.edges),
            "counts": list(one.counts),
            "percentiles": list(one.percentiles),
        }
        for one in references
    }
    text = json.dumps({"format": _FORMAT, "measures": measures, **more}, indent=1) + "\n"
    write_text(path, text)


def read_references(path: Path) -> tuple[Reference, ...]:
    """Read what :func:`write_references` wrote.

    Raises:
        InvalidTable: If it is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(content["format"])
        return tuple(_read(name, value) for name, value in content["measures"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidTable(
            f"'{path.name}' is no drift reference ({type(error).__name__}). Package the run again."
        ) from error


def _read(name: str, value: Mapping[str, Any]) -> Reference:
    counts = tuple(int(count) for count in value["counts"])
    edges, percentiles = (
        tuple(float(number) for number in value[key]) for key in ("edges", "percentiles")
    )
    wrong = len(counts) != len(edges) + 1 or len(percentiles) != len(_PERCENTILES)
    if wrong or not all(map(math.isfinite, (*edges, *percentiles))):
        raise ValueError(name)
    return Reference(name, int(value["n"]), edges, counts, percentiles)


def _known(values: ArrayLike) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    return given[np.isfinite(given)]


def _counts(values: Floats, edges: Floats) -> NDArray[np.intp]:
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
