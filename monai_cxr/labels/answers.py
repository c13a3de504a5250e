"""Answers: what readers said of films or reports, how far they agree, and what follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.labels.overlay import OVERLAY_COLUMNS, index_digest, last_words
from monai_cxr.prediction import Interval
from monai_cxr.tables import read_table, require_columns

ANSWERS = ("present", "absent", "uncertain", "unreadable")
ADJUDICATOR = "adjudication"
"""Reader whose word stands above the others'."""

Floats = NDArray[np.float64]
_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two readers agree on a finding, over what both called present or absent.

    Attributes:
        finding: Name of the finding.
        n: Films or reports that both judged.
        agreed: Share on which they agree.
        kappa: Cohen's kappa; NaN where one of them gave one answer only.
    """

    finding: str
    n: int
    agreed: float
    kappa: float


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Share of wrong labels of a finding.

    Attributes:
        finding: Name of the finding.
        n: Films of the random share that were judged.
        wrong: Of these, wrong labels.
        rate: Share of all labels of the finding that are wrong, with its 95 % interval.
        rate_present: Of the labels "present".
        rate_absent: Of the labels "absent".
    """

    finding: str
    n: int
    wrong: int
    rate: Interval
    rate_present: Interval
    rate_absent: Interval


def read_answers(path: Path) -> pd.DataFrame:
    """Read answers: ``sop_uid`` (or ``id``), ``finding``, ``reader``, ``answer``, ``at``.

    A row whose ``role`` is "adjudication", as the viewer exports it, is the adjudicator's.

    Raises:
        InvalidTable: If a column is missing, an answer is none of :data:`ANSWERS`, or a reader
            gave two answers and no time tells which was last.
    """
    table = read_table(path)
    if "sop_uid" not in table and "id" in table:
        table = table.rename(columns={"id": "sop_uid"})
    require_columns(table, ("sop_uid", "finding", "reader", "answer"), what="answers")
    table["sop_uid"] = table["sop_uid"].astype(str)
    table["answer"] = table["answer"].astype(str).str.strip().str.casefold()
    unknown = sorted(set(table["answer"]) - set(ANSWERS))
    if unknown:
        raise InvalidTable(
            f"'{path.name}' holds the answer '{unknown[0][:40]}'; expected {', '.join(ANSWERS)}.",
            reason="bad_label",
        )
    if "role" in table:
        table.loc[table["role"] == ADJUDICATOR, "reader"] = ADJUDICATOR
    return last_words(table, "answer")


def join_answers(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Answers of several files, each answer once.

    Raises:
        InvalidTable: If two files hold different answers under one reader's name.
    """
    keys = ["sop_uid", "finding", "reader"]
    together = pd.concat(parts, ignore_index=True)
    said = together.groupby(keys)["answer"].nunique()
    differing = said[said > 1].reset_index()
    if len(differing):
        raise InvalidTable(
            f"Two files hold different answers of the reader '{differing['reader'].iloc[0]}' on "
            f"{len(differing)} films. Give each reader a name of their own, or only the last file "
            "of one reader.",
            reason="contradictions",
        )
    return together.drop_duplicates(keys, keep="last")


def agreement(answers: pd.DataFrame) -> tuple[Agreement, ...]:
    """Agreement of the two readers with most answers, finding by finding."""
    of_readers = answers[answers["reader"] != ADJUDICATOR]
    readers = of_readers["reader"].value_counts().index[:2]
    if len(readers) < 2:
        return ()
    made = []
    for finding, part in of_readers.groupby("finding", sort=False):
        wide = part.pivot(index="sop_uid", columns="reader", values="answer")
        if not set(readers) <= set(wide.columns):
            continue
        both = wide[list(readers)].dropna()
        both = both[both.isin(["present", "absent"]).all(axis=1)]
        a, b = (both[name].eq("present").to_numpy() for name in readers)
        made.append(Agreement(str(finding), len(both), *_kappa(a, b)))
    return tuple(made)


def _kappa(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[float, float]:
    if not len(a):
        return math.nan, math.nan
    agreed = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return agreed, (agreed - chance) / (1 - chance) if chance < 1 else math.nan


def settled(answers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The settled answers, and those that need a third reader.

    Returns:
        (``sop_uid``, ``finding``, ``answer``, ``reader``, ``at``) of what all readers agree on or
        an adjudicator decided; and (``sop_uid``, ``finding``) of what they differ on.
    """
    decided, open_ = [], []
    for (uid, finding), part in answers.groupby(["sop_uid", "finding"], sort=False):
        last = part[part["reader"] == ADJUDICATOR]
        if last.empty and part["answer"].nunique() > 1:
            open_.append((uid, finding))
            continue
        row = (last if not last.empty else part).iloc[-1]
        readers = "+".join(sorted(part["reader"].astype(str)))
        decided.append((uid, finding, row["answer"], readers, row.get("at", "")))
    columns = ["sop_uid", "finding", "answer", "reader", "at"]
    return pd.DataFrame(decided, columns=columns), pd.DataFrame(open_, columns=columns[:2])


def corrections(
    index: pd.DataFrame, decided: pd.DataFrame, findings: Sequence[str], *, model_digest: str = ""
) -> pd.DataFrame:
    """The overlay that follows from settled answers: a row where the answer is not the label.

    Args:
        index: The index that was audited.
        decided: See :func:`settled`; "uncertain" makes a label unknown, "unreadable" says nothing.
        findings: Label columns of the index.
        model_digest: Of the model that ranked the films.

    Returns:
        Rows of :data:`monai_cxr.labels.overlay.OVERLAY_COLUMNS`.
    """
    labels = index.set_index(index["sop_uid"].astype(str))
    given = {
        (uid, name): float(labels[name].loc[uid])
        for uid, name in zip(
            decided["sop_uid"].astype(str), decided["finding"].astype(str), strict=True
        )
        if uid in labels.index
    }
    digest = index_digest(index, findings)
    return overlay_rows(decided, given, index_digest=digest, model_digest=model_digest)


def overlay_rows(
    decided: pd.DataFrame,
    given: Mapping[tuple[str, str], float],
    *,
    index_digest: str,
    model_digest: str = "",
) -> pd.DataFrame:
    """Corrections where a settled answer is not the given label.

    Args:
        decided: See :func:`settled`.
        given: Labels by film and finding: 1, 0 or NaN; an answer to another film is left out.
        index_digest: Of the index that was audited.
        model_digest: Of the model that ranked the films.

    Returns:
        Rows of :data:`monai_cxr.labels.overlay.OVERLAY_COLUMNS`.
    """
    rows = []
    for row in decided.itertuples(index=False):
        key = (str(row.sop_uid), str(row.finding))
        if row.answer == "unreadable" or key not in given:
            continue
        old = given[key]
        new = {"present": 1.0, "absent": 0.0, "uncertain": math.nan}[str(row.answer)]
        if old == new or (math.isnan(old) and math.isnan(new)):
            continue
        said = (row.reader, row.at, model_digest, "audit")
        rows.append((index_digest, *key, old, new, *said))
    return pd.DataFrame(rows, columns=list(OVERLAY_COLUMNS))


def error_rates(
    queue: pd.DataFrame, decided: pd.DataFrame, index: pd.DataFrame, *, seed: int = 0
) -> tuple[ErrorRate, ...]:
    """Share of wrong labels, estimated only from the random share of an audit.

    The random share was drawn within each given label, one film per patient, so the two shares are
    weighted by how many films of the index have that label. The interval is of the posterior of
    both shares under Jeffreys' prior (Brown, Cai and DasGupta 2001), whose coverage the tests
    simulate.

    Args:
        queue: ``queue.csv`` of the audit.
        decided: See :func:`settled`.
        index: The index that was audited.
        seed: Of the draws from the posterior.
    """
    answers = decided.set_index(["sop_uid", "finding"])["answer"]
    made = []
    for finding, part in queue[queue["queue"] == "random"].groupby("finding", sort=False):
        keys = list(zip(part["sop_uid"].astype(str), part["finding"], strict=True))
        judged = [answers.get(key, "") for key in keys]
        use = np.array([answer in ("present", "absent") for answer in judged], dtype=bool)
        truth = np.array([answer == "present" for answer in judged])[use]
        given = (part["given"].to_numpy() == 1)[use]
        wrong = truth != given
        labels = index[str(finding)].to_numpy(np.float64)
        weights = np.array([(labels == 1).sum(), (labels == 0).sum()], dtype=np.float64)
        strata = [wrong[given == value] for value in (1, 0)]
        counts = [(int(stratum.sum()), len(stratum)) for stratum in strata]
        rate, present, absent = weighted_rate(counts, weights, seed=seed)
        made.append(
            ErrorRate(str(finding), int(use.sum()), int(wrong.sum()), rate, present, absent)
        )
    return tuple(made)


def weighted_rate(
    counts: Sequence[tuple[int, int]], weights: Floats, *, seed: int = 0, level: float = 0.95
) -> tuple[Interval, ...]:
    """A share over strata of known size, each with a random sample, and each stratum's share.

    Args:
        counts: (successes, trials) of each stratum.
        weights: Size of each stratum.
        seed: Of the draws.
        level: Coverage in (0, 1).

    Returns:
        The weighted share, then the strata's; a stratum without trials has no estimate, and then
        neither has the whole.
    """
    generator = np.random.default_rng(seed)
    tail = [(1 - level) / 2, (1 + level) / 2]
    draws, intervals, estimates = [], [], []
    for successes, trials in counts:
        drawn = generator.beta(successes + 0.5, trials - successes + 0.5, _DRAWS)
        draws.append(drawn)
        estimate = successes / trials if trials else math.nan
        estimates.append(estimate)
        low, high = np.quantile(drawn, tail)
        intervals.append(
            Interval(estimate, 0.0 if successes == 0 else low, 1.0 if successes == trials else high)
            if trials
            else Interval(math.nan)
        )
    shares = weights / weights.sum()
    needed = [index for index, share in enumerate(shares) if share > 0]
    if any(math.isnan(estimates[index]) for index in needed):
        return Interval(math.nan), *intervals
    whole = sum(shares[index] * draws[index] for index in needed)
    low, high = np.quantile(whole, tail)
    estimate = float(sum(shares[index] * estimates[index] for index in needed))
    none = all(counts[index][0] == 0 for index in needed)
    return Interval(estimate, 0.0 if none else float(low), float(high)), *intervals
