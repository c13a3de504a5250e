"""Ledger cases: the studies of a screening ledger as cases, kept up to date at little cost."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from monai_cxr.errors import DeliveryError, UnreadableImage
from monai_cxr.prediction import Prediction, study_prediction
from monai_cxr.radiograph import FilmFacts, ViewPosition
from monai_cxr.reading.files import read_bytes
from monai_cxr.review.cases import Case, CaseImage, CaseStatus, QueueLine, Stray, opaque
from monai_cxr.review.persons import Person, birth_year, by_person, named
from monai_cxr.review.words import SCOPE_REASONS
from monai_cxr.screening.ledger import Ledger, jobs, quarantine
from monai_cxr.screening.ledger.people import worklist
from monai_cxr.screening.ledger.records import Film, Result, film_of, result_of
from monai_cxr.screening.ledger.schema import (
    DELIVERED,
    IN_PROGRESS,
    PENDING,
    SCHEDULED,
    audit,
    films,
    results,
)
from monai_cxr.screening.ledger.studies import Study
from monai_cxr.screening.ledger.watching import counts

_MOST_STUDIES = 20_000
_MOST_ENTRIES = 2_000
_BULK = 50

_Films = list[tuple[Film, Result | None]]


@contextmanager
def answering() -> Iterator[None]:
    """A database that is locked or gone is a delivery that failed: trying again may help.

    Raises:
        DeliveryError: Instead of the database's own error.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise DeliveryError(
            f"The ledger does not answer ({type(error).__name__}). Nothing was lost; try again."
        ) from error


@dataclass(frozen=True, slots=True)
class _Known:
    study: Study
    cases: tuple[Case, ...]


class LedgerCases:
    """Cases of a ledger; answers the protocol of :class:`monai_cxr.review.cases.CaseSource`.

    Args:
        ledger: An open ledger.
        secret: Key of the opaque names.
    """

    name = "screening ledger"

    def __init__(self, ledger: Ledger, *, secret: bytes) -> None:
        self._ledger = ledger
        self._secret = secret
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._by_id: dict[str, str] = {}
        self._version = -1

    def version(self) -> int:
        """Every change of a ledger is in its audit trail: the number of the last entry."""
        with answering(), self._ledger.read() as connection:
            return int(connection.execute(select(func.max(audit.c.id))).scalar() or 0)

    def cases(self) -> Sequence[Case]:
        """All cases; only what changed since the last call is read again."""
        with self._lock:
            self._refresh()
            return [case for known in self._known.values() for case in known.cases]

    def case(self, case_id: str) -> Case | None:
        """One case, or None."""
        with self._lock:
            self._refresh()
            study_uid = self._by_id.get(case_id)
            cases = self._known[study_uid].cases if study_uid else ()
            return next((case for case in cases if case.case_id == case_id), None)

    def data(self, image: CaseImage) -> bytes:
        """The file of an image, read now; never that of another one which took its place.

        Raises:
            UnreadableImage: If it is gone, or the ledger has another file of this name now.
        """
        with answering():
            film = jobs.film(self._ledger, image.key.sop_uid)
        if film is None:
            raise UnreadableImage("The ledger has no such film.", reason="missing_file")
        if image.film_id and self._name(film) != image.film_id:
            raise UnreadableImage(
                "Another file of this film arrived; open the study again.", reason="changed_file"
            )
        return read_bytes(film.path)[0]

    def _name(self, film: Film) -> str:
        return opaque(self._secret, f"{film.key.sop_uid}\n{film.pixel_sha256}\n{film.path}")

    def retry(self, case_id: str, *, actor: str) -> bool:
        """Release the quarantined films of a study."""
        study_uid = self._by_id.get(case_id)
        if study_uid is None:
            return False
        with answering():
            entries = quarantine.entries(self._ledger, limit=_MOST_ENTRIES)
            of_study = [entry for entry in entries if entry.study_uid == study_uid]
            ids = [entry.id for entry in of_study if entry.film_id is not None]
            return quarantine.release(self._ledger, ids, actor=actor) > 0

    def queue(self) -> Sequence[QueueLine]:
        """Films that wait or are being read, and deliveries that wait or were given up."""
        with answering():
            now = counts.count(self._ledger)
        oldest = now.queue_age_seconds.get(1.0, math.nan)
        lines = [
            QueueLine("Films waiting for the model", now.films[SCHEDULED], oldest),
            QueueLine("Films being read", now.films[IN_PROGRESS], math.nan),
        ]
        for (kind, destination, state), n in sorted(now.deliveries.items()):
            if state != DELIVERED:
                age = now.outbox_age_seconds if state == PENDING else math.nan
                lines.append(QueueLine(f"{kind} to {destination}, {state}", n, age))
        return lines

    def strays(self) -> Sequence[Stray]:
        """Files that came and never became a film of a study."""
        with answering():
            entries = quarantine.entries(self._ledger, limit=_MOST_ENTRIES)
        return [
            Stray(entry.reason, entry.message, entry.source, entry.quarantined_at)
            for entry in entries
            if entry.film_id is None
        ]

    def _refresh(self) -> None:
        version = self.version()
        if version == self._version:
            return
        with answering():
            listed = worklist.list_studies(self._ledger, limit=_MOST_STUDIES)
            changed = [
                study
                for study in listed
                if study.study_uid not in self._known or self._known[study.study_uid].study != study
            ]
            found = self._films_of([study.study_uid for study in changed])
            sentences = self._sentences(found)
        for study in changed:
            cases = self._cases(study, found.get(study.study_uid, []), sentences)
            self._known[study.study_uid] = _Known(study, cases)
            self._by_id |= {case.case_id: study.study_uid for case in cases}
        self._version = version

    def _films_of(self, study_uids: Sequence[str]) -> dict[str, _Films]:
        """Films and results of some studies; of all in two queries where they are many."""
        if len(study_uids) <= _BULK:
            return {uid: worklist.films_of_study(self._ledger, uid) for uid in study_uids}
        with self._ledger.read() as connection:
            rows = connection.execute(select(films).order_by(films.c.id)).all()
            stored = {(r.sop_uid, r.model_digest): r for r in connection.execute(select(results))}
        found: dict[str, _Films] = {}
        for row in rows:
            film = film_of(row)
            key, result = film.key, stored.get((row.sop_uid, row.model_digest))
            pair = (film, None if result is None else result_of(result, film))
            found.setdefault(key.study_uid, []).append(pair)
        return found

    def _sentences(self, found: Mapping[str, _Films]) -> dict[int, str]:
        held = any(film.reason for pairs in found.values() for film, _ in pairs)
        if not held:
            return {}
        entries = quarantine.entries(self._ledger, limit=_MOST_ENTRIES)
        return {entry.film_id: entry.message for entry in entries if entry.film_id is not None}

    def _cases(self, study: Study, pairs: _Films, sentences: Mapping[int, str]) -> tuple[Case, ...]:
        """The cases of a study: one per person."""
        people = by_person(pairs, lambda pair: _person(study, *pair))
        return tuple(
            self._case(study, group, sentences, shared=len(people) > 1) for group in people
        )

    def _case(
        self, study: Study, pairs: _Films, sentences: Mapping[int, str], *, shared: bool
    ) -> Case:
        images = [
            replace(_image(film, result, sentences), film_id=self._name(film))
            for film, result in pairs
        ]
        images.sort(key=lambda image: image.view is ViewPosition.LATERAL)
        known = [result for _, result in pairs if result is not None]
        predictions = [image.prediction for image in images if image.prediction is not None]
        told = max((_person(study, *pair) for pair in pairs), key=lambda one: one.stated)
        apart = f"{study.study_uid}\n{named(told)}" if shared else study.study_uid
        case_id = opaque(self._secret, apart)
        return Case(
            case_id=case_id,
            patient=opaque(self._secret, told.patient_id),
            images=tuple(images),
            status=_status(study, images),
            received=study.first_received_at,
            acquired=study.study_date,
            patient_sex=known[0].facts.patient_sex if known else "",
            patient_age_years=known[0].facts.patient_age_years if known else None,
            prediction=_newest_model(predictions),
            accession=pairs[0][0].accession_number,
            shared=shared,
            study=f"{study.study_uid}/{case_id[:8]}" if shared else "",
        )


def _person(study: Study, film: Film, result: Result | None) -> Person:
    """Whom a film shows, as far as the ledger knows: it keeps no name and no date of birth."""
    facts = FilmFacts(film.key) if result is None else result.facts
    year = birth_year("", film.study_date or study.study_date, facts.patient_age_years)
    return Person(film.key.patient_id, sex=facts.patient_sex, birth_year=year)


def _newest_model(predictions: Sequence[Prediction]) -> Prediction | None:
    """The study's prediction; films that an older model read are left out of it."""
    if not predictions:
        return None
    digest = predictions[-1].model.digest
    return study_prediction([one for one in predictions if one.model.digest == digest])


def _image(film: Film, result: Result | None, sentences: Mapping[int, str]) -> CaseImage:
    if result is not None:
        return CaseImage(
            film.key,
            result.facts.view,
            result.prediction,
            flags=result.facts.flags,
            predicted_at=result.predicted_at,
        )
    sentence = sentences.get(film.id, "") if film.reason else ""
    failed = bool(film.reason) and film.reason not in SCOPE_REASONS
    view = ViewPosition.LATERAL if film.reason == "lateral" else ViewPosition.UNKNOWN
    return CaseImage(film.key, view, reason=film.reason, sentence=sentence, failed=failed)


def _status(study: Study, images: Sequence[CaseImage]) -> CaseStatus:
    if any(image.prediction is not None for image in images):
        return CaseStatus.ANALYSED
    if study.status == "waiting":
        return CaseStatus.WAITING
    failed = any(image.failed for image in images)
    return CaseStatus.FAILED if failed else CaseStatus.NOT_ANALYSED
