"""Signed reports: what the report of a study says, as labels and the words that decided them.

The text itself is kept encrypted, or not at all (:mod:`.report_texts`). A report is matched to its
study when it is asked for, so it may come before its film, late, twice, or corrected.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select

from monai_cxr.labels.report_sources import Report
from monai_cxr.labels.report_text import LabelledReport
from monai_cxr.screening.ledger import audit, patients
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.people import report_texts
from monai_cxr.screening.ledger.people.report_texts import TextSeal
from monai_cxr.screening.ledger.schema import FILM_STATES, films, reports, studies

STATUSES = ("F", "C", "P", "X", "")
"""Final, corrected, preliminary, withdrawn (HL7 table 0085), and not stated, taken for final."""

MATCHED, NO_FILM, OTHER_PATIENT, AMBIGUOUS, PRELIMINARY, UNREAD = (
    "matched",
    "no_film",
    "other_patient",
    "ambiguous",
    "preliminary",
    "unread",
)
"""How a standing report fits: its study; none (yet); another patient's; several studies under its
number; not final; or without a text that could be read."""

_FIT_WORDS = {
    MATCHED: "matched to a film",
    NO_FILM: "whose film has not come",
    OTHER_PATIENT: "of another patient than the film's",
    AMBIGUOUS: "whose number several studies have",
    PRELIMINARY: "preliminary",
    UNREAD: "that could not be read",
}

STORED, KNOWN, REFUSED = "stored", "known", "refused"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class SignedReport:
    """A report of the ledger.

    Attributes:
        id: Row number.
        accession_number: Accession Number.
        study_uid: Study Instance UID, or ``""``.
        patient_id: Or ``""``.
        status: One of :data:`STATUSES`.
        observed: Digits ``YYYYMMDDHHMMSS`` as far as given; the time of arrival where it states
            none.
        problem: Why it could not be read, or ``""``.
        states: State by finding: 1 present, 0 absent, -1 uncertain.
        spans: The words that decided, by finding.
        arrived_at: Seconds since 1970.
    """

    id: int
    accession_number: str = field(repr=False)
    study_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    status: str
    observed: str
    problem: str
    states: Mapping[str, int]
    spans: Mapping[str, str] = field(repr=False)
    arrived_at: float


@dataclass(frozen=True, slots=True)
class Match:
    """A standing report and where it belongs.

    Attributes:
        report: The report that counts for its number.
        fit: ``"matched"``, ``"no_film"``, ``"other_patient"``, ``"ambiguous"``, ``"preliminary"``
            or ``"unread"``.
        study_uid: Of the study, ``""`` without one.
        patient_id: Of the study.
        first_arrived_at: When the first report of this number came that was not preliminary or
            withdrawn, in seconds since 1970.
    """

    report: SignedReport
    fit: str
    study_uid: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    first_arrived_at: float = 0.0


def add(
    ledger: Ledger,
    items: Iterable[tuple[Report, str, LabelledReport]],
    *,
    source: str,
    seal: TextSeal | None = None,
) -> dict[str, int]:
    """Store reports.

    Args:
        ledger: The ledger.
        items: Reports, their problems and their labels; the id is the Accession Number.
        source: Name of what brought them.
        seal: What closes their text; None keeps no text.

    Returns:
        How many were ``"stored"``, ``"known"`` already, or ``"refused"``: of another patient than
        the film's.
    """
    now, counts = ledger.clock(), dict.fromkeys((STORED, KNOWN, REFUSED), 0)
    with ledger.write() as connection:
        for report, problem, labelled in items:
            named = replace(report, patient_id=patients.current(connection, report.patient_id))
            values = _row(named, problem, labelled, now)
            one = _report(values | {"id": 0})
            if _fit(one, _studies_of(connection, [one]))[0] == OTHER_PATIENT:
                counts[REFUSED] += 1
                continue
            is_new = insert_new(connection, reports, [values], ["digest"])
            counts[STORED if is_new else KNOWN] += 1
            if seal is not None and report.text:
                report_texts.keep(connection, seal, values["digest"], report.text, now=now)
        audit.record(connection, source, "reports imported", "", dict(counts), now=now)
    return counts


def matches(ledger: Ledger) -> Iterator[Match]:
    """The standing report of each number, and where it belongs; in the order of the numbers."""
    for page in match_pages(ledger):
        yield from page


def fits_in_words(fits: Mapping[str, int]) -> str:
    """How many reports fit how, for people."""
    said = [f"{fits[fit]:,} {words}" for fit, words in _FIT_WORDS.items() if fits.get(fit)]
    return ", ".join(said) or "none"


def match_pages(
    ledger: Ledger,
    *,
    since: float = -math.inf,
    until: float = math.inf,
    newest: int | None = None,
) -> Iterator[list[Match]]:
    """The same page by page.

    Args:
        ledger: The ledger.
        since: Only numbers of which a report or a film came from then on, in seconds since 1970.
        until: As it was then, in seconds since 1970.
        newest: Only numbers of so many reports that came last; None for all.
    """
    for page in _numbers(ledger, since, until, newest):
        with ledger.read() as connection:
            query = select(reports).where(
                reports.c.accession_number.in_(page), reports.c.arrived_at < until
            )
            rows = connection.execute(query.order_by(reports.c.accession_number, reports.c.id))
            found = [_report(row._asdict()) for row in rows]
            by_number = groupby(found, key=lambda report: report.accession_number)
            current = [
                (one, _first_arrived(versions))
                for versions in (list(group) for _, group in by_number)
                if (one := standing(versions)) is not None
            ]
            known = _studies_of(connection, [one for one, _ in current], until)
        yield [Match(one, *_fit(one, known), first) for one, first in current]


def _first_arrived(versions: Sequence[SignedReport]) -> float:
    said = [one.arrived_at for one in versions if one.status not in ("P", "X")]
    return min(said or [one.arrived_at for one in versions])


def _numbers(ledger: Ledger, since: float, until: float, newest: int | None) -> Iterator[list[str]]:
    """Accession Numbers that have reports, page by page, each by a lookup."""
    number, arrived = reports.c.accession_number, reports.c.arrived_at
    names: set[str] = set()
    if newest is not None:
        query = select(number).where(arrived < until).order_by(arrived.desc()).limit(newest)
        with ledger.read() as connection:
            names.update(connection.execute(query).scalars())
    elif since > -math.inf:
        with ledger.read() as connection:
            query = select(number).where(arrived >= since, arrived < until)
            names.update(connection.execute(query).scalars())
            names.update(_numbers_of_films(connection, since, until))
    else:
        yield from _all_numbers(ledger, until)
        return
    ordered = sorted(names - {""})
    yield from (ordered[i : i + _PAGE] for i in range(0, len(ordered), _PAGE))


def _numbers_of_films(connection: Connection, since: float, until: float) -> Iterator[str]:
    """Accession Numbers of the reports of films that came in a period."""
    came = (films.c.state.in_(FILM_STATES), films.c.received_at >= since)
    query = select(films.c.study_uid).where(*came, films.c.received_at < until).distinct()
    uids = list(connection.execute(query).scalars())
    for start in range(0, len(uids), _PAGE):
        page = uids[start : start + _PAGE]
        of_studies = select(studies.c.accession_number).where(
            studies.c.study_uid.in_(page), studies.c.accession_number != ""
        )
        yield from connection.execute(of_studies).scalars()
        of_reports = select(reports.c.accession_number).where(reports.c.study_uid.in_(page))
        yield from connection.execute(of_reports).scalars()


def _all_numbers(ledger: Ledger, until: float) -> Iterator[list[str]]:
    number, before = reports.c.accession_number, reports.c.arrived_at < until
    last = ""
    while True:
        more = select(number).where(number > last, before).distinct().order_by(number).limit(_PAGE)
        with ledger.read() as connection:
            page = list(connection.execute(more).scalars())
        if not page:
            return
        yield page
        last = page[-1]


def standing(versions: Sequence[SignedReport]) -> SignedReport | None:
    """Which of a number's reports counts.

    The newest does, but a preliminary one never overrules a final one, nor does a copy of the
    original that arrives late overrule its correction; a withdrawal leaves none of before.

    Args:
        versions: Reports of one number.
    """
    current: SignedReport | None = None
    for one in sorted(versions, key=lambda report: (report.observed, report.id)):
        is_older = current is not None and one.observed <= current.observed
        if one.status == "X":
            current = None
        elif current is None or one.status == "C":
            current = one
        elif one.status == "P":
            current = one if current.status == "P" else current
        elif not (current.status == "C" and is_older):
            current = one
    return current


def _studies_of(
    connection: Connection, found: Sequence[SignedReport], until: float = math.inf
) -> dict[str, list[Any]]:
    """The studies that reports may be of, by Accession Number and by Study Instance UID."""
    known: dict[str, list[Any]] = {}
    for column in (studies.c.accession_number, studies.c.study_uid):
        names = {getattr(one, column.name) for one in found} - {""}
        query = select(studies.c.accession_number, studies.c.study_uid, studies.c.patient_id)
        query = query.where(column.in_(names), studies.c.first_received_at < until)
        for row in connection.execute(query):
            known.setdefault(getattr(row, column.name), []).append(row)
    return known


def _fit(report: SignedReport, known: Mapping[str, Sequence[Any]]) -> tuple[str, str, str]:
    named = known.get(report.study_uid, ()) if report.study_uid else ()
    found = list(named or known.get(report.accession_number, ()))
    if not report.accession_number or not found:
        return NO_FILM, "", ""
    stated = report.patient_id.strip()
    if stated and all(row.patient_id.strip() not in ("", stated) for row in found):
        return OTHER_PATIENT, "", ""
    if len(found) > 1:
        found = [row for row in found if stated and row.patient_id.strip() == stated] or found
    if len(found) > 1:
        return AMBIGUOUS, "", ""
    if report.problem and not report.states:
        return UNREAD, found[0].study_uid, found[0].patient_id
    fit = PRELIMINARY if report.status == "P" else MATCHED
    return fit, found[0].study_uid, found[0].patient_id


def _row(report: Report, problem: str, labelled: LabelledReport, now: float) -> dict[str, Any]:
    status = report.status.strip().upper()[:1]
    arrived = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%d%H%M%S")
    key = (report.id, report.patient_id, report.study_uid, status, report.observed, report.text)
    return {
        "accession_number": report.id,
        "study_uid": report.study_uid,
        "patient_id": report.patient_id,
        "status": status if status in STATUSES else "",
        "observed": "".join(c for c in report.observed if c.isdigit())[:14].ljust(8, "0")
        if report.observed.strip()
        else arrived,
        "digest": hashlib.sha256(json.dumps(key).encode()).hexdigest(),
        "problem": problem,
        "states": json.dumps(dict(labelled.states)),
        "spans": json.dumps({e.finding: e.sentence[slice(*e.span)] for e in labelled.evidence}),
        "arrived_at": now,
    }


def _report(values: Mapping[str, Any]) -> SignedReport:
    kept = {name: value for name, value in values.items() if name != "digest"}
    kept |= {name: json.loads(kept[name]) if kept[name] else {} for name in ("states", "spans")}
    return SignedReport(**kept)
