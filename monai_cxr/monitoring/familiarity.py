"""Familiarity: is this one film, or this patient's age, like those that a model was made with?

Two marks, which refuse nothing and change no score. They travel in the bundle's reference as a mean
and a whitening of randomly projected embeddings, and as an age range: no film and no patient.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.monitoring.two_sample import projected

if TYPE_CHECKING:
    import pandas as pd

UNLIKE = "unlike_training"
"""Flag of a film whose embedding is farther away than 99 in 100 of the validation films."""

AGE_OUTSIDE = "age_outside_training"
"""Flag of a patient who is younger or older than 98 in 100 of the training patients."""

FEWEST_FILMS = 100
"""Validation films below which no distance is kept: a 99th percentile needs them."""

FEWEST_PATIENTS = 50
"""Training patients with an age below which no range is kept."""

_KEY = "familiarity"
_N_COMPONENTS = 32
_N_FOLDS = 5
_SHRINKAGE = 0.1  # towards a multiple of the identity: finite where films are few
_PERCENTILE = 99.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KnownFilms:
    """Where the embeddings of the validation films lie.

    Attributes:
        n_films: Validation films.
        n_channels: Of an embedding.
        mean: Of the projected embeddings, shape (K,).
        whitening: Shape (K, K): takes a difference from the mean to the distance's axes.
        limit: 99th percentile of the distances of films of patients that were left out.
    """

    n_films: int
    n_channels: int
    mean: tuple[float, ...]
    whitening: tuple[tuple[float, ...], ...]
    limit: float

    def distances(self, embeddings: ArrayLike) -> Floats:
        """Mahalanobis distances, shape (N,), of embeddings of shape (N, C).

        Raises:
            InvalidTable: If C is another number than that of the films which are known.
        """
        values = np.asarray(embeddings, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != self.n_channels:
            raise InvalidTable(
                f"Expected embeddings of shape (N, {self.n_channels}), but got {values.shape}."
            )
        return _lengths(projected(values, len(self.mean)), np.array(self.mean), self.whitening)


@dataclass(frozen=True, slots=True)
class KnownAges:
    """Ages of the training patients.

    Attributes:
        n_patients: Patients with an age.
        lowest: 1st percentile in years, rounded down.
        highest: 99th percentile in years, rounded up.
    """

    n_patients: int
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What a bundle knows of its films and patients; nothing is marked where it knows nothing.

    Attributes:
        films: Of the validation films, or None.
        ages: Of the training patients, or None.
    """

    films: KnownFilms | None = None
    ages: KnownAges | None = None

    def film_marks(self, embeddings: ArrayLike | None, n: int) -> list[tuple[str, ...]]:
        """Flags of each of ``n`` films by its embedding; none where the engine gives no embedding.

        Args:
            embeddings: Shape (n, C), or None.
            n: Films.
        """
        if self.films is None or embeddings is None:
            return [()] * n
        return [(UNLIKE,) if d > self.films.limit else () for d in self.films.distances(embeddings)]

    def age_marks(self, years: float | None) -> tuple[str, ...]:
        """Flags of a patient's age in years; none where it is not known."""
        if self.ages is None or years is None or math.isnan(years):
            return ()
        return () if self.ages.lowest <= years <= self.ages.highest else (AGE_OUTSIDE,)

    @property
    def content(self) -> dict[str, Any]:
        """What the bundle's reference keeps; see :func:`read_familiarity`."""
        parts = {"films": self.films, "ages": self.ages}
        found = {name: asdict(part) for name, part in parts.items() if part is not None}
        return {_KEY: found} if found else {}


NOTHING_KNOWN = Familiarity()
"""Of a run, of older bundles, and of networks from elsewhere."""


def known_films(embeddings: Sequence[ArrayLike], patients: Sequence[object]) -> KnownFilms | None:
    """Learn where the embeddings of films lie.

    Args:
        embeddings: One of shape (C,) a film, or empty where the film was not read.
        patients: Of each film; the films of one are left out together to find the limit.

    Returns:
        None with fewer than :data:`FEWEST_FILMS` films.
    """
    kept = [i for i, one in enumerate(embeddings) if np.size(one)]
    if len(kept) < FEWEST_FILMS:
        return None
    values = np.stack([np.asarray(embeddings[i], dtype=np.float64) for i in kept])
    points = projected(values, min(_N_COMPONENTS, values.shape[1]))
    _, codes = np.unique([str(patients[i]) for i in kept], return_inverse=True)
    folds = np.random.default_rng(0).permutation(codes.max() + 1)[codes] % _N_FOLDS
    held_out = np.concatenate(
        [
            _lengths(points[folds == fold], *_centre(points[folds != fold]))
            for fold in range(_N_FOLDS)
            if 0 < (folds == fold).sum() < len(folds)
        ]
        or [_lengths(points, *_centre(points))]
    )
    limit = float(np.percentile(held_out, _PERCENTILE))
    mean, whitening = _centre(points)
    rows = tuple(tuple(row) for row in whitening.tolist())
    return KnownFilms(len(points), values.shape[1], tuple(mean.tolist()), rows, limit)


def known_ages(index: pd.DataFrame) -> KnownAges | None:
    """Learn the age range of the patients of split train.

    Args:
        index: With ``patient_id``, ``age`` and ``split``.

    Returns:
        None with fewer than :data:`FEWEST_PATIENTS` patients whose age is known.
    """
    import pandas as pd

    if not {"patient_id", "age", "split"} <= set(index.columns):
        return None
    rows = index[index["split"] == "train"]
    ages = pd.to_numeric(rows["age"], errors="coerce").groupby(rows["patient_id"]).median().dropna()
    if len(ages) < FEWEST_PATIENTS:
        return None
    lowest, highest = np.percentile(ages, [100.0 - _PERCENTILE, _PERCENTILE])
    return KnownAges(len(ages), float(math.floor(lowest)), float(math.ceil(highest)))


def read_familiarity(path: Path) -> Familiarity:
    """Read what a bundle's reference keeps; nothing where there is none, as in older bundles.

    Raises:
        InvalidTable: If what is there is something else.
    """
    if not path.is_file():
        return NOTHING_KNOWN
    try:
        content = json.loads(path.read_text(encoding="utf-8")).get(_KEY, {})
        films, ages = content.get("films"), content.get("ages")
        return Familiarity(
            None if films is None else _films(films), None if ages is None else KnownAges(**ages)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidTable(
            f"The familiarity in '{path.name}' cannot be read ({type(error).__name__}). Package "
            "the run again."
        ) from error


def _films(content: Mapping[str, Any]) -> KnownFilms:
    mean = tuple(float(value) for value in content["mean"])
    whitening = tuple(tuple(float(value) for value in row) for row in content["whitening"])
    if any(len(row) != len(mean) for row in whitening) or len(whitening) != len(mean):
        raise ValueError("whitening")
    n_films, n_channels = int(content["n_films"]), int(content["n_channels"])
    return KnownFilms(n_films, n_channels, mean, whitening, float(content["limit"]))


def _centre(points: Floats) -> tuple[Floats, Floats]:
    """Mean, and whitening of the shrunk covariance, of points of shape (N, K)."""
    covariance = np.atleast_2d(np.cov(points, rowvar=False))
    level = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    shrunk = (1.0 - _SHRINKAGE) * covariance + _SHRINKAGE * level * np.eye(len(covariance))
    values, axes = np.linalg.eigh(shrunk)
    return points.mean(axis=0), axes / np.sqrt(values)


def _lengths(points: Floats, mean: Floats, whitening: ArrayLike) -> Floats:
    made: Floats = np.linalg.norm((points - mean) @ np.asarray(whitening), axis=1)
    return made
