"""Calibration: one method a finding, with the provenance of its fit, to and from JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.atomic import write_json
from monai_cxr.errors import InvalidTable, NotCalibrated, SettingsError
from monai_cxr.evaluation.calibration.choice import fit_findings, patient_folds
from monai_cxr.evaluation.calibration.methods import METHODS, FindingCalibration
from monai_cxr.evaluation.calibration.patient_sketch import PatientSketch
from monai_cxr.evaluation.calibration.provenance import Provenance
from monai_cxr.evaluation.json_values import json_of, read_as
from monai_cxr.evaluation.statistics.blas_threads import one_blas_thread
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.evaluation.statistics.logits import to_logits

if TYPE_CHECKING:
    from monai_cxr.evaluation.predictions.prediction_set import PredictionSet

Floats = NDArray[np.float64]

FORMAT_VERSION = "1.0"
_KINDS = ("logits", "probabilities")


@dataclass(frozen=True, slots=True, eq=False)
class Calibrator:
    """Logits of F findings to probabilities.

    Attributes:
        findings: One calibration a finding, in the order of the model's outputs.
        provenance: Provenance of the fit.
    """

    findings: tuple[FindingCalibration, ...]
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the findings in order."""
        return tuple(calibration.finding for calibration in self.findings)

    @property
    def methods(self) -> dict[str, str]:
        """The method of each finding by its name, for example ``{"Mass": "platt"}``."""
        return {calibration.finding: calibration.method for calibration in self.findings}

    def for_findings(self, names: Sequence[str]) -> Calibrator:
        """The same calibration with its findings in the order of a model's outputs.

        Raises:
            NotCalibrated: If a finding has no calibration here.
        """
        by_name = {calibration.finding: calibration for calibration in self.findings}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise NotCalibrated(
                f"The calibration has no {', '.join(missing)}; it has {', '.join(by_name)}. Fit it "
                "on predictions with the same findings."
            )
        return Calibrator(tuple(by_name[name] for name in names), self.provenance)

    def at_prevalence(self, prevalences: Mapping[str, float]) -> Calibrator:
        """The same calibration for a population with other, stated prevalences.

        Args:
            prevalences: By finding; findings that are not named stay as they are.

        Raises:
            SettingsError: If a finding is unknown here, or a prevalence impossible.
        """
        unknown = sorted(set(prevalences) - set(self.names))
        if unknown:
            raise SettingsError(
                f"A prevalence is stated of '{unknown[0]}', which is none of: "
                f"{', '.join(self.names)}."
            )
        moved = (
            part.at_prevalence(prevalences[part.finding]) if part.finding in prevalences else part
            for part in self.findings
        )
        return Calibrator(tuple(moved), self.provenance)

    def apply(self, logits: ArrayLike) -> Floats:
        """Calibrate.

        Args:
            logits: Shape (N, F) in the order of :attr:`names`.

        Returns:
            float64, shape (N, F), in [0, 1].

        Raises:
            InvalidTable: If there are not F columns.
        """
        z = np.asarray(logits, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != len(self.findings):
            raise InvalidTable(
                f"Expected logits of shape (N, {len(self.findings)}), but got {z.shape}."
            )
        result = np.empty(z.shape)  # without a column, of an encoder
        for i, calibration in enumerate(self.findings):
            result[:, i] = calibration.apply(z[:, i])
        return result

    def apply_to(self, predictions: PredictionSet) -> PredictionSet:
        """Replace the probabilities of a prediction set, finding by finding.

        Raises:
            NotCalibrated: If a finding of the predictions has no calibration here.
        """
        calibrator = self.for_findings(predictions.findings)
        return predictions.with_probabilities(calibrator.apply(logits_of(predictions)))

    def to_json(self) -> dict[str, object]:
        """A JSON value; the same calibrator gives the same text."""
        return {
            "format": "monai_cxr calibration",
            "format_version": FORMAT_VERSION,
            "provenance": self.provenance.to_json(),
            "findings": {entry.pop("finding"): entry for entry in json_of(self.findings)},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Calibrator:
        """The inverse of :meth:`to_json`.

        Raises:
            NotCalibrated: If the value is not a calibration of this version.
        """
        try:
            if str(value["format_version"]).split(".")[0] != FORMAT_VERSION.split(".")[0]:
                raise NotCalibrated(
                    f"Expected a calibration of format {FORMAT_VERSION}, but got "
                    f"{value['format_version']}."
                )
            findings = tuple(
                _finding_from_json(name, entry)
                for name, entry in value["findings"].items()  # type: ignore[attr-defined]
            )
            return cls(findings, Provenance.from_json(value["provenance"]))  # type: ignore[arg-type]
        except (SettingsError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise NotCalibrated(
                f"Not a calibration: {type(error).__name__} {error}. Write it again with "
                "monai-cxr calibrate."
            ) from error


@one_blas_thread()
def fit_calibrator(
    predictions: PredictionSet,
    *,
    method: str | Mapping[str, str] | None = None,
    n_folds: int = 5,
    seed: int = 0,
    split: str = "",
    fitted_on: str = "",
    training_priors: Mapping[str, float] | None = None,
    positive_weights: Mapping[str, float] | None = None,
) -> Calibrator:
    """Fit one method a finding, chosen by patient-wise cross-validated log loss.

    Args:
        predictions: Predictions of a split that trained nothing and will test nothing.
        method: Force one method for all, or by finding; None lets the log loss choose.
        n_folds: Patient-wise folds, at least 2.
        seed: Seed of the folds.
        split: Its name, for the provenance.
        fitted_on: Date for the provenance, stated so that the file stays reproducible.
        training_priors: Prevalence in training by finding, kept in the provenance.
        positive_weights: Weight of the positives in the training loss by finding; its logarithm is
            the logit shift of findings without positives here.

    Returns:
        The calibrator.

    Raises:
        SettingsError: If a method is unknown or there are fewer than two folds.
        InvalidTable: If there is one patient only.
    """
    if n_folds < 2:
        raise SettingsError(f"Expected at least 2 folds, but got {n_folds}.")
    methods = _methods(method, predictions.findings)
    codes, n_patients = patient_codes(predictions.patient_ids)
    if n_patients < 2:
        raise InvalidTable(
            "All images belong to one patient, so nothing can be cross-validated. Calibrate on the "
            "labelled films of many patients.",
            reason="too_few_patients",
        )
    folds = patient_folds(codes, min(n_folds, n_patients), seed)
    z = logits_of(predictions)
    offsets = {name: -math.log(weight) for name, weight in (positive_weights or {}).items()}
    findings = fit_findings(
        predictions.findings, z, predictions.labels, codes, folds, methods=methods, offsets=offsets
    )
    provenance = Provenance(
        source=_KINDS[predictions.logits is None],
        split=split,
        fitted_on=fitted_on,
        n_images=len(predictions),
        n_patients=n_patients,
        n_folds=min(n_folds, n_patients),
        seed=seed,
        data_digest=predictions.digest,
        training_priors=dict(training_priors or {}),
        patients=PatientSketch.of(predictions.patient_ids, predictions.numbering),
    )
    return Calibrator(findings, provenance)


def training_weights_calibrator(positive_weights: Mapping[str, float]) -> Calibrator:
    """Undo the positive weights of a training loss, analytically: no data are needed.

    A loss that counts positives w times trains log odds that are log(w) too high.

    Args:
        positive_weights: w > 0 by finding, in the model's order.

    Returns:
        A prior shift of -log(w) for each finding.
    """
    wrong = {name: w for name, w in positive_weights.items() if not w > 0.0}
    if wrong:
        raise SettingsError(f"Expected positive weights above 0, but got {wrong}.")
    return Calibrator(
        tuple(
            FindingCalibration(
                name, "prior_shift", {"shift": (-math.log(w),)}, reason="Weights of the loss."
            )
            for name, w in positive_weights.items()
        )
    )


def logits_of(predictions: PredictionSet) -> Floats:
    """The model's logits, or those of its probabilities; float64, shape (N, F)."""
    if predictions.logits is not None:
        return predictions.logits
    return to_logits(predictions.probabilities)


def read_calibrator(path: Path | str) -> Calibrator:
    """Read a calibration file.

    Raises:
        NotCalibrated: If the file is absent or not a calibration.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotCalibrated(
            f"'{path.name}' cannot be read as a calibration ({type(error).__name__})."
        ) from error
    if not isinstance(value, dict):
        raise NotCalibrated(f"'{path.name}' holds no calibration. Expected a JSON object.")
    return Calibrator.from_json(value)


def write_calibrator(calibrator: Calibrator, path: Path | str) -> None:
    """Write a calibration file whole or not at all."""
    write_json(Path(path), calibrator.to_json())


def _methods(method: str | Mapping[str, str] | None, findings: Sequence[str]) -> Mapping[str, str]:
    chosen = dict.fromkeys(findings, method) if isinstance(method, str) else dict(method or {})
    unknown = sorted(set(chosen.values()) - set(METHODS))
    if unknown:
        raise SettingsError(f"Expected one of {', '.join(METHODS)}, but got {', '.join(unknown)}.")
    return chosen


def _finding_from_json(name: str, entry: Mapping[str, object]) -> FindingCalibration:
    read: FindingCalibration = read_as(FindingCalibration, {**entry, "finding": name}, name)
    if read.method not in METHODS:
        raise NotCalibrated(f"Unknown calibration method '{read.method}' of {name}.")
    read.apply(np.zeros(1))  # a missing parameter shows here, not in the clinic
    return read
