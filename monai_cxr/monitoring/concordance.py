"""Concordance: how often the model and the signed report agree, by finding and group.

The report is no truth: it is what a reader signed, as rules read it (see the measured error of
``monai_cxr.labels`` in the documentation). Sensitivity here means the share of studies whose report
states a finding that the model flags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from monai_cxr.evaluation.classification import kappa_interval
from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.evaluation.statistics.shares import share_interval
from monai_cxr.monitoring.labeller_error import Corrected, LabellerError, corrected
from monai_cxr.prediction import Interval

PRESENT, ABSENT, UNCERTAIN = 1, 0, -1
ALL = "all"
COLUMNS = ("study_uid", "patient_id", "finding", "flagged", "probability", "state")


@dataclass(frozen=True, slots=True)
class Concordance:
    """Agreement on one finding, in all studies or a group of them.

    Attributes:
        finding: Name of the finding.
        group: ``"all"``, or what they are grouped by, for example ``"month 2026-11"``.
        n: Studies whose report states the finding present or absent, or does not mention it.
        n_patients: Patients of these.
        n_present: Reports that state it.
        n_flagged: Studies that the model flags.
        n_uncertain: Studies left out because their report is uncertain.
        sensitivity: Flagged among stated.
        specificity: Not flagged among not stated.
        ppv: Stated among flagged.
        kappa: Cohen's.
        corrected: Sensitivity, specificity and PPV against the reports themselves, where the error
            of the labeller is known.
    """

    finding: str
    group: str
    n: int
    n_patients: int
    n_present: int
    n_flagged: int
    n_uncertain: int
    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    kappa: Interval
    corrected: Corrected = field(default_factory=Corrected)


def concordance(
    table: pd.DataFrame,
    by: Sequence[str] = (),
    *,
    n_replicates: int = 500,
    seed: int = 0,
    errors: Mapping[str, LabellerError] | None = None,
) -> tuple[Concordance, ...]:
    """Compare flags with reports.

    Args:
        table: One row per study and finding, with :data:`COLUMNS`; state is 1, 0, -1, or missing
            where the report does not mention the finding, which counts as absent.
        by: Columns to group by as well, each on its own.
        n_replicates: Patient bootstrap replicates, for kappa.
        seed: Seed of the bootstrap.
        errors: Errors of the rules that read the reports, by finding.
    """
    known = errors or {}
    made = []
    for finding, rows in table.groupby("finding", sort=True):
        error = known.get(str(finding))
        made.append(_one(str(finding), ALL, rows, n_replicates, seed, error))
        for column in by:
            for value, part in rows.groupby(column, sort=True):
                group = f"{column} {value}" if value != "" else f"{column} not known"
                made.append(_one(str(finding), group, part, n_replicates, seed, error))
    return tuple(made)


def _one(
    finding: str,
    group: str,
    rows: pd.DataFrame,
    n_replicates: int,
    seed: int,
    error: LabellerError | None,
) -> Concordance:
    state = pd.to_numeric(rows["state"], errors="coerce").fillna(ABSENT).to_numpy()
    known = state != UNCERTAIN
    stated = state[known] == PRESENT
    flagged = rows["flagged"].to_numpy(dtype=bool)[known]
    codes, n_patients = patient_codes(rows["patient_id"].astype(str).to_numpy()[known])
    plan = BootstrapPlan(max(n_patients, 1), n_replicates, seed)
    cells = (2 * stated + flagged).astype(np.int64)
    kappa = (
        kappa_interval(cells, codes, 2, plan, n_patients)
        if 0 < stated.sum() < len(stated)
        else Interval(float("nan"))
    )
    ppv = share_interval(stated[flagged], codes[flagged])
    missed = share_interval(stated[~flagged], codes[~flagged])
    return Concordance(
        finding=finding,
        group=group,
        n=len(stated),
        n_patients=n_patients,
        n_present=int(stated.sum()),
        n_flagged=int(flagged.sum()),
        n_uncertain=int((~known).sum()),
        sensitivity=share_interval(flagged[stated], codes[stated]),
        specificity=share_interval(~flagged[~stated], codes[~stated]),
        ppv=ppv,
        kappa=kappa,
        corrected=Corrected()
        if error is None
        else corrected(share_interval(flagged, codes), ppv, missed, error, seed=seed),
    )


def second_look_queue(
    table: pd.DataFrame,
    looked: pd.DataFrame,
    *,
    limit: int = 50,
    counts: Mapping[tuple[str, str], int] | None = None,
) -> pd.DataFrame:
    """Studies that the model flags and whose report does not state the finding, best first.

    Each is ranked by how probable a missed finding is: the model's probability, times the share of
    looks at this finding that confirmed one so far (with one look in ten counted in advance).

    Args:
        table: As for :func:`concordance`.
        looked: Looks so far: ``study_uid``, ``finding``, ``outcome``; these are not asked again.
        limit: Rows at most.
        counts: Number of all looks by finding and outcome, where ``looked`` is a part of them and
            may lack ``outcome``.

    Returns:
        The rows with ``rank_score``; uncertain reports are not asked for.
    """
    state = pd.to_numeric(table["state"], errors="coerce").fillna(ABSENT)
    queue = table[table["flagged"].astype(bool) & (state == ABSENT)].copy()
    done = set(zip(looked.get("study_uid", ()), looked.get("finding", ()), strict=True))
    keys = zip(queue["study_uid"], queue["finding"], strict=True)
    queue = queue[np.array([key not in done for key in keys], dtype=bool)].copy()
    if counts is None:
        counts = Counter(zip(looked.get("finding", ()), looked.get("outcome", ()), strict=True))
    n_looks: Counter[str] = Counter()
    for (finding, _), n in counts.items():
        n_looks[finding] += n
    rates = {
        finding: (counts.get((finding, CONFIRMED), 0) + _PRIOR_HITS) / (n + _PRIOR_LOOKS)
        for finding, n in n_looks.items()
    }
    rate = queue["finding"].map(rates).astype(float).fillna(_PRIOR_HITS / _PRIOR_LOOKS)
    queue["rank_score"] = queue["probability"].astype(float) * rate
    ordered = queue.sort_values(["rank_score", "study_uid"], ascending=[False, True])
    return ordered.head(limit).reset_index(drop=True)


CONFIRMED, NOT_CONFIRMED, LABEL_WRONG = "confirmed", "not_confirmed", "label_wrong"
OUTCOMES = (CONFIRMED, NOT_CONFIRMED, LABEL_WRONG)
"""Outcome of a second look: missed by the report, not there, or in the report after all."""

_PRIOR_HITS, _PRIOR_LOOKS = 1.0, 10.0
