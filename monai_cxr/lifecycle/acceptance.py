"""Acceptance: a model on a site's own labelled films before go-live, its thresholds chosen apart.

The patients are divided in two by chance. One half chooses the site's thresholds, the other judges
them; no patient does both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_cxr.atomic import write_json, write_text
from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.decisions.criteria import parse_criterion
from monai_cxr.evaluation.decisions.decision_rules import DecisionRules, choose_rules, write_rules
from monai_cxr.evaluation.decisions.operating_points import CheckedOperatingPoint
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.results import EvaluationIdentity, Performance
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.lifecycle.sample_size import for_interval
from monai_cxr.report.files import write_report
from monai_cxr.report.rendering import render


@dataclass(frozen=True, slots=True, eq=False)
class Acceptance:
    """What a site found.

    Attributes:
        rules: Thresholds of the half that chose them.
        performance: Performance of the other half, with these thresholds.
        site: SHA-256 over the site's images and labels.
        criterion: Rule of the thresholds.
        width: Wanted width of the interval of a sensitivity.
        n_wanted: Patients with a finding that give this width.
        sealed_at: When films and labels were fixed, before a score was seen; empty where they
            were not.
    """

    rules: DecisionRules
    performance: Performance
    site: str
    criterion: str
    width: float
    n_wanted: int
    sealed_at: str = ""

    @property
    def checked(self) -> tuple[CheckedOperatingPoint, ...]:
        """The site's thresholds as they do on the half that did not choose them."""
        return self.performance.operating_points

    def is_narrow_enough(self, check: CheckedOperatingPoint) -> bool:
        """Whether a sensitivity has the wanted interval."""
        return bool(check.sensitivity.high - check.sensitivity.low <= self.width)

    def to_json(self) -> dict[str, object]:
        """The value of ``acceptance.json``."""
        return {
            "format": "monai_cxr acceptance",
            "format_version": "1.0",
            "site": self.site,
            "sealed_at": self.sealed_at,
            "criterion": self.criterion,
            "width": self.width,
            "n_wanted": self.n_wanted,
            "n_images": self.performance.identity.n_images,
            "n_patients": self.performance.identity.n_patients,
            "findings": [
                {**check.to_json(), "narrow_enough": self.is_narrow_enough(check)}
                for check in self.checked
            ],
        }


def expected_share(criterion: str) -> float:
    """The share that a sample size is for: the criterion's sensitivity, else 0.9."""
    rule = parse_criterion(criterion)
    return rule.target if rule.kind == "sensitivity" else 0.9


def accept(
    predictions: PredictionSet,
    *,
    criterion: str = "sensitivity>=0.90",
    width: float = 0.1,
    n_bootstrap: int = 1000,
    seed: int = 0,
    sealed_at: str = "",
) -> Acceptance:
    """Judge a model on a site's films.

    Args:
        predictions: Calibrated, with the site's labels and facts.
        criterion: Rule of the site's thresholds.
        width: Wanted width of the interval of a sensitivity, in (0, 1).
        n_bootstrap: Patient replicates.
        seed: Seed of the halves and the bootstrap.
        sealed_at: Time of the site's seal; empty where there is none.

    Returns:
        What was found on the half that chose nothing.

    Raises:
        InvalidTable: If there are fewer than four patients.
    """
    codes, n_patients = patient_codes(predictions.patient_ids)
    if n_patients < 4:
        raise InvalidTable(
            f"The site's films are of {n_patients} patients. Expected some hundred: half of them "
            "choose thresholds, half judge them.",
            reason="too_few_patients",
        )
    order = np.random.default_rng(seed).permutation(n_patients)
    chooses = (order < n_patients // 2)[codes]
    rules = choose_rules(predictions.where(chooses), criterion)
    performance = evaluate(
        predictions.where(~chooses),
        n_bootstrap=n_bootstrap,
        seed=seed,
        rules=rules,
        identity=EvaluationIdentity(split="site, the half that chose no thresholds"),
    )
    wanted = for_interval(expected_share(criterion), width)
    return Acceptance(rules, performance, predictions.digest, criterion, width, wanted, sealed_at)


def write_acceptance(found: Acceptance, out: Path) -> Path:
    """Write the page to sign, its numbers, the site's thresholds, and the whole evaluation.

    Returns:
        The page.
    """
    write_rules(found.rules, out / "operating_points.json")
    write_json(out / "acceptance.json", found.to_json())
    write_report(found.performance, out / "evaluation")
    rows = [(check, found.is_narrow_enough(check)) for check in found.checked]
    page = out / "acceptance.html"
    write_text(page, render("acceptance.html", found=found, rows=rows))
    return page
