"""Clusters: the patients behind a statistic, and their effective number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Patients, each with its share of the images that a statistic rests on.

    Attributes:
        codes: Shape (K,), distinct codes of patients, increasing.
        shares: float64, shape (K,), positive, adding up to 1; empty where nothing is behind it.
    """

    codes: NDArray[np.intp]
    shares: Floats

    @property
    def worth(self) -> float:
        """Effective number of patients: (sum m)^2 / sum m^2 (Kish 1965); 0 without any.

        Where a few patients hold most of the images, the data are worth fewer patients than they
        have: 1 for one patient with everything, K for K patients with as many images each.
        """
        return 1.0 / sum_of_squares(self.shares) if len(self.shares) else 0.0

    @property
    def n_effective(self) -> int:
        """:attr:`worth`, rounded down."""
        return int(self.worth + 1e-9)


def sum_of_squares(values: Floats) -> float:
    """Sum of squares without BLAS, whose threads take longer to meet than so few numbers do."""
    return float(np.add.reduce(values * values))


def clusters_of(patients: NDArray[np.intp], images: ArrayLike | None = None) -> Clusters:
    """Patients by their number of images.

    Args:
        patients: Shape (N,), codes from 0.
        images: Shape (N,), weights, non-negative; ones by default.

    Returns:
        The patients with any weight.
    """
    counts = np.bincount(patients, weights=None if images is None else np.asarray(images))
    codes = np.flatnonzero(counts)
    return Clusters(codes, counts[codes] / counts.sum() if len(codes) else np.empty(0))


def rarer_class(patients: NDArray[np.intp], labels: Floats) -> Clusters:
    """Patients of the class that is worth fewer of them: it decides how much is known.

    Args:
        patients: Shape (N,), codes from 0.
        labels: Shape (N,), 0, 1 or NaN.

    Returns:
        Patients by their images of that class; empty without one of the classes.
    """
    classes = [clusters_of(patients[labels == value]) for value in (0.0, 1.0)]
    return min(classes, key=lambda clusters: clusters.worth)


def pooled(parts: Sequence[Clusters], shares: Sequence[float] | Floats) -> Clusters:
    """Patients behind several statistics together.

    Args:
        parts: One or more.
        shares: How much each part counts; non-negative.

    Returns:
        Each patient with its share of all parts.
    """
    codes = np.concatenate([part.codes for part in parts])
    counted = [share * part.shares for part, share in zip(parts, shares, strict=True)]
    return clusters_of(codes, np.concatenate(counted))


def patient_codes(patient_ids: ArrayLike) -> tuple[NDArray[np.intp], int]:
    """Number the patients.

    Args:
        patient_ids: Shape (N,), any sortable values.

    Returns:
        Codes, shape (N,), in [0, P), and P.
    """
    names, codes = np.unique(np.asarray(patient_ids), return_inverse=True)
    return codes.reshape(-1), len(names)
