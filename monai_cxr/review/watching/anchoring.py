"""Anchoring: how readers judge who have not seen the model's score, and what they change after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.prediction import Interval
from monai_cxr.screening.ledger.people.reviews import ReviewRow

_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Anchoring:
    """Readings before and after the model's word.

    Attributes:
        n_first: Findings that were judged before the score was shown.
        n_changed: Of these, judged otherwise after it.
        changed: Their share; images of one patient are taken for independent.
        agreed_unseen: (agreed, judged) with the model's flag, before the score was shown.
        agreed_seen: The same of words after the score was on the screen from the start.
    """

    n_first: int
    n_changed: int
    changed: Interval
    agreed_unseen: tuple[int, int]
    agreed_seen: tuple[int, int]


def anchoring(rows: Sequence[ReviewRow], thresholds: Mapping[str, float]) -> Anchoring:
    """Compare what readers say before and after the model's score is shown.

    Args:
        rows: Of the review store, oldest first.
        thresholds: From which probability a finding is flagged.
    """
    before: dict[_Key, ReviewRow] = {}
    after: dict[_Key, ReviewRow] = {}
    for row in rows:
        if not row.finding or (row.corrected_label is None and not row.uncertain):
            continue
        key = (row.study_uid, row.finding, row.reader, row.model_digest)
        if row.score_seen is False:
            before[key] = row
        elif row.score_seen:
            after[key] = row
    changed = sum(
        key in after and after[key].corrected_label != row.corrected_label
        for key, row in before.items()
    )
    anew = [row for key, row in after.items() if key not in before]
    n = len(before)
    share = wilson(changed, n) if n else Interval(float("nan"))
    return Anchoring(
        n, changed, share, _agreed(list(before.values()), thresholds), _agreed(anew, thresholds)
    )


def _agreed(rows: Sequence[ReviewRow], thresholds: Mapping[str, float]) -> tuple[int, int]:
    judged = [
        (row.corrected_label == 1) == (row.probability >= thresholds[row.finding])
        for row in rows
        if row.corrected_label is not None
        and row.probability is not None
        and row.finding in thresholds
    ]
    return sum(judged), len(judged)
