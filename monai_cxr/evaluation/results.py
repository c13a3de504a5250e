"""Results: the numbers of an evaluation as frozen values, and their JSON form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from monai_cxr.evaluation.classification import Classification
from monai_cxr.evaluation.curves import FindingCurves
from monai_cxr.evaluation.decisions.conformal import ConformalCheck
from monai_cxr.evaluation.decisions.operating_points import CheckedOperatingPoint
from monai_cxr.evaluation.json_values import interval_to_json, number
from monai_cxr.evaluation.statistics.reliability import BrierParts
from monai_cxr.evaluation.subgroups import Subgroup
from monai_cxr.prediction import Interval

SCHEMA_VERSION = "1.2"


@dataclass(frozen=True, slots=True)
class FindingPerformance:
    """The numbers of one finding; NaN where the data cannot give one.

    Attributes:
        finding: Name.
        n: Images with a known label.
        n_positive: Of these, the positive ones.
        n_positive_patients: Patients with a positive image.
        auroc: With a patient bootstrap interval.
        auroc_delong: With DeLong's interval, which takes images for independent.
        partial_auroc: Up to a false positive rate of 0.1, standardised.
        average_precision: With a patient bootstrap interval.
        brier: With a patient bootstrap interval.
        ece: Adaptive bins, with an interval.
        ece_equal_width: Equal-width bins, with an interval.
        ece_floor: Adaptive ECE that perfect calibration would show on so few images.
        log_loss: In nats.
        calibration_slope: 1 is right.
        calibration_intercept: 0 is right.
        brier_parts: Murphy's decomposition.
        ece_uncalibrated: Adaptive ECE of the model's own outputs, where these are known apart.
        gaps: Why numbers are missing, in sentences.
    """

    finding: str
    n: int
    n_positive: int
    n_positive_patients: int
    auroc: Interval
    auroc_delong: Interval
    partial_auroc: float
    average_precision: Interval
    brier: Interval
    ece: Interval
    ece_equal_width: Interval
    ece_floor: float
    log_loss: float
    calibration_slope: float
    calibration_intercept: float
    brier_parts: BrierParts
    ece_uncalibrated: float = math.nan
    gaps: tuple[str, ...] = ()

    @property
    def prevalence(self) -> float:
        """Share of positives; NaN without labels."""
        return self.n_positive / self.n if self.n else math.nan

    def to_json(self) -> dict[str, object]:
        """The entry of ``performance.json``: the plain numbers, and their intervals beside them."""
        return {
            "n": self.n,
            "n_positive": self.n_positive,
            "n_positive_patients": self.n_positive_patients,
            "prevalence": number(self.prevalence),
            "auroc": interval_to_json(self.auroc),
            "auroc_delong": interval_to_json(self.auroc_delong),
            "partial_auroc": number(self.partial_auroc),
            "average_precision": number(self.average_precision.estimate),
            "average_precision_interval": interval_to_json(self.average_precision),
            "brier": number(self.brier.estimate),
            "brier_interval": interval_to_json(self.brier),
            "brier_parts": {
                name: number(getattr(self.brier_parts, name))
                for name in ("reliability", "resolution", "uncertainty", "within_bin")
            },
            "ece": number(self.ece.estimate),
            "ece_interval": interval_to_json(self.ece),
            "ece_equal_width": number(self.ece_equal_width.estimate),
            "ece_equal_width_interval": interval_to_json(self.ece_equal_width),
            "ece_floor": number(self.ece_floor),
            "ece_uncalibrated": number(self.ece_uncalibrated),
            "log_loss": number(self.log_loss),
            "calibration_slope": number(self.calibration_slope),
            "calibration_intercept": number(self.calibration_intercept),
            "gaps": list(self.gaps),
        }


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Means over findings.

    Attributes:
        findings: Names that have an AUROC and so are in the mean.
        auroc: Mean AUROC.
        auroc_weighted: Mean AUROC weighted by positives.
        average_precision: Mean average precision.
        brier: Mean Brier score over all findings with labels.
        ece: Mean adaptive ECE over all findings with labels.
        ece_uncalibrated: The same of the model's own outputs, where these are known apart.
    """

    findings: tuple[str, ...]
    auroc: Interval
    auroc_weighted: Interval
    average_precision: Interval
    brier: Interval
    ece: Interval
    ece_uncalibrated: float = math.nan

    def to_json(self) -> dict[str, object]:
        """The entry of ``performance.json``."""
        return {
            "findings": list(self.findings),
            "auroc": interval_to_json(self.auroc),
            "auroc_weighted": interval_to_json(self.auroc_weighted),
            "average_precision": number(self.average_precision.estimate),
            "average_precision_interval": interval_to_json(self.average_precision),
            "brier": number(self.brier.estimate),
            "brier_interval": interval_to_json(self.brier),
            "ece": number(self.ece.estimate),
            "ece_interval": interval_to_json(self.ece),
            "ece_uncalibrated": number(self.ece_uncalibrated),
        }


@dataclass(frozen=True, slots=True)
class AnyFinding:
    """Is there anything at all: noisy-or of all findings.

    Attributes:
        n: Images for which this is known.
        n_positive: Images with at least one finding.
        auroc: With a patient bootstrap interval.
    """

    n: int
    n_positive: int
    auroc: Interval


@dataclass(frozen=True, slots=True)
class EvaluationIdentity:
    """What was evaluated, on what, and how.

    Attributes:
        data: Name of the data set, as the caller states it.
        split: Split of the images: ``"official test"`` allows comparison with published results.
        labels: Version of the labels.
        model: Name, version, digest and the like.
        n_images: Images.
        n_patients: Patients.
        data_digest: SHA-256 over images and labels.
        n_bootstrap: Replicates.
        seed: Of the bootstrap.
        calibration: Method by finding where a calibration was applied.
        created: Date, stated by the caller.
    """

    data: str = ""
    split: str = ""
    labels: str = ""
    model: Mapping[str, str] = field(default_factory=dict)
    n_images: int = 0
    n_patients: int = 0
    data_digest: str = ""
    n_bootstrap: int = 0
    seed: int = 0
    calibration: Mapping[str, str] = field(default_factory=dict)
    created: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Performance:
    """Everything about one model on one data set.

    Attributes:
        identity: What was evaluated, on what, and how.
        findings: One a finding, in the order of the predictions.
        macro: Means over findings.
        any_finding: All findings as one.
        operating_points: Given thresholds, checked on these data.
        subgroups: By facts of patient and image.
        curves: ROC, precision-recall, reliability and decision curves by finding.
        conformal: Given rules for absent, uncertain and present, checked on these data.
        classification: Likeliest classes, where they exclude each other.
        warnings: What a reader must know, in sentences.
    """

    identity: EvaluationIdentity
    findings: tuple[FindingPerformance, ...]
    macro: Aggregate
    any_finding: AnyFinding
    operating_points: tuple[CheckedOperatingPoint, ...]
    subgroups: tuple[Subgroup, ...]
    curves: Mapping[str, FindingCurves]
    conformal: tuple[ConformalCheck, ...] = ()
    classification: Classification | None = None
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[FindingPerformance]:
        """The findings in order."""
        return iter(self.findings)

    def __getitem__(self, finding: str) -> FindingPerformance:
        """The numbers of a finding.

        Raises:
            KeyError: If it was not evaluated.
        """
        for performance in self.findings:
            if performance.finding == finding:
                return performance
        raise KeyError(finding)

    def to_json(self) -> dict[str, object]:
        """The value of ``performance.json``; what is not known is null."""
        who = self.identity
        return {
            "format": "monai_cxr performance",
            "schema_version": SCHEMA_VERSION,
            "created": who.created,
            "model": dict(who.model),
            "data": {
                "name": who.data,
                "split": who.split,
                "labels": who.labels,
                "n_images": who.n_images,
                "n_patients": who.n_patients,
                "digest": who.data_digest,
            },
            "method": {
                "interval": "patient bootstrap, percentile, 95 %",
                "n_bootstrap": who.n_bootstrap,
                "seed": who.seed,
                "ece": "15 adaptive bins",
                "calibration": dict(who.calibration),
            },
            "findings": {item.finding: item.to_json() for item in self.findings},
            "macro": self.macro.to_json(),
            "any_finding": {
                "n": self.any_finding.n,
                "n_positive": self.any_finding.n_positive,
                "auroc": interval_to_json(self.any_finding.auroc),
            },
            "classification": (
                None if self.classification is None else self.classification.to_json()
            ),
            "operating_points": [point.to_json() for point in self.operating_points],
            "conformal": [check.to_json() for check in self.conformal],
            "subgroups": [group.to_json() for group in self.subgroups],
            "curves": {name: curves.to_json() for name, curves in self.curves.items()},
            "warnings": list(self.warnings),
        }
