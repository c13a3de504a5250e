"""Decision rules: operating points and conformal rules of one model in one file, with its patients.

The file is ``operating_points.json``, of ``monai-cxr thresholds`` and in every packaged bundle. It
keeps a sketch of the patients that chose the rules, so that a check on the same patients is marked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr.atomic import write_json
from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.calibration.patient_sketch import PatientSketch
from monai_cxr.evaluation.decisions.conformal import ConformalRule, fit_conformal
from monai_cxr.evaluation.json_values import json_of, read_as
from monai_cxr.prediction import OperatingPoint

if TYPE_CHECKING:
    from monai_cxr.evaluation.predictions.prediction_set import PredictionSet


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """What turns probabilities into decisions.

    Attributes:
        points: A threshold a finding.
        conformal: A rule for absent, uncertain and present a finding.
        patients: A sketch of the patients that chose them; None where it is not known.
    """

    points: tuple[OperatingPoint, ...] = ()
    conformal: tuple[ConformalRule, ...] = ()
    patients: PatientSketch | None = None

    def to_json(self) -> dict[str, object]:
        """A JSON value; NaN becomes null."""
        return {
            "format": "monai_cxr operating points",
            "format_version": "1.0",
            "points": json_of(self.points),
            "conformal": json_of(self.conformal),
            "patients": None if self.patients is None else self.patients.to_json(),
        }

    @property
    def by_finding(self) -> dict[str, OperatingPoint]:
        """The operating points by finding."""
        return {point.finding: point for point in self.points}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> DecisionRules:
        """The inverse of :meth:`to_json`; a file may have points alone.

        Raises:
            SettingsError: If the value holds no operating points.
        """
        try:
            content = read_as(dict[str, Any], value)
            sketch = content.get("patients")
            return cls(
                read_as(tuple[OperatingPoint, ...], content.get("points"), "points"),
                read_as(tuple[ConformalRule, ...], content.get("conformal", []), "conformal"),
                None if sketch is None else PatientSketch.from_json(sketch),
            )
        except (KeyError, TypeError, ValueError, SettingsError) as error:
            raise SettingsError(
                f"Not operating points: {error}. Write them again with monai-cxr thresholds."
            ) from error


def choose_rules(
    predictions: PredictionSet,
    criterion: str = "sensitivity>=0.90",
    *,
    alpha: float | None = None,
    n_bootstrap: int = 1000,
) -> DecisionRules:
    """Choose a threshold for each finding and, if asked, calibrate its conformal rule.

    Args:
        predictions: Calibrated, of a split that will check nothing.
        criterion: See :func:`monai_cxr.evaluation.decisions.criteria.parse_criterion`.
        alpha: Promised error of the conformal rules, in (0, 1); None makes none.
        n_bootstrap: 0 gives no intervals; else of no effect, because shares need no drawing.

    Returns:
        The rules, with a sketch of the patients.
    """
    # Whoever serves a model only reads rules, and needs neither pandas nor scipy.stats for it.
    from monai_cxr.evaluation.decisions.operating_points import choose_operating_points

    points = choose_operating_points(
        predictions.probabilities,
        predictions.labels,
        predictions.patient_ids,
        criterion,
        findings=predictions.findings,
        n_bootstrap=n_bootstrap,
    )
    conformal = (
        ()
        if alpha is None
        else tuple(
            fit_conformal(
                name, predictions.probabilities[:, i], predictions.labels[:, i], alpha=alpha
            )
            for i, name in enumerate(predictions.findings)
        )
    )
    return DecisionRules(
        points, conformal, PatientSketch.of(predictions.patient_ids, predictions.numbering)
    )


def read_rules(path: Path | str) -> DecisionRules:
    """Read a file of rules.

    Raises:
        SettingsError: If the file is absent or holds none.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"'{path.name}' cannot be read as operating points ({type(error).__name__})."
        ) from error
    return DecisionRules.from_json(value)


def write_rules(rules: DecisionRules, path: Path | str) -> None:
    """Write rules whole or not at all."""
    write_json(Path(path), rules.to_json())
