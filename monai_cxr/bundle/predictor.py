"""Predictor: what one bundle and an ensemble of bundles have in common; films to predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr.bundle.engines.runtime import FilmBatch
from monai_cxr.monitoring.familiarity import Familiarity
from monai_cxr.prediction import FindingScore, ModelIdentity, OperatingPoint, Prediction
from monai_cxr.radiograph import InstanceKey, Radiograph
from monai_cxr.reading.film_input import InputSpec, network_input


@dataclass(frozen=True, slots=True)
class BatchScores:
    """What a model says of a batch, all from one pass.

    Attributes:
        logits: float64, shape (B, F).
        probabilities: Calibrated, shape (B, F); NaN without a calibration.
        embeddings: float32, shape (B, C), or None; see
            :class:`monai_cxr.bundle.engines.runtime.NetworkOutput`.
        cam: float32, shape (B, F, r, k), or None.
        disagreement: Of an ensemble, the standard deviation of its members' log odds, float32,
            shape (B, F), or None.
    """

    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    embeddings: NDArray[np.float32] | None = None
    cam: NDArray[np.float32] | None = None
    disagreement: NDArray[np.float32] | None = None


class Predictor(Protocol):
    """One bundle, or several that speak as one."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""

    @property
    def findings(self) -> tuple[str, ...]:
        """Names in the order of the scores."""

    @property
    def specs(self) -> tuple[InputSpec, ...]:
        """What its networks take, one a network input."""

    @property
    def calibrated(self) -> bool:
        """Whether there are probabilities."""

    @property
    def batch_size(self) -> int:
        """How many films at a time keep its engine busy."""

    @property
    def batches_at_once(self) -> int:
        """Number of batches that it can take at once, each in its own thread."""

    @property
    def familiarity(self) -> Familiarity:
        """What it knows of the films and the patients that it was made with."""

    @property
    def operating_points(self) -> Mapping[str, OperatingPoint]:
        """Thresholds by finding."""

    def score(self, inputs: Sequence[FilmBatch]) -> BatchScores:
        """Score a batch, given once for each of ``specs``, each of shape (B, 1, size, size)."""


def predict_films(
    model: Predictor, radiographs: Sequence[Radiograph], batch_size: int
) -> list[Prediction]:
    """Predict films in memory; one prediction per film, in order."""
    result: list[Prediction] = []
    for start in range(0, len(radiographs), batch_size):
        films = radiographs[start : start + batch_size]
        inputs = [np.stack([network_input(film, spec) for film in films]) for spec in model.specs]
        ages = [film.patient_age_years for film in films]
        scored = predictions(model, [(film.key, film.flags) for film in films], inputs, ages)
        result += [replace(p, quality=f.quality) for p, f in zip(scored, films, strict=True)]
    return result


def predictions(
    model: Predictor,
    films: Sequence[tuple[InstanceKey, tuple[str, ...]]],
    inputs: Sequence[FilmBatch],
    ages: Sequence[float | None] = (),
) -> list[Prediction]:
    """Predict films that are ready.

    Args:
        model: The model.
        films: Identity and flags of each.
        inputs: As for :meth:`Predictor.score`.
        ages: Of the patient of each film, in years or None; empty where no age is known.

    Returns:
        One prediction per film, in order, without measures of the pictures. Its flags are those of
        the film, and the marks of :mod:`monai_cxr.monitoring.familiarity`.
    """
    scores = model.score(inputs)
    marks = model.familiarity.film_marks(scores.embeddings, len(films))
    known = [model.familiarity.age_marks(age) for age in ages or [None] * len(films)]
    rows = zip(films, scores.logits, scores.probabilities, marks, known, strict=True)
    return [
        Prediction(
            key, model.identity, _finding_scores(model, logits, probabilities), flags + film + age
        )
        for (key, flags), logits, probabilities, film, age in rows
    ]


def _finding_scores(
    model: Predictor, logits: NDArray[np.float64], probabilities: NDArray[np.float64]
) -> tuple[FindingScore, ...]:
    scores = []
    for name, logit, probability in zip(model.findings, logits, probabilities, strict=True):
        point = model.operating_points.get(name)
        decided = point is not None and not math.isnan(probability - point.threshold)
        positive = bool(probability >= point.threshold) if point and decided else None
        scores.append(FindingScore(name, float(logit), float(probability), positive))
    return tuple(scores)
