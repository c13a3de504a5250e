"""Pull: films of a range of study dates out of another system, day by day, resumable.

A cursor in the ledger keeps the first day that may still be incomplete, another one the days before
it that are not whole. Going over a day again fetches only what has not arrived. An image that
cannot be had costs itself: it is noted in the quarantine as ``not_retrieved``, the pull goes on,
says so at its end, and tries again next time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Protocol

from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.picture.bounds import MALFORMED
from monai_cxr.screening.arriving.intake import Receipt
from monai_cxr.screening.ledger import Ledger, arrivals, cursors, quarantine
from monai_cxr.screening.network import dicomweb
from monai_cxr.screening.network.dicomweb import MODALITIES, DicomWebServer, FoundInstance
from monai_cxr.screening.network.dicomweb.session import open_session
from monai_cxr.screening.network.study_search import IncompleteAnswer

_STILL_GROWS = timedelta(days=1)
"""A day that was over so recently may not be over where its films are made, or not all archived."""


class Source(Protocol):
    """Where films are pulled from."""

    @property
    def name(self) -> str:
        """Its name in the settings, also of its cursor."""

    def find(self, day: date) -> Iterable[FoundInstance]:
        """Images of the studies of one day.

        Raises:
            DeliveryError: If it cannot be asked.
            IncompleteAnswer: At the end, if these are not all.
        """

    def fetch(self, found: Sequence[FoundInstance]) -> Mapping[str, str] | None:
        """Bring images in; when it returns, those that could be had are through the intake.

        Returns:
            Why images could not be had, by SOP Instance UID.

        Raises:
            DeliveryError: If the source itself is away.
        """


@dataclass(frozen=True, slots=True)
class DicomWebSource:
    """A DICOMweb service that films are pulled from.

    Attributes:
        name: Name of the source.
        server: The service.
        receive: Takes a file in: the intake.
        modalities: Modalities of the wanted series.
    """

    name: str
    server: DicomWebServer
    receive: Callable[..., Receipt]
    modalities: tuple[str, ...] = MODALITIES

    def find(self, day: date) -> Iterator[FoundInstance]:
        """Images by QIDO-RS."""
        return dicomweb.search(self.server, day, modalities=self.modalities)

    def fetch(self, found: Sequence[FoundInstance]) -> dict[str, str]:
        """Images by WADO-RS."""
        failures: dict[str, str] = {}
        with open_session(self.server) as session:
            for one in found:
                try:
                    data = dicomweb.retrieve(self.server, one, session=session)
                except DeliveryError as error:
                    failures[one.sop_uid] = str(error)
                    dicomweb.refuse_if_away(self.server, error)
                    continue
                try:
                    self.receive(data, announced_uid=one.sop_uid)
                except MALFORMED as error:
                    failures[one.sop_uid] = type(error).__name__
        return failures


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull has found so far.

    Attributes:
        days: Days gone through.
        n_found: Images found.
        n_fetched: Of these, the ones that had not arrived before.
        n_left: Images of the day in hand that are still to fetch.
        n_not_retrieved: Images that could not be had.
        reasons: Why images, or parts of an answer, could not be had.
    """

    days: int = 0
    n_found: int = 0
    n_fetched: int = 0
    n_left: int = 0
    n_not_retrieved: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class IncompletePull(DeliveryError):
    """A pull went through its range, but something could not be had; a repeat tries it again.

    Attributes:
        pulled: What there was.
    """

    def __init__(self, pulled: Pulled) -> None:
        """Count the reasons."""
        reasons = "; ".join(f"{reason}: {n}" for reason, n in pulled.reasons.most_common(5))
        super().__init__(
            f"{pulled.n_not_retrieved} of {pulled.n_found} images that were found could not be "
            f"retrieved, or not everything was listed ({reasons}). What could be had is in the "
            "queue; the quarantine names the rest as not_retrieved, and the next pull tries again."
        )
        self.pulled = pulled


def not_delivered(error: DeliveryError) -> DeliveryError:
    """What a command says that a source keeps waiting."""
    return DeliveryError(
        f"The PACS does not deliver its films ({error}). Check its address and what it allows us; "
        "then repeat the command: it goes on where it stopped."
    )


def pull(
    ledger: Ledger,
    source: Source,
    first: date,
    last: date,
    *,
    today: date | None = None,
    progress: Callable[[int, int], None] | None = None,
    batch: int = 64,
) -> Pulled:
    """Pull the films of a range of study dates; see :func:`pulled_batches`.

    Args:
        ledger: Knows what has arrived and how far the last pull got.
        source: Where from.
        first: First study date.
        last: Last study date, included.
        today: Days before its eve are complete and not asked for again; default: the calendar.
        progress: Told (days done, days).
        batch: Images to fetch at a time.

    Returns:
        What was found. A second pull of the same range begins where this one ended.

    Raises:
        IncompletePull: At the end, if something could not be had.
    """
    done = Pulled()
    for done in pulled_batches(ledger, source, first, last, today=today, batch=batch):
        if progress is not None:
            progress(done.days, (last - first).days + 1)
    return done


def pulled_batches(
    ledger: Ledger,
    source: Source,
    first: date,
    last: date,
    *,
    today: date | None = None,
    batch: int = 64,
) -> Iterator[Pulled]:
    """Pull the films of a range of study dates, and say after each batch and day what was found.

    Raises:
        SettingsError: If the range is empty.
        DeliveryError: If the source fails; the pull goes on from the same day next time.
        IncompletePull: At the end, if something could not be had.
        SpoolFull: If the disk is full.
    """
    if last < first:
        raise SettingsError(f"Expected a range of dates, but {last} is before {first}.")
    today = today or date.today()
    progress = _Progress(ledger, source.name, first, last)
    done = Pulled()
    for day in progress.days():
        gaps: list[str] = []
        found = _listed(ledger, source, day, gaps)
        settled = arrivals.settled(ledger, [one.sop_uid for one in found])
        missing = [one for one in found if one.sop_uid not in settled]
        done = replace(done, n_found=done.n_found + len(found), n_left=len(missing))
        for start in range(0, len(missing), batch):
            part = missing[start : start + batch]
            reasons = _fetched(ledger, source, part)
            gaps += reasons
            done = replace(
                done,
                n_fetched=done.n_fetched + len(part) - len(reasons),
                n_left=done.n_left - len(part),
                n_not_retrieved=done.n_not_retrieved + len(reasons),
            )
            yield done
        progress.passed(day, is_whole=not gaps, is_over=day < today - _STILL_GROWS)
        done = replace(done, days=done.days + 1, reasons=done.reasons + Counter(gaps))
        yield done
    if done.reasons:
        raise IncompletePull(done)


def _listed(ledger: Ledger, source: Source, day: date, gaps: list[str]) -> list[FoundInstance]:
    """The images of a day; studies that could not be listed are noted, until they are."""
    found: list[FoundInstance] = []
    absent: dict[tuple[str, str], str] = {}
    try:
        for one in source.find(day):
            found.append(one)
    except IncompleteAnswer as error:
        gaps.append(str(error))
        absent = {(study, ""): said for study, said in error.studies.items()}
    quarantine.listed(ledger, {one.study_uid for one in found} - {study for study, _ in absent})
    quarantine.not_retrieved(ledger, absent, source=f"pull {source.name}")
    return found


def _fetched(ledger: Ledger, source: Source, part: Sequence[FoundInstance]) -> list[str]:
    """Fetch images; gives the reasons of those that are not here afterwards."""
    failures = source.fetch(part) or {}
    settled = arrivals.settled(ledger, [one.sop_uid for one in part])
    absent = {
        (one.study_uid, one.sop_uid): failures.get(one.sop_uid, "not_received")
        for one in part
        if one.sop_uid not in settled
    }
    quarantine.not_retrieved(ledger, absent, source=f"pull {source.name}")
    return list(absent.values())


def days_left(ledger: Ledger, name: str, first: date) -> list[date]:
    """Days of the range of a source that begins at ``first`` that a pull could not have whole."""
    left = cursors.get(ledger, f"pull:{name}:{first}:left") or ""
    return [date.fromisoformat(text) for text in left.split()]


class _Progress:
    """Which days of a range are left, kept in two cursors."""

    def __init__(self, ledger: Ledger, name: str, first: date, last: date) -> None:
        self._ledger, self._cursor, self._last = ledger, f"pull:{name}:{first}", last
        reached = cursors.get(ledger, self._cursor)
        self._reached = max(first, date.fromisoformat(reached)) if reached else first
        self._left = set(days_left(ledger, name, first))

    def days(self) -> Iterator[date]:
        """The days to ask for: those that were not whole, then those that were not reached."""
        yield from sorted(day for day in self._left if day < self._reached and day <= self._last)
        day = self._reached
        while day <= self._last:
            yield day
            day += timedelta(days=1)

    def passed(self, day: date, *, is_whole: bool, is_over: bool) -> None:
        """A day was gone through; ``is_over``: no film of it can come any more."""
        before = set(self._left)
        self._left = self._left - {day} if is_whole else self._left | {day}
        if self._left != before:
            left = " ".join(sorted(day.isoformat() for day in self._left))
            cursors.put(self._ledger, f"{self._cursor}:left", left)
        if is_over and day == self._reached:
            self._reached = day + timedelta(days=1)
            cursors.put(self._ledger, self._cursor, self._reached.isoformat())
