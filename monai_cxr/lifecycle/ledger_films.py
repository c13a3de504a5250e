"""Ledger films: what a running service has read since a time, with the labels that people gave.

A reader who had seen the score may have followed it, so a model that learns from such words learns
from itself. Only words that came before the score are evidence; the others are kept apart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select

from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.people import reviews, signed_reports
from monai_cxr.screening.ledger.schema import COMPLETED, films, results
from monai_cxr.screening.watching.named_ledger import open_named

REVIEWS, REPORTS = "reviews", "reports"
LABEL_SOURCES = (REVIEWS, REPORTS)
"""Where labels of a ledger's films may come from; a reader's word goes before a report's."""

_VAL_SHARE = 4  # every fourth patient
_PAGE = 500


@dataclass(frozen=True, slots=True, eq=False)
class LedgerFilms:
    """Films of a ledger as rows of an index.

    Attributes:
        evidence: Films with a label that no score can have led to, and a split by patient.
        apart: Films whose only labels came from readers who had, or may have, seen the score.
        n_wrong: Labels of ``evidence`` that contradict the model's flag.
    """

    evidence: pd.DataFrame
    apart: pd.DataFrame
    n_wrong: int

    @property
    def n_labels(self) -> int:
        """Labels of the evidence, over all findings."""
        known = [name for name in self.evidence if name not in _FACTS]
        return int(self.evidence[known].notna().sum().sum()) if len(self.evidence) else 0


_FACTS = ("path", "patient_id", "study_uid", "sop_uid", "view", "age", "sex", "manufacturer",
          "split")  # fmt: skip


def ledger_films(
    ledger: Path, since: float, findings: Sequence[str], sources: Sequence[str] = (REVIEWS,)
) -> LedgerFilms:
    """Collect films that came since a time and have labels.

    Args:
        ledger: The service's TOML, or a SQLite ledger.
        since: Seconds since 1970: when the champion came into use, or an alarm began.
        findings: Of the model.
        sources: Among :data:`LABEL_SOURCES`.

    Returns:
        The films whose file is still in the spool.
    """
    with open_named(str(ledger)) as open_:
        said = _said(open_, findings, sources, since)
        if not said:
            return LedgerFilms(_table([], findings), _table([], findings), 0)
        evidence, apart, n_wrong = [], [], 0
        for row in _rows(open_, sorted(said), since):
            unseen, seen = said[row.sop_uid]
            facts = _facts(row)
            if unseen:
                evidence.append(facts | unseen)
                n_wrong += _n_wrong(row, unseen)
            elif seen:
                apart.append(facts | seen)
    return LedgerFilms(_table(evidence, findings), _table(apart, findings), n_wrong)


_Labels = dict[str, float]


def _said(
    ledger: Ledger, findings: Sequence[str], sources: Sequence[str], since: float
) -> dict[str, tuple[_Labels, _Labels]]:
    """Labels by film: of those who had not seen the score, and of the others; the newest counts."""
    made: dict[str, tuple[_Labels, _Labels]] = {}
    if REPORTS in sources:
        for sop_uid, labels in _of_reports(ledger, findings):
            made.setdefault(sop_uid, ({}, {}))[0].update(labels)
    if REVIEWS in sources:
        flags = _flags(ledger, {one.sop_uid for one in reviews.since(ledger, since)})
        for one in reviews.since(ledger, since):
            label = _label(one, flags.get((one.sop_uid, one.finding)))
            if one.finding not in findings or label is None:
                continue
            place = 0 if one.score_seen is False else 1
            made.setdefault(one.sop_uid, ({}, {}))[place][one.finding] = label
    return made


def _label(one: reviews.ReviewRow, flag: bool | None) -> float | None:
    """What a review says of the film: 1, 0, or None where it does not say."""
    if one.uncertain:
        return None
    if one.corrected_label is not None:
        return float(one.corrected_label)
    if one.label_agrees is None or flag is None:
        return None
    return float(flag is one.label_agrees)


def _of_reports(ledger: Ledger, findings: Sequence[str]) -> Iterator[tuple[str, _Labels]]:
    """Labels that final reports state, for each film of their study."""
    stated = {
        match.study_uid: {
            name: float(state)
            for name, state in match.report.states.items()
            if name in findings and state in (0, 1)
        }
        for match in signed_reports.matches(ledger)
        if match.fit == signed_reports.MATCHED
    }
    with ledger.read() as connection:
        for page in _pages(sorted(stated)):
            query = select(films.c.sop_uid, films.c.study_uid).where(films.c.study_uid.in_(page))
            for row in connection.execute(query.order_by(films.c.id)):
                if stated[row.study_uid]:
                    yield row.sop_uid, stated[row.study_uid]


def _flags(ledger: Ledger, sop_uids: Iterable[str]) -> dict[tuple[str, str], bool]:
    """The newest model's flags by film and finding."""
    made: dict[tuple[str, str], bool] = {}
    with ledger.read() as connection:
        for page in _pages(sorted(sop_uids)):
            query = select(results).where(results.c.sop_uid.in_(page)).order_by(results.c.id)
            for row in connection.execute(query):
                for name, positive in zip(row.findings, row.positive, strict=True):
                    if positive is not None:
                        made[row.sop_uid, name] = bool(positive)
    return made


def _rows(ledger: Ledger, sop_uids: Sequence[str], since: float) -> Iterator[Any]:
    """Films with their newest result, in the order of their identifiers; each once."""
    with ledger.read() as connection:
        for page in _pages(sop_uids):
            yield from _newest(connection, page, since)


def _newest(connection: Connection, page: Sequence[str], since: float) -> Iterator[Any]:
    query = (
        select(films.c.path, films.c.patient_id, results)
        .join(results, films.c.sop_uid == results.c.sop_uid)
        .where(films.c.sop_uid.in_(page), films.c.state == COMPLETED, films.c.received_at >= since)
        .order_by(results.c.id)
    )
    newest = {row.sop_uid: row for row in connection.execute(query)}
    for sop_uid in sorted(newest):
        if newest[sop_uid].path and Path(newest[sop_uid].path).is_file():
            yield newest[sop_uid]


def _facts(row: Any) -> dict[str, Any]:
    named = hashlib.sha256(row.patient_id.encode()).digest()
    return {
        "path": row.path,
        "patient_id": row.patient_id or row.study_uid,
        "study_uid": row.study_uid,
        "sop_uid": row.sop_uid,
        "view": row.view,
        "age": math.nan if row.age is None else row.age,
        "sex": row.sex,
        "manufacturer": row.manufacturer,
        "split": "val" if named[0] % _VAL_SHARE == 0 else "train",
    }


def _n_wrong(row: Any, labels: Mapping[str, float]) -> int:
    flags = dict(zip(row.findings, row.positive, strict=True))
    return sum(
        flags.get(name) is not None and bool(flags[name]) != bool(label)
        for name, label in labels.items()
    )


def _table(rows: Sequence[Mapping[str, Any]], findings: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=[*_FACTS, *findings])


def _pages(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _PAGE):
        yield keys[start : start + _PAGE]
