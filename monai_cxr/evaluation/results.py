"""Results: the numbers of an evaluation as frozen values, and their JSON form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.classification import Classification
from monai_cxr.evaluation.curves import FindingCurves
from monai_cxr.evaluation.decisions.conformal import ConformalCheck
from monai_cxr.evaluation.decisions.operating_points import CheckedOperatingPoint
from monai_cxr.evaluation.json_values import json_of, number, read_as, with_plain_numbers
from monai_cxr.evaluation.statistics.reliability import BrierParts
from monai_cxr.evaluation.subgroups import Subgroup
from monai_cxr.prediction import Interval

FORMAT = "monai_cxr performance"
SCHEMA_VERSION = "1.3"


@dataclass(frozen=True, slots=True)
class FindingPerformance:
    """The numbers of one finding; NaN where the data cannot give one.

    Attributes:
        finding: Name.
        n: Images with a known label.
        n_positive: Of these, the positive ones.
        n_positive_patients: Patients with a positive image.
        auroc: AUROC, with a patient bootstrap interval.
        auroc_delong: AUROC, with DeLong's interval, which takes images for independent.
        partial_auroc: Up to a false positive rate of 0.1, standardised.
        average_precision: Average precision, with a patient bootstrap interval.
        brier: Brier score, with a patient bootstrap interval.
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
        entry = with_plain_numbers(json_of(self), _PLAIN)
        del entry["finding"], entry["brier_parts"]["brier"]
        return {**entry, "prevalence": number(self.prevalence)}

    @classmethod
    def from_json(cls, finding: str, value: Mapping[str, Any]) -> FindingPerformance:
        """The inverse of :meth:`to_json`.

        Raises:
            SettingsError: If a number is missing or none, with its place.
        """
        place = f"findings.{finding}"
        parts = read_as(dict[str, Any], value.get("brier_parts"), f"{place}.brier_parts")
        brier = {"brier": value.get("brier"), **parts}
        return read_as(cls, {**value, "finding": finding, "brier_parts": brier}, place)  # type: ignore[no-any-return]


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
        return with_plain_numbers(json_of(self), _PLAIN)


@dataclass(frozen=True, slots=True)
class AnyFinding:
    """Is there anything at all: noisy-or of all findings.

    Attributes:
        n: Images for which this is known.
        n_positive: Images with at least one finding.
        auroc: AUROC, with a patient bootstrap interval.
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
        seed: Seed of the bootstrap.
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
        findings: One per finding, in the order of the predictions.
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
        """The value of ``performance.json``; unknown numbers are null."""
        who = self.identity
        return {
            "format": FORMAT,
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
            "any_finding": json_of(self.any_finding),
            "classification": self.classification and self.classification.to_json(),
            "operating_points": [point.to_json() for point in self.operating_points],
            "conformal": json_of(self.conformal),
            "subgroups": json_of(self.subgroups),
            "curves": {name: curves.to_json() for name, curves in self.curves.items()},
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Performance:
        """The inverse of :meth:`to_json`; curves have the six decimals that were written.

        Args:
            value: Of this schema version or an older or newer one of the same major version. Keys
                that are not known are passed over.

        Raises:
            SettingsError: If the value is no ``performance.json``; the message names the place.
        """
        major = SCHEMA_VERSION.split(".")[0]
        if (
            not isinstance(value, Mapping)
            or value.get("format") != FORMAT
            or str(value.get("schema_version")).split(".")[0] != major
        ):
            raise SettingsError(
                f"Expected a performance.json of schema version {major}.x. Write it again with "
                "monai-cxr evaluate."
            )

        def part(kind: Any, key: str) -> Any:
            return read_as(kind, value.get(key), key)

        data = part(dict[str, Any], "data")
        findings = part(dict[str, dict[str, Any]], "findings")
        curves = part(dict[str, dict[str, Any]], "curves")
        points = part(tuple[dict[str, Any], ...], "operating_points")
        return cls(
            identity=read_as(
                EvaluationIdentity,
                {
                    **data,
                    **part(dict[str, Any], "method"),
                    "data": data.get("name"),
                    "data_digest": data.get("digest"),
                    "model": value.get("model"),
                    "created": value.get("created"),
                },
                "data",
            ),
            findings=tuple(
                FindingPerformance.from_json(name, entry) for name, entry in findings.items()
            ),
            macro=part(Aggregate, "macro"),
            any_finding=part(AnyFinding, "any_finding"),
            operating_points=tuple(map(CheckedOperatingPoint.from_json, points)),
            subgroups=part(tuple[Subgroup, ...], "subgroups"),
            curves={
                name: FindingCurves.from_json(entry, f"curves.{name}")
                for name, entry in curves.items()
            },
            conformal=part(tuple[ConformalCheck, ...], "conformal"),
            classification=part(Classification | None, "classification"),
            warnings=part(tuple[str, ...], "warnings"),
        )


_PLAIN = ("average_precision", "brier", "ece", "ece_equal_width")
