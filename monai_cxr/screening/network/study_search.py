"""Study search: every study of a day, also from a PACS that cuts its answers short.

A PACS may give fewer answers than there are, with or without saying so. An answer that is known to
be cut, or long enough to be, is asked for again in parts: by Study Time (0008,0030), and within one
second by the last character of the Patient ID (0010,0020). Parts that bring nothing new prove the
answer whole, at the cost of two queries.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monai_cxr.errors import DeliveryError

SMALLEST_LIMIT = 10
"""A shorter answer is believed: services that limit theirs to 10, 12, 50, 100 or 200 are known."""

_MOST_QUERIES = 2_000
_MOST_FAILURES = 8
"""So many queries, each for a part of the one before, and none succeeds: it is not one study."""
_LAST_SECOND = 86_399
_ALPHABET = frozenset(string.digits + string.ascii_letters)


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """An image that a query found.

    Attributes:
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        sop_uid: SOP Instance UID.
    """

    study_uid: str
    series_uid: str
    sop_uid: str


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study that a query found.

    Attributes:
        study_uid: Study Instance UID.
        time: Study Time, DICOM TM, or ``""``.
        patient_id: Patient ID, or ``""``.
    """

    study_uid: str
    time: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Which part of a day is asked for.

    Attributes:
        time: Study Time, a DICOM range, or ``""`` for the whole day.
        patient_id: Patient ID, a DICOM wild card, or ``""`` for any.
    """

    time: str = ""
    patient_id: str = field(default="", repr=False)


class PartFailed(DeliveryError):
    """A query failed though the PACS is there: one damaged study may be the reason."""


class IncompleteAnswer(DeliveryError):
    """A PACS answered, but did not give everything; what it gave can be used.

    Attributes:
        studies: What was said of studies whose images could not be listed, by Study Instance UID.
        is_cut: Whether there may be more studies.
    """

    def __init__(self, studies: Mapping[str, str], *, is_cut: bool) -> None:
        """Count what is missing."""
        cut = "answers are cut short; " if is_cut else ""
        super().__init__(f"{cut}{len(studies)} studies could not be listed")
        self.studies = dict(studies)
        self.is_cut = is_cut


Ask = Callable[[StudyFilter], tuple[Sequence[FoundStudy], bool]]
"""Filter -> (studies, whether the PACS said that there are more)."""


class DayQueries(Protocol):
    """Queries of a PACS for the images of one day."""

    def studies(self, modality: str) -> Ask:
        """How studies that may hold a modality are asked for."""

    def images(self, study_uid: str, modality: str) -> Iterator[FoundInstance]:
        """Images of a study's series of one modality.

        Raises:
            DeliveryError: If they cannot be listed.
        """

    def refuse_if_away(self, error: DeliveryError) -> None:
        """After a failure: return if it is of one study, raise if the PACS itself is away."""


def images_of_day(queries: DayQueries, modalities: Sequence[str]) -> Iterator[FoundInstance]:
    """Find the images of one day, each once; a study that cannot be listed stops no other.

    Raises:
        DeliveryError: If the PACS cannot be reached or refuses.
        IncompleteAnswer: At the end, if it answered but did not give everything.
    """
    seen: set[str] = set()
    gaps: dict[str, str] = {}
    is_cut = False
    for modality in modalities:
        studies, is_whole = all_studies(queries.studies(modality))
        is_cut = is_cut or not is_whole
        for study_uid in studies:
            try:
                for found in queries.images(study_uid, modality):
                    if found.sop_uid not in seen:
                        seen.add(found.sop_uid)
                        yield found
            except DeliveryError as error:
                queries.refuse_if_away(error)
                gaps[study_uid] = str(error)
    if gaps or is_cut:
        raise IncompleteAnswer(gaps, is_cut=is_cut)


def all_studies(ask: Ask) -> tuple[list[str], bool]:
    """Find every study of a day.

    Args:
        ask: One query.

    Returns:
        (Study Instance UIDs, each once, in the order of the answers; whether they are all).

    Raises:
        DeliveryError: What ``ask`` raises; a :class:`PartFailed` only if no part can be had.
    """
    search = _Search(ask)
    found, is_cut, _ = search.take(StudyFilter())
    search.split(0, _LAST_SECOND, found, is_cut)
    return list(search.known), search.is_whole


class _Search:
    """One day's search: what is known so far, and whether it is all."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._n_queries = self._n_failures = 0
        self.known: dict[str, FoundStudy] = {}
        self.is_whole = True

    def take(self, part: StudyFilter) -> tuple[list[FoundStudy], bool, bool]:
        """Ask for a part; gives (its studies, whether they are cut, whether any is new)."""
        self._n_queries += 1
        try:
            answered, is_cut = self._ask(part)
            self._n_failures = -_MOST_QUERIES
        except PartFailed:
            self._n_failures += 1
            if self._n_failures >= _MOST_FAILURES:
                raise
            answered, is_cut = [], True
        found = list({study.study_uid: study for study in answered}.values())
        n_before = len(self.known)
        for study in found:
            self.known.setdefault(study.study_uid, study)
        return found, is_cut, len(self.known) > n_before

    def split(self, first: int, last: int, found: list[FoundStudy], is_cut: bool) -> None:
        """Ask again for the halves of a span of seconds, until they bring nothing new."""
        if not is_cut and len(found) < SMALLEST_LIMIT:
            return
        if self._n_queries >= _MOST_QUERIES:
            self.is_whole = False
            return
        if first == last:
            self._by_patient(first, found, is_cut)
            return
        times = [_seconds(study.time) for study in found]
        if is_cut and None in times:  # no range of times finds the others of these
            self.is_whole = False
        known = sorted(time for time in times if time is not None and first <= time <= last)
        middle = known[len(known) // 2] if known else (first + last + 1) // 2
        middle = max(middle, first + 1)
        spans = (first, middle - 1), (middle, last)
        halves = [self.take(StudyFilter(_range(*span))) for span in spans]
        if found and all(len(part) == len(found) and not new for part, _, new in halves):
            self.is_whole = self.is_whole and not is_cut  # it does not heed Study Time
            return
        for (start, end), (part, part_is_cut, is_new) in zip(spans, halves, strict=True):
            # As many as before: the limit may lie within this half.
            if part_is_cut or is_new or len(part) == len(found):
                self.split(start, end, part, part_is_cut or (is_new and is_cut))

    def _by_patient(self, second: int, found: list[FoundStudy], is_cut: bool) -> None:
        """Ask for the studies of one second by the last character of their Patient ID."""
        time, n_before = _range(second, second), len(self.known)
        seen = {study.patient_id[-1:] for study in found} | set(string.digits)
        for ends in (seen & _ALPHABET, _ALPHABET - seen):
            for letter in sorted(ends):
                _, part_is_cut, _ = self.take(StudyFilter(time, f"*{letter}"))
                self.is_whole = self.is_whole and not part_is_cut
            if not is_cut and len(self.known) == n_before:
                return  # the answer was whole
        # A Patient ID that ends otherwise cannot be asked for.
        self.is_whole = self.is_whole and seen <= _ALPHABET


def _seconds(time: str) -> int | None:
    """Seconds since midnight of a DICOM TM, also with colons (as before 1993)."""
    digits = time.partition(".")[0].replace(":", "").strip().ljust(6, "0")
    if not (digits.isdecimal() and digits.isascii() and len(digits) == 6):
        return None
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), min(int(digits[4:]), 59)
    return hours * 3600 + minutes * 60 + seconds if hours < 24 and minutes < 60 else None


def _range(first: int, last: int) -> str:
    """A DICOM range of TM that holds every fraction of its last second."""
    return f"{_tm(first)}-{_tm(last)}.999999"


def _tm(second: int) -> str:
    return f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"
