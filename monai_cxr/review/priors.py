"""Priors: other studies of the same person, before this one, with it and after it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from monai_cxr.errors import DeliveryError, InputError
from monai_cxr.review.cases import Case, CaseImage, CaseSource
from monai_cxr.review.persons import FilmHeader, differences, film_header

_MOST_HEADERS = 5_000

PRIOR, SAME_DAY, LATER = "Prior", "Same day", "Later"


@dataclass(frozen=True, slots=True)
class ComparedStudy:
    """Another study of the same person.

    Attributes:
        case: The study.
        relation: ``"Prior"``, ``"Same day"`` (which of the two is the earlier one is not stated)
            or ``"Later"``.
        date: ``YYYYMMDD``.
        time: ``HHMMSS`` or ``""``.
    """

    case: Case
    relation: str
    date: str
    time: str


@dataclass(frozen=True, slots=True)
class Comparisons:
    """What there is to compare a study with.

    Attributes:
        studies: Priors, the latest first; then those of the same day; then later ones.
        undated: How many have no date, or all of them where this study has none.
        others: By what other studies with this patient ID differ, such as ``("sex",)``.
    """

    studies: tuple[ComparedStudy, ...] = ()
    undated: int = 0
    others: tuple[str, ...] = ()


class Priors:
    """Other studies of a person in a source; who and when are read from the films' own headers.

    Args:
        source: Where cases come from.
    """

    def __init__(self, source: CaseSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._headers: OrderedDict[str, FilmHeader] = OrderedDict()

    def of(self, case: Case) -> Comparisons:
        """Studies to compare a case with; the person must agree in more than the patient ID."""
        if not case.patient:
            return Comparisons()
        mine = self.header(case.images[0])
        found: list[ComparedStudy] = []
        undated = 0
        others: set[str] = set()
        for other in self._source.cases():
            if other.patient != case.patient or other.case_id == case.case_id:
                continue
            theirs = self.header(other.images[0])
            apart = differences(mine.person, theirs.person)
            if apart:
                others.update(apart)
            elif not (mine.date and theirs.date):
                undated += 1
            else:
                relation = _relation(mine, theirs)
                found.append(ComparedStudy(other, relation, theirs.date, theirs.time))
        return Comparisons(tuple(_ordered(found)), undated, tuple(sorted(others)))

    def header(self, image: CaseImage) -> FilmHeader:
        """Who and when of a film, kept by the film's own name; empty where it cannot be read."""
        with self._lock:
            known = self._headers.get(image.film_id)
        if known is not None:
            return known
        try:
            read = film_header(self._source.data(image), image.key.sop_uid)
        except DeliveryError:
            raise
        except InputError:
            return FilmHeader(image.key)
        with self._lock:
            self._headers[image.film_id] = read
            while len(self._headers) > _MOST_HEADERS:
                self._headers.popitem(last=False)
        return read


def _relation(mine: FilmHeader, theirs: FilmHeader) -> str:
    if mine.date != theirs.date:
        return PRIOR if theirs.date < mine.date else LATER
    if not (mine.time and theirs.time) or mine.time == theirs.time:
        return SAME_DAY
    return PRIOR if theirs.time < mine.time else LATER


def _ordered(found: list[ComparedStudy]) -> list[ComparedStudy]:
    latest = sorted(found, key=lambda one: (one.date, one.time), reverse=True)
    return sorted(latest, key=lambda one: (PRIOR, SAME_DAY, LATER).index(one.relation))
