"""Provenance: where a calibration comes from, in words that can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from monai_cxr.evaluation.calibration.patient_sketch import PatientSketch
from monai_cxr.evaluation.json_values import json_of, read_as


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a calibration comes from.

    Attributes:
        source: ``logits``, or ``probabilities`` of another program (their logits were used).
        split: Which split fitted it, for example ``"val"``; empty when not stated.
        fitted_on: Date, stated by the caller, ISO 8601; empty when not stated.
        n_images: Images.
        n_patients: Patients.
        n_folds: Patient-wise folds of the cross-validation.
        seed: Seed of the folds.
        data_digest: SHA-256 over images and labels.
        training_priors: Prevalence in the training split by finding, where known.
        patients: A sketch that recognises the patients without naming them.
    """

    source: str = "logits"
    split: str = ""
    fitted_on: str = ""
    n_images: int = 0
    n_patients: int = 0
    n_folds: int = 5
    seed: int = 0
    data_digest: str = ""
    training_priors: Mapping[str, float] = field(default_factory=dict)
    patients: PatientSketch | None = None

    def to_json(self) -> dict[str, object]:
        """A JSON value."""
        patients = None if self.patients is None else self.patients.to_json()
        return {**json_of(replace(self, patients=None)), "patients": patients}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Provenance:
        """The inverse of :meth:`to_json`; unknown fields are left out."""
        sketch: Any = value.get("patients")
        read: Provenance = read_as(cls, {**value, "patients": None}, "provenance")
        return replace(read, patients=None if sketch is None else PatientSketch.from_json(sketch))
