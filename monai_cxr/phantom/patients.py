"""Patients: who is on the film, which findings are there, and what the label says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom.settings import PhantomSettings

_MAX_FILMS = 40
_SHARED_ILLNESS = 0.35
"""Correlation of each finding's liability with a patient's general illness."""

# Correlation of a finding's liability from one film to the next: a hernia stays, oedema goes.
_PERSISTENCE: Mapping[str, float] = {
    "Atelectasis": 0.6, "Cardiomegaly": 0.97, "Effusion": 0.7, "Infiltration": 0.5,
    "Mass": 0.95, "Nodule": 0.95, "Pneumonia": 0.4, "Pneumothorax": 0.5,
    "Consolidation": 0.5, "Edema": 0.5, "Emphysema": 0.98, "Fibrosis": 0.98,
    "Pleural_Thickening": 0.95, "Hernia": 0.98,
}  # fmt: skip

# One number a stream, so that a new draw in one never moves another.
_DEMOGRAPHY, _HABITUS, _DISEASE, _ACQUISITION, _LABELS, _SITE, _VISITS = range(7)


@dataclass(frozen=True, slots=True)
class Visit:
    """One examination of one patient.

    Attributes:
        patient: Index of the patient, from 0.
        follow_up: Index of the film among the patient's films, from 0.
        sex: ``"M"`` or ``"F"``.
        age_years: Age on the day of the film.
        view_position: ``"PA"`` or ``"AP"``.
        day: Days since the patient's first film.
        severities: Severity in (0, 1] of each finding that is present, in NIH's order.
        labels: float32, shape (14,), 0 or 1: what the label says, noise included.
    """

    patient: int
    follow_up: int
    sex: str
    age_years: int
    view_position: str
    day: int
    severities: Mapping[str, float]
    labels: NDArray[np.float32]

    @property
    def patient_id(self) -> str:
        """The patient's identifier, for example ``"PHANTOM-000123"``."""
        return f"PHANTOM-{self.patient:06d}"

    @property
    def truth(self) -> NDArray[np.float32]:
        """float32, shape (14,), 0 or 1: what is drawn on the film."""
        return np.array([name in self.severities for name in FINDING_NAMES], dtype=np.float32)


def n_films(settings: PhantomSettings, patient: int) -> int:
    """Number of films of a patient: geometric with the settings' mean, at most 40."""
    rng = _stream(settings, patient, _VISITS)
    return int(min(rng.geometric(1.0 / settings.mean_films_per_patient), _MAX_FILMS))


def examine(settings: PhantomSettings, *, patient: int, follow_up: int = 0) -> Visit:
    """Decide everything about an examination that is not a pixel.

    Findings follow a Gaussian liability: a shared part (general illness), a part that persists
    from film to film, and chance. The share of films with each finding is exactly the prevalence
    asked for.

    Args:
        settings: Seed, prevalences, label noise.
        patient: Index of the patient, from 0; may exceed ``n_patients``.
        follow_up: Index of the film, from 0.

    Returns:
        The visit.

    Raises:
        SettingsError: If an index is negative.
    """
    if patient < 0 or follow_up < 0:
        raise SettingsError(
            f"Expected patient and follow_up of at least 0, but got {patient} and {follow_up}. "
            "Count both from 0."
        )
    rng = _stream(settings, patient, _DEMOGRAPHY)
    sex = "M" if rng.random() < 0.55 else "F"
    age = float(np.clip(rng.normal(50.0, 16.0), 18.0, 90.0))
    days = np.concatenate([[0], np.cumsum(rng.integers(20, 500, size=_MAX_FILMS))])
    day = int(days[min(follow_up, _MAX_FILMS)])
    severities = _severities(settings, patient, follow_up)
    acquisition = stream_of_film(settings, patient, follow_up)
    return Visit(
        patient=patient,
        follow_up=follow_up,
        sex=sex,
        age_years=int(age + day / 365.25),
        view_position="AP" if acquisition.random() < settings.ap_share else "PA",
        day=day,
        severities=severities,
        labels=_labels(settings, patient, follow_up, severities),
    )


def stream_of_body(settings: PhantomSettings, patient: int) -> np.random.Generator:
    """Random stream of a patient's anatomy: the same for all of the patient's films."""
    return _stream(settings, patient, _HABITUS)


def stream_of_site(settings: PhantomSettings, patient: int, finding: str) -> np.random.Generator:
    """Random stream of where and how a finding sits in a patient: the same on all films."""
    return _stream(settings, patient, _SITE, FINDING_NAMES.index(finding))


def stream_of_film(settings: PhantomSettings, patient: int, follow_up: int) -> np.random.Generator:
    """Random stream of a film's acquisition: pose, exposure, noise; its first draw is the view."""
    return _stream(settings, patient, _ACQUISITION, follow_up)


def _severities(settings: PhantomSettings, patient: int, follow_up: int) -> dict[str, float]:
    rng = _stream(settings, patient, _DISEASE)
    n = len(FINDING_NAMES)
    persistence = np.array([_PERSISTENCE[name] for name in FINDING_NAMES])
    illness = rng.standard_normal()
    liability = rng.standard_normal(n)
    grade = rng.random(n)
    for _ in range(follow_up):
        fresh = rng.standard_normal(n)
        liability = persistence * liability + np.sqrt(1.0 - persistence**2) * fresh
        grade = np.where(rng.random(n) < persistence, grade, rng.random(n))
    total = _SHARED_ILLNESS * illness + np.sqrt(1.0 - _SHARED_ILLNESS**2) * liability
    low, high = settings.severity
    return {
        name: float(low + (high - low) * grade[index])
        for index, name in enumerate(FINDING_NAMES)
        if total[index] > _threshold(settings.prevalence[name])
    }


def _threshold(prevalence: float) -> float:
    if prevalence <= 0.0:
        return float("inf")
    return float("-inf") if prevalence >= 1.0 else NormalDist().inv_cdf(1.0 - prevalence)


def _labels(
    settings: PhantomSettings, patient: int, follow_up: int, severities: Mapping[str, float]
) -> NDArray[np.float32]:
    chance = _stream(settings, patient, _LABELS, follow_up).random(len(FINDING_NAMES))
    labels = np.zeros(len(FINDING_NAMES), dtype=np.float32)
    for index, name in enumerate(FINDING_NAMES):
        prevalence = settings.prevalence[name]
        if name in severities:
            labels[index] = chance[index] >= settings.label_noise
        elif prevalence < 1.0:
            false_rate = min(settings.label_noise * prevalence / (1.0 - prevalence), 1.0)
            labels[index] = chance[index] < false_rate
    return labels


def _stream(settings: PhantomSettings, patient: int, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, patient, *purpose])
