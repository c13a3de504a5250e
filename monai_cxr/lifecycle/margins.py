"""Margins: what a change may cost, in the units of each measure, and how much must be known."""

from __future__ import annotations

from dataclasses import dataclass

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.decisions.criteria import parse_criterion
from monai_cxr.tables import FACT_COLUMNS

GOALS = ("auroc", "brier", "none")
"""What a change is for: better discrimination, better probabilities, or neither."""


@dataclass(frozen=True, slots=True)
class Margins:
    """The rules of the gate.

    Attributes:
        goal: What must be better on the most recent test, one of :data:`GOALS`.
        auroc: Largest loss of AUROC that counts as no loss, a finding.
        sensitivity: Largest loss of sensitivity at each model's own threshold, a finding.
        brier: Largest rise of the Brier score, a finding.
        flag_rate: Largest rise of the share of films at or above the threshold, a finding.
        subgroup_auroc: Largest loss of macro AUROC in a subgroup.
        speed: Largest relative rise of the seconds that a film takes, where the weights are new.
        n_positive: Patients of the rarer class that a finding needs before anything is decided.
        n_positive_subgroup: The same within a subgroup.
        subgroups: Facts whose levels are looked at, among the columns of an index.
        findings: Findings that are judged; none named means all.
        criterion: Rule of new thresholds.
        n_bootstrap: Patient replicates, for superiority under Holm; no bound is drawn.
    """

    goal: str = "auroc"
    auroc: float = 0.03
    sensitivity: float = 0.05
    brier: float = 0.01
    flag_rate: float = 0.05
    subgroup_auroc: float = 0.05
    speed: float = 0.25
    n_positive: int = 50
    n_positive_subgroup: int = 20
    subgroups: tuple[str, ...] = ("sex", "view")
    findings: tuple[str, ...] = ()
    criterion: str = "sensitivity>=0.90"
    n_bootstrap: int = 2000

    def __post_init__(self) -> None:
        """Refuse rules that decide nothing.

        Raises:
            SettingsError: Naming the value and what was expected.
        """
        if self.goal not in GOALS:
            raise SettingsError(
                f"Expected gate.goal as one of {', '.join(GOALS)}, but got '{self.goal}'."
            )
        for name in ("auroc", "sensitivity", "brier", "flag_rate", "subgroup_auroc"):
            value = getattr(self, name)
            most = 1.0 if name == "flag_rate" else 0.5  # flags are work, and may be missed cases
            if not 0.0 < value < most:
                raise SettingsError(
                    f"Expected gate.{name} between 0 and {most:g}, but got {value}."
                )
        if not 0.0 < self.speed < 10.0:
            raise SettingsError(f"Expected gate.speed between 0 and 10, but got {self.speed}.")
        for name, least in (("n_positive", 5), ("n_positive_subgroup", 5), ("n_bootstrap", 200)):
            if getattr(self, name) < least:
                raise SettingsError(
                    f"Expected gate.{name} as at least {least}, but got {getattr(self, name)}."
                )
        unknown = [fact for fact in self.subgroups if fact not in FACT_COLUMNS]
        if unknown:
            raise SettingsError(
                f"Expected gate.subgroups among {', '.join(FACT_COLUMNS)}, but got '{unknown[0]}'."
            )
        parse_criterion(self.criterion)
