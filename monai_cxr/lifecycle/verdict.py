"""Verdict: what the gate says of a challenger, check by check, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai_cxr.evaluation.json_values import json_of, read_as
from monai_cxr.prediction import Interval

PASSED, REFUSED, NOT_DECIDED = "passed", "refused", "not decided"


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One measure of one finding or group on one test.

    Attributes:
        test: ``"locked"`` or ``"recent"``.
        measure: AUROC, sensitivity, Brier score, flag rate, subgroup AUROC or goal.
        finding: Name; empty for a mean over findings.
        group: For example ``"sex F"``; empty for all films.
        n: Patients of the rarer class.
        champion: Value of the champion.
        challenger: Value of the challenger.
        difference: Challenger minus champion, with a 95 % interval: one bound is one-sided 97.5 %.
        limit: What that bound must not cross.
        outcome: :data:`PASSED`, :data:`REFUSED` or :data:`NOT_DECIDED`.
        reason: In a sentence.
    """

    test: str
    measure: str
    finding: str
    group: str
    n: int
    champion: float
    challenger: float
    difference: Interval
    limit: float
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Attributes:
        checks: All of them.
        superior: Findings of the last test that are better after Holm's correction, two-sided 5 %.
        learning: Macro AUROC on the last test, challenger minus champion.
        potential: Macro AUROC of the champion, last test minus first: what the data did.
        retention: Macro AUROC on the first test, challenger minus champion.
        n_films: Films by test.
        notes: What a reader must know, in sentences.
    """

    checks: tuple[GateCheck, ...]
    superior: tuple[str, ...]
    learning: Interval
    potential: Interval
    retention: Interval
    n_films: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """Refused if any check refuses, else not decided if any is not, else passed."""
        found = {check.outcome for check in self.checks}
        return next((o for o in (REFUSED, NOT_DECIDED) if o in found), PASSED)

    def of(self, outcome: str) -> tuple[GateCheck, ...]:
        """The checks with this outcome."""
        return tuple(check for check in self.checks if check.outcome == outcome)

    def to_json(self) -> dict[str, object]:
        """A JSON value; what is not known is null."""
        return {
            "format": "monai_cxr verdict",
            "format_version": "1.0",
            "outcome": self.outcome,
            **json_of(self),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Verdict:
        """The inverse of :meth:`to_json`.

        Raises:
            SettingsError: If the value is no verdict.
        """
        return read_as(cls, value, "verdict")  # type: ignore[no-any-return]
