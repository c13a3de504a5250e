"""Classification: each film put into its likeliest class, where its classes exclude each other.

That is so for the classes of a softmax, and for one finding, which is absent or present. Of several
findings that may occur together there is no likeliest one, and AUROC says what is to be said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from monai_cxr.evaluation.json_values import json_of
from monai_cxr.evaluation.predictions.prediction_columns import sum_to_one
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import clusters_of, patient_codes
from monai_cxr.evaluation.statistics.intervals import Resampled, patient_interval
from monai_cxr.evaluation.statistics.logits import sigmoid
from monai_cxr.evaluation.statistics.replicates import Weights, replicate
from monai_cxr.evaluation.statistics.shares import mean_of_shares, share_interval
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]

ABSENT_OR_PRESENT = ("absent", "present")
"""Classes of one finding; present means a probability of at least 0.5."""


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """How often the likeliest class is the right one.

    Attributes:
        classes: K names.
        confusion: int64, shape (K, K): films by true class (row) and likeliest class (column).
        accuracy: Share of films whose likeliest class is theirs (top-1), with a patient interval.
        balanced_accuracy: Mean over classes of the share that is found.
        kappa: Cohen's, agreement beyond chance.
        recall: By class, the share of its films that is found: of one finding, ``absent`` has the
            specificity and ``present`` the sensitivity.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    accuracy: Interval
    balanced_accuracy: Interval
    kappa: Interval
    recall: Mapping[str, Interval]

    @property
    def n(self) -> int:
        """Films with a known class."""
        return int(self.confusion.sum())

    def to_json(self) -> dict[str, Any]:
        """The entry of ``performance.json``."""
        return {"n": self.n, **json_of(self)}


@dataclass(frozen=True, slots=True, eq=False)
class CohensKappa:
    """Cohen's kappa under weights.

    Attributes:
        cells: float32, shape (K K, P): films of a patient by true class and likeliest class.
        n_classes: K.
    """

    cells: csc_matrix
    n_classes: int

    def __call__(self, weights: Weights) -> Floats:
        """Shape (1, B); NaN where a true class of the data has no film."""
        k = self.n_classes
        counts = (self.cells @ weights).astype(np.float64).reshape(k, k, -1)
        total, right = counts.sum(axis=(0, 1)), np.einsum("iib->b", counts)
        truth, chosen = counts.sum(axis=1), counts.sum(axis=0)
        here = np.asarray(self.cells.sum(axis=1)).reshape(k, k).sum(axis=1) > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            by_chance = (truth * chosen).sum(axis=0) / total**2
            kappa: Floats = (right / total - by_chance) / (1.0 - by_chance)
        kappa[(truth[here] == 0).any(axis=0)] = np.nan
        return kappa[None]


def classify(predictions: PredictionSet, plan: BootstrapPlan) -> Classification | None:
    """Put each film into its likeliest class and count.

    Args:
        predictions: Scores and truth of the same images.
        plan: Plan of the bootstrap over the patients of these predictions.

    Returns:
        The counts; None where the findings do not exclude each other.
    """
    found = _classes(predictions)
    if found is None:
        return None
    classes, truth, likeliest = found
    known = truth >= 0
    if not known.any():
        return None
    k = len(classes)
    codes, n_patients = patient_codes(predictions.patient_ids)
    truth, likeliest, codes = truth[known], likeliest[known], codes[known]
    right = truth == likeliest
    shares = {
        name: share_interval(right[truth == i], codes[truth == i]) for i, name in enumerate(classes)
    }
    accuracy, balanced, kappa = (
        share_interval(right, codes),
        mean_of_shares([share for share in shares.values() if not math.isnan(share.estimate)]),
        kappa_interval(truth * k + likeliest, codes, k, plan, n_patients),
    )
    if not plan.n_replicates:
        shares = {name: Interval(share.estimate) for name, share in shares.items()}
        accuracy, balanced = Interval(accuracy.estimate), Interval(balanced.estimate)
    confusion = np.bincount(truth * k + likeliest, minlength=k * k).reshape(k, k)
    return Classification(classes, confusion, accuracy, balanced, kappa, shares)


def kappa_interval(
    cells: NDArray[np.int64], codes: NDArray[np.intp], k: int, plan: BootstrapPlan, n_patients: int
) -> Interval:
    """Cohen's kappa with its interval over patients.

    Args:
        cells: Shape (N,), true class times K plus chosen class.
        codes: Shape (N,), patients, from 0.
        k: Number of classes, K.
        plan: Plan of the bootstrap over these patients.
        n_patients: P.
    """
    ones = np.ones(len(cells), dtype=np.float32)
    matrix = csc_matrix((ones, (cells, codes)), shape=(k * k, n_patients))
    matrix.sum_duplicates()
    kappa = CohensKappa(matrix, k)
    estimate = float(kappa(np.ones((n_patients, 1), dtype=np.float32))[0, 0])
    (drawn,) = replicate([kappa], plan)
    rarest = min(
        (clusters_of(codes[cells // k == i]) for i in np.unique(cells // k)),
        key=lambda clusters: clusters.worth,
    )
    if len(np.unique(drawn[0])) == 1 and estimate != 1.0:
        return Interval(estimate)  # one class is always chosen: nothing drawn can move it
    return patient_interval(Resampled(estimate, drawn[0], rarest), of_area=estimate == 1.0)


def _classes(
    predictions: PredictionSet,
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]] | None:
    """Names, true class of each film (-1 where it is not known) and likeliest class."""
    labels, probabilities = predictions.labels, predictions.probabilities
    if labels.shape[1] == 1:
        truth = np.where(np.isnan(labels[:, 0]), -1, labels[:, 0] == 1.0).astype(np.int64)
        return ABSENT_OR_PRESENT, truth, (probabilities[:, 0] >= 0.5).astype(np.int64)
    known = ~np.isnan(labels).any(axis=1)
    one_each = bool((labels[known].sum(axis=1) == 1.0).all())
    if not (one_each and _is_softmax(predictions)):
        return None
    truth = np.where(known, np.nan_to_num(labels).argmax(axis=1), -1)
    return predictions.findings, truth, probabilities.argmax(axis=1)


def _is_softmax(predictions: PredictionSet) -> bool:
    """Whether the scores of each film add up to one.

    Our networks of exclusive classes give log odds of the softmax; a calibration, which is by
    class, leaves these as they are.
    """
    raw = predictions.probabilities if predictions.logits is None else sigmoid(predictions.logits)
    return sum_to_one(raw)
