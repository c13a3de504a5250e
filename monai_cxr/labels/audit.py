"""Audit: labels ranked by how likely they are wrong, from predictions that never saw them.

Each finding has two queues, films labelled present and films labelled absent, because for a rare
finding almost every given positive looks suspicious. Within a queue films stand in the order of
their out-of-fold probability. A random share of films stands apart from the ranking: only it can
say how many labels are wrong. Numbers of label issues come from confident learning (Northcutt,
Jiang and Chuang, JAIR 2021) by cleanlab, one finding at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.statistics.logits import sigmoid
from monai_cxr.optional import require
from monai_cxr.tables import disagreement_column, logit_column, probability_column

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FindingAudit:
    """How the labels of one finding look.

    Attributes:
        finding: Name of the finding.
        n: Films with a known label and a prediction.
        n_positive: Of these, labelled present.
        issues_present: Films labelled present that confident learning takes for absent.
        issues_absent: The other way round.
        n_queued: Films in its queues and its random share.
    """

    finding: str
    n: int
    n_positive: int
    issues_present: int
    issues_absent: int
    n_queued: int


@dataclass(frozen=True, slots=True)
class LabelAudit:
    """Films to look at, finding by finding.

    Attributes:
        queue: A row for each film and finding: ``finding``, ``queue`` ("given_present",
            "given_absent" or "random"), ``place`` (from 1, within the queue), ``sop_uid``,
            ``path``, ``given`` (0 or 1), ``probability`` (out of fold), ``suspicion``
            (1 - probability of the given label); ``disagreement`` of an ensemble's members,
            where the predictions have it.
        findings: One summary a finding; those without both labels are left out.
    """

    queue: pd.DataFrame
    findings: tuple[FindingAudit, ...]


def audit_labels(
    index: pd.DataFrame,
    predictions: pd.DataFrame,
    findings: Sequence[str],
    *,
    per_queue: int = 100,
    random_share: float = 0.1,
    seed: int = 0,
) -> LabelAudit:
    """Rank the labels of an index.

    Args:
        index: Films with their labels.
        predictions: ``sop_uid`` and ``probability_*`` of the same films, each predicted by a model
            that was not trained on its patient.
        findings: Findings to audit.
        per_queue: Films of each of a finding's two queues.
        random_share: Films drawn at random, as a share of the two queues, in (0, 1]; one film a
            patient, half of each given label where there are enough.
        seed: Seed of the random share.

    Raises:
        InvalidTable: If no film of the index was predicted.
        SettingsError: If an option is out of its range.
        MissingDependency: If cleanlab is not installed.
    """
    if per_queue < 1 or not 0.0 < random_share <= 1.0:
        raise SettingsError(
            f"Expected a queue of at least 1 and a random share in (0, 1], but got {per_queue} "
            f"and {random_share:g}."
        )
    joined = _joined(index, with_probabilities(predictions, findings), findings)
    generator = np.random.default_rng(seed)
    parts, summaries = [], []
    for finding in findings:
        column = probability_column(finding)
        if finding not in joined or column not in joined:
            continue
        rows = joined.dropna(subset=[finding, column])
        if rows[finding].nunique() < 2:
            continue
        part = _finding_queues(rows, finding, column, per_queue, random_share, generator)
        issues = label_issues(rows[finding].to_numpy(np.float64), rows[column].to_numpy(np.float64))
        given = rows[finding].to_numpy() == 1
        summaries.append(
            FindingAudit(
                finding,
                len(rows),
                int(given.sum()),
                int((issues & given).sum()),
                int((issues & ~given).sum()),
                len(part),
            )
        )
        parts.append(part)
    if not parts:
        raise InvalidTable("No finding has films of both labels.", reason="no_labels")
    return LabelAudit(pd.concat(parts, ignore_index=True), tuple(summaries))


def _joined(
    index: pd.DataFrame, predictions: pd.DataFrame, findings: Sequence[str]
) -> pd.DataFrame:
    """Films of the index that were predicted, with their probabilities."""
    columns = [probability_column(name) for name in findings]
    known = [name for name in columns if name in predictions]
    differing = [disagreement_column(name) for name in findings]
    taken = ["sop_uid", *known, *(name for name in differing if name in predictions)]
    joined = index.assign(sop_uid=index["sop_uid"].astype(str)).merge(
        predictions.assign(sop_uid=predictions["sop_uid"].astype(str))[taken],
        on="sop_uid",
        how="inner",
        validate="one_to_one",
    )
    if joined.empty or not known:
        raise InvalidTable(
            "No film of the index has a probability in the predictions. Expected sop_uid and "
            "probability_FINDING of the same films.",
            reason="no_overlap",
        )
    return joined


def with_probabilities(predictions: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """Predictions whose missing probabilities are the sigmoid of their logits."""
    made = predictions.copy()
    for finding in findings:
        name, logit = probability_column(finding), logit_column(finding)
        is_empty = name not in made or made[name].isna().all()
        if is_empty and logit in made:
            made[name] = sigmoid(made[logit].to_numpy(np.float64))
    return made


def label_issues(labels: Floats, probabilities: Floats) -> NDArray[np.bool_]:
    """Labels that confident learning takes for wrong.

    Args:
        labels: Shape (N,), 0 or 1; both occur.
        probabilities: Shape (N,), of the label 1, in [0, 1], out of fold.

    Returns:
        Shape (N,).
    """
    require("cleanlab", extra="labels")
    from cleanlab.filter import find_label_issues

    both = np.stack([1.0 - probabilities, probabilities], axis=1)
    issues: NDArray[np.bool_] = find_label_issues(
        labels.astype(int), both, filter_by="confident_learning", n_jobs=1
    )
    return issues


def _finding_queues(
    rows: pd.DataFrame,
    finding: str,
    column: str,
    per_queue: int,
    random_share: float,
    generator: np.random.Generator,
) -> pd.DataFrame:
    given = rows[finding].to_numpy(np.float64)
    probability = rows[column].to_numpy(np.float64)
    suspicion = np.where(given == 1.0, 1.0 - probability, probability)
    order = np.argsort(-suspicion, kind="stable")
    chosen: list[tuple[str, NDArray[np.intp]]] = []
    for queue, value in (("given_present", 1.0), ("given_absent", 0.0)):
        chosen.append((queue, order[given[order] == value][:per_queue]))
    n_random = max(1, round(random_share * sum(len(places) for _, places in chosen)))
    patients = rows["patient_id"].astype(str).to_numpy()
    chosen.append(("random", _at_random(given, patients, n_random, generator)))
    parts = [
        pd.DataFrame(
            {
                "finding": finding,
                "queue": queue,
                "place": np.arange(1, len(places) + 1),
                "sop_uid": rows["sop_uid"].to_numpy()[places],
                "path": rows["path"].to_numpy()[places] if "path" in rows else "",
                "given": given[places].astype(int),
                "probability": probability[places],
                "suspicion": suspicion[places],
                **(
                    {"disagreement": rows[disagreement_column(finding)].to_numpy()[places]}
                    if disagreement_column(finding) in rows
                    else {}
                ),
            }
        )
        for queue, places in chosen
    ]
    return pd.concat(parts, ignore_index=True)


def _at_random(
    given: Floats, patients: NDArray[np.object_], n: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Films drawn by chance within each given label, no two of one patient."""
    taken: set[str] = set()
    drawn: list[int] = []
    for value, share in ((1.0, n // 2), (0.0, n - n // 2)):
        count = 0
        for place in generator.permutation(np.flatnonzero(given == value)):
            if count == share:
                break
            if patients[place] not in taken:
                taken.add(str(patients[place]))
                drawn.append(int(place))
                count += 1
    return np.array(drawn, dtype=np.intp)
