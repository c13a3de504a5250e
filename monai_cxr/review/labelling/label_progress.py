"""Label progress: how far an audit is, how readers agree, and what it corrects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from monai_cxr.findings import title_of
from monai_cxr.labels import answers as said
from monai_cxr.review.labelling.label_audit import AuditQuestions, Standing
from monai_cxr.screening.ledger.people.label_answers import ADJUDICATION, LabelAnswer
from monai_cxr.tables import without_formula

_COLUMNS = ("sop_uid", "finding", "reader", "answer", "at", "role", "seconds")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an audit is.

    Attributes:
        total: Questions.
        readers: (name, questions answered by themselves), the most first.
        decided: How many differences were decided by a further reader.
        differing: On how many questions readers differ and nobody has decided.
        agreements: (finding, judged by both, share agreed, Cohen's kappa) of the two readers with
            most answers; numbers are None where they are not defined.
    """

    total: int
    readers: tuple[tuple[str, int], ...]
    decided: int
    differing: int
    agreements: tuple[tuple[str, int, float | None, float | None], ...]


def progress_of(audit: AuditQuestions, standing: Standing) -> Progress:
    """How far an audit is, and how its readers agree."""
    counts: dict[str, int] = {}
    for one in standing.order:
        if one.role != ADJUDICATION:
            counts[one.reader] = counts.get(one.reader, 0) + 1
    table = _table(standing.order)
    agreements = tuple(
        (title_of(one.finding), one.n, _known(one.agreed), _known(one.kappa))
        for one in said.agreement(table)
    )
    return Progress(
        len(audit.items),
        tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        sum(one.role == ADJUDICATION for one in standing.order),
        sum(standing.differs(item) for item in audit.items),
        agreements,
    )


def answers_csv(standing: Standing) -> bytes:
    """What readers said, as ``labels corrections --answers`` takes it; no label, no score."""
    table = _table(standing.order, named=True)
    for column in ("sop_uid", "reader"):
        table[column] = [without_formula(value) for value in table[column]]
    return table.to_csv(index=False).encode("utf-8")


def overlay_csv(audit: AuditQuestions, standing: Standing, *, reader: str = "") -> bytes:
    """Corrections of what is settled, as ``labels apply --overlay`` takes them.

    Args:
        audit: The audit; its record names the index.
        standing: What has been said.
        reader: Somebody with questions left, who is told the labels of the films alone that they
            answered; ``""`` for everything.
    """
    decided, _ = said.settled(_table(standing.order))
    if reader:
        own = {key for key, people in standing.said.items() if reader in people}
        keys = zip(decided["sop_uid"], decided["finding"], strict=True)
        decided = decided[[key in own for key in keys]]
    queue = audit.folder.queue
    keys = zip(queue["sop_uid"].astype(str), queue["finding"].astype(str), strict=True)
    given = dict(zip(keys, queue["given"].astype(float), strict=True))
    overlay = said.overlay_rows(decided, given, index_digest=audit.folder.index_digest)
    return overlay.to_csv(index=False).encode("utf-8")


def _table(answers: Sequence[LabelAnswer], *, named: bool = False) -> pd.DataFrame:
    """Answers as the table of :func:`monai_cxr.labels.answers.read_answers`.

    Args:
        answers: Those that stand, oldest first.
        named: Whether an adjudicator keeps their own name, beside their role.
    """
    rows = [
        (
            one.sop_uid,
            one.finding,
            said.ADJUDICATOR if one.role == ADJUDICATION and not named else one.reader,
            one.answer,
            pd.Timestamp(one.answered_at, unit="s", tz="UTC").isoformat(),
            one.role,
            round(one.seconds, 1),
        )
        for one in answers
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
