"""Criteria: the rule that chooses a threshold, as people write it and as it is applied."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.predictions.column_names import canonical_finding
from monai_cxr.evaluation.statistics.discrimination import CumulativeCounts, cumulative_counts

_GRAMMAR = re.compile(
    r"^(?:(?P<rate>sensitivity|specificity)>=(?P<least>[0-9.]+)"
    r"|(?P<value>ppv|npv)>=(?P<wanted>[0-9.]+)at(?:prevalence)?(?P<prevalence>[0-9.]+)"
    r"|(?P<youden>youden)"
    r"|(?P<benefit>net_benefit)@(?P<odds>[0-9.]+))$"
)


@dataclass(frozen=True, slots=True)
class Criterion:
    """A rule that chooses a threshold.

    Attributes:
        kind: ``sensitivity``, ``specificity``, ``ppv``, ``npv``, ``youden`` or ``net_benefit``.
        target: The rate to reach, or the threshold probability of net benefit; in (0, 1).
        prevalence: Prevalence of the site, for PPV and NPV.
    """

    kind: str
    target: float = math.nan
    prevalence: float = math.nan

    def __str__(self) -> str:
        """The rule as people write it."""
        if self.kind == "youden":
            return "youden"
        if self.kind == "net_benefit":
            return f"net_benefit@{_at_least_two_digits(self.target)}"
        rule = f"{self.kind} >= {_at_least_two_digits(self.target)}"
        return rule if math.isnan(self.prevalence) else f"{rule} at prevalence {self.prevalence:g}"


def parse_criterion(text: str) -> Criterion:
    """Read a criterion.

    Args:
        text: ``sensitivity>=0.90``, ``specificity>=0.95``, ``ppv>=0.3 at 0.02``,
            ``npv>=0.99 at 0.02`` (at the site's prevalence), ``youden`` or ``net_benefit@0.1``.

    Returns:
        The criterion.

    Raises:
        SettingsError: If it is none of these, or a number is not between 0 and 1.
    """
    match = _GRAMMAR.match(text.lower().replace(" ", ""))
    if match is None:
        raise SettingsError(
            f"Unknown criterion '{text}'. Expected for example sensitivity>=0.90, "
            "specificity>=0.95, 'ppv>=0.3 at 0.02', 'npv>=0.99 at 0.02', youden or net_benefit@0.1."
        )
    kind = next(filter(None, match.group("rate", "value", "youden", "benefit")))
    target = next(filter(None, match.group("least", "wanted", "odds")), "nan")
    criterion = Criterion(kind, float(target), float(match.group("prevalence") or "nan"))
    for value in (criterion.target, criterion.prevalence):
        if not (math.isnan(value) or 0.0 < value < 1.0):
            raise SettingsError(f"Expected numbers between 0 and 1 in '{text}', but got {value}.")
    return criterion


def parse_prevalences(stated: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Read stated prevalences: ``"0.05"`` for every finding, ``"Pneumonia=0.013"`` for one.

    Returns:
        (finding, prevalence) each; the finding is empty where all are meant.

    Raises:
        SettingsError: If one is not a number between 0 and 1.
    """
    result = []
    for text in stated:
        name, _, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if not 0.0 < value < 1.0:
            raise SettingsError(
                f"Expected a prevalence between 0 and 1, such as 0.05 or Pneumonia=0.013, but got "
                f"'{text}'."
            )
        result.append((canonical_finding(name) if name else "", value))
    return tuple(result)


def choose_threshold(scores: ArrayLike, labels: ArrayLike, criterion: Criterion) -> float | None:
    """Choose the threshold of one finding.

    A threshold lies half way between two neighbouring scores, so that rounding changes no decision.

    Args:
        scores: Calibrated probabilities, shape (N,), in [0, 1].
        labels: Shape (N,), 0, 1 or NaN.
        criterion: The rule. Of the thresholds that meet a stated sensitivity or NPV the highest is
            taken, of those that meet a specificity or PPV the lowest.

    Returns:
        The threshold, or None where no threshold meets the rule or a class is absent.
    """
    counts = cumulative_counts(scores, labels)
    if not (counts.n_positive > 0.0 and counts.n_negative > 0.0):
        return None
    step = _chosen_step(counts, criterion)
    if step is None:
        return None
    score = float(counts.thresholds[step])
    below = float(counts.thresholds[step + 1]) if step + 1 < len(counts.thresholds) else 0.0
    middle = 0.5 * (score + below)
    return middle if below < middle <= score else score


def _chosen_step(counts: CumulativeCounts, criterion: Criterion) -> int | None:
    sensitivity = counts.true_positives / counts.n_positive
    specificity = 1.0 - counts.false_positives / counts.n_negative
    target = criterion.target
    if criterion.kind == "youden":
        return int(np.argmax(sensitivity + specificity))
    if criterion.kind == "net_benefit":
        odds = target / (1.0 - target)
        return int(np.argmax(counts.true_positives - odds * counts.false_positives))
    if criterion.kind == "sensitivity":
        return _first(sensitivity >= target - 1e-12)
    if criterion.kind == "specificity":
        return _last(specificity >= target - 1e-12)
    prevalence = criterion.prevalence
    hits = sensitivity * prevalence
    if criterion.kind == "ppv":
        with np.errstate(invalid="ignore"):
            ppv = hits / (hits + (1.0 - specificity) * (1.0 - prevalence))
        return _last((ppv >= target) & (sensitivity > 0.0))
    left = specificity * (1.0 - prevalence)
    missed = (1.0 - sensitivity) * prevalence
    with np.errstate(invalid="ignore"):
        return _first(left / (left + missed) >= target)


def _first(met: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(met)) if met.any() else None


def _last(met: NDArray[np.bool_]) -> int | None:
    return len(met) - 1 - int(np.argmax(met[::-1])) if met.any() else None


def _at_least_two_digits(value: float) -> str:
    short = f"{value:.2f}"
    return short if float(short) == value else f"{value:g}"
