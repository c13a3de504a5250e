"""Check: how right a labeller is, on a sample of reports that readers judged without seeing it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.atomic import write_text
from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.prediction import Interval

FLOOR = 0.8
"""A finding whose checked F1 lies below it is not trained on unless asked for."""

_STATES = (1, 0, -1)
_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class CheckedFinding:
    """How right the labels of one finding are, present against not present.

    Attributes:
        finding: Name of the finding.
        n: Judged reports.
        n_present: Of these, present by the readers.
        precision: Precision, with a 95 % interval.
        recall: Recall, with a 95 % interval, weighted back to all reports.
        f1: F1, with a 95 % interval, weighted back to all reports.
    """

    finding: str
    n: int
    n_present: int
    precision: Interval
    recall: Interval
    f1: Interval


def draw_sample(labels: pd.DataFrame, *, per_state: int = 10, seed: int = 0) -> pd.DataFrame:
    """Draw reports to be judged, by finding and state.

    Args:
        labels: ``id`` and one column per finding: 1, 0, -1 or missing.
        per_state: Reports of each state of each finding, missing included, as far as there are.
        seed: The same seed draws the same reports.

    Returns:
        ``id``, ``finding``, ``state`` (1, 0, -1, or missing) and ``weight``: how many reports of
        all labelled ones each stands for.
    """
    generator = np.random.default_rng(seed)
    rows: list[tuple[str, str, object, float]] = []
    for finding in [str(name) for name in labels if name != "id"]:
        states = pd.to_numeric(labels[finding], errors="coerce")
        for state in (*_STATES, None):
            places = np.flatnonzero(states.isna() if state is None else (states == state))
            drawn = generator.permutation(places)[:per_state]
            weight = len(places) / len(drawn) if len(drawn) else 0.0
            rows += [
                (str(labels["id"].iloc[place]), finding, state, weight) for place in sorted(drawn)
            ]
    made = pd.DataFrame(rows, columns=["id", "finding", "state", "weight"])
    if made.empty:
        raise InvalidTable("There are no labels to check.", reason="empty")
    return made.astype({"state": "Int8"})


def check_labels(sample: pd.DataFrame, truth: pd.DataFrame) -> tuple[CheckedFinding, ...]:
    """Precision, recall and F1 of each finding.

    Reports were drawn by state, so each state is weighted by how many reports it stands for. The
    intervals are of the posterior of each state's share of present reports under Jeffreys' prior.

    Args:
        sample: See :func:`draw_sample`.
        truth: ``sop_uid`` (the report's id), ``finding``, ``answer`` of settled answers.
    """
    answers = truth.set_index(["sop_uid", "finding"])["answer"]
    made = []
    for finding, part in sample.groupby("finding", sort=False):
        judged = [answers.get((str(uid), finding), "") for uid in part["id"]]
        use = np.array([answer in ("present", "absent") for answer in judged], dtype=bool)
        if not use.any():
            continue
        present = np.array([answer == "present" for answer in judged])[use]
        states = part["state"].fillna(9).to_numpy(np.int64)[use]
        weights = part.groupby(part["state"].fillna(9).astype(int))["weight"].sum()
        sizes = {int(str(state)): float(weight) for state, weight in weights.items()}
        made.append(_checked(str(finding), states, present, sizes))
    return tuple(made)


def _checked(
    finding: str, states: np.ndarray, present: np.ndarray, sizes: Mapping[int, float]
) -> CheckedFinding:
    counts = {
        state: (int(present[states == state].sum()), int((states == state).sum()))
        for state in sizes
    }
    k, n = counts.get(1, (0, 0))
    generator = np.random.default_rng(0)
    hits: dict[int, np.ndarray] = {}
    for state, (successes, trials) in counts.items():
        drawn = generator.beta(successes + 0.5, trials - successes + 0.5, _DRAWS)
        hits[state] = drawn * sizes[state]
    true_positive = hits.get(1, np.zeros(_DRAWS))
    all_present = np.sum(list(hits.values()), axis=0)
    said = sizes.get(1, 0.0)
    rates = {state: s / t if t else math.nan for state, (s, t) in counts.items()}
    point_true = rates.get(1, 0.0) * said
    point_all = sum(rates[state] * sizes[state] for state in counts if counts[state][1])
    recall = point_true / point_all if point_all else math.nan
    f1 = 2 * point_true / (said + point_all) if said + point_all else math.nan
    return CheckedFinding(
        finding,
        len(states),
        int(present.sum()),
        wilson(k, n),
        _interval(recall, true_positive / np.maximum(all_present, 1e-12)),
        _interval(f1, 2 * true_positive / np.maximum(said + all_present, 1e-12)),
    )


def _interval(estimate: float, draws: np.ndarray) -> Interval:
    if math.isnan(estimate):
        return Interval(math.nan)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def check_file(table: Path) -> Path:
    """Path of the check of a table of labels, or of an index made from it."""
    return table.with_suffix(".check.json")


def write_check(checked: Sequence[CheckedFinding], table: Path) -> Path:
    """Write a check beside the labels that it checked."""
    content = {
        "labels": table.name,
        "findings": [
            {
                "finding": one.finding,
                "n": one.n,
                "n_present": one.n_present,
                **{
                    name: [_plain(value.estimate), _plain(value.low), _plain(value.high)]
                    for name, value in (
                        ("precision", one.precision),
                        ("recall", one.recall),
                        ("f1", one.f1),
                    )
                },
            }
            for one in checked
        ],
    }
    path = check_file(table)
    text = json.dumps(content, indent=2) + "\n"
    write_text(path, text)
    return path


def carry_check(source: Path, target: Path) -> None:
    """Copy the check of one table beside another that is made from it."""
    path = check_file(source)
    if path.is_file():
        write_text(check_file(target), path.read_text(encoding="utf-8"))


def require_checked(table: Path, findings: Sequence[str], floor: float = FLOOR) -> None:
    """Refuse findings whose labels were checked and found too poor; unchecked labels pass.

    Args:
        table: Labels or an index; its check lies beside it (:func:`check_file`).
        findings: Findings that are to be used.
        floor: Smallest F1; 0 lets all pass.

    Raises:
        InvalidTable: Naming the findings and their F1.
    """
    path = check_file(table)
    if floor <= 0 or not path.is_file():
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["findings"]
        known = {row["finding"]: row["f1"][0] for row in rows}
    except (ValueError, KeyError, TypeError):
        raise InvalidTable(
            f"'{path.name}' is not a check of labels. Run labels check again.", reason="bad_check"
        ) from None
    poor = [name for name in findings if name in known and not (known[name] or 0.0) >= floor]
    if poor:
        shown = ", ".join(f"{name} (F1 {known[name] or 0.0:.2f})" for name in poor)
        raise InvalidTable(
            f"The labels of {shown} were checked and lie below the floor of {floor:g}. Leave these "
            "findings out, correct their labels, or say --label-floor 0.",
            reason="labels_below_floor",
        )


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
