"""Pull: films of a range of study dates out of another system, day by day, resumable.

A cursor in the ledger keeps the first day that may still be incomplete. Going over a day again
fetches only what has not arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Protocol

from monai_cxr.errors import SettingsError
from monai_cxr.screening.arriving.intake import Receipt
from monai_cxr.screening.ledger import Ledger, cursors, jobs
from monai_cxr.screening.network import dicomweb
from monai_cxr.screening.network.dicomweb import MODALITIES, DicomWebServer, FoundInstance


class Source(Protocol):
    """Where films are pulled from."""

    @property
    def name(self) -> str:
        """Its name in the settings, also of its cursor."""

    def find(self, day: date) -> Iterable[FoundInstance]:
        """Images of the studies of one day.

        Raises:
            DeliveryError: If it cannot be asked.
        """

    def fetch(self, found: Sequence[FoundInstance]) -> None:
        """Bring images in; when it returns, all of them have been through the intake.

        Raises:
            DeliveryError: If it could not.
        """


@dataclass(frozen=True, slots=True)
class DicomWebSource:
    """A DICOMweb service that films are pulled from.

    Attributes:
        name: Name of the source.
        server: The service.
        receive: Takes a file in: the intake.
        modalities: Of the series that are wanted.
    """

    name: str
    server: DicomWebServer
    receive: Callable[[bytes], Receipt]
    modalities: tuple[str, ...] = MODALITIES

    def find(self, day: date) -> Iterator[FoundInstance]:
        """Images by QIDO-RS."""
        return dicomweb.search(self.server, day, day, modalities=self.modalities)

    def fetch(self, found: Sequence[FoundInstance]) -> None:
        """Images by WADO-RS."""
        for one in found:
            self.receive(dicomweb.retrieve(self.server, one))


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull has found so far.

    Attributes:
        days: Days gone through.
        n_found: Images found.
        n_fetched: Of these, the ones that had not arrived before.
        n_left: Images of the day in hand that are still to fetch.
    """

    days: int = 0
    n_found: int = 0
    n_fetched: int = 0
    n_left: int = 0


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
        today: Days before it are complete and not asked for again; default: the calendar.
        progress: Told (days done, days).
        batch: Images to fetch at a time.

    Returns:
        What was found. A second pull of the same range begins where this one ended.
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
        SpoolFull: If the disk is full.
    """
    if last < first:
        raise SettingsError(f"Expected a range of dates, but {last} is before {first}.")
    today = today or date.today()
    cursor = f"pull:{source.name}:{first}"
    reached = cursors.get(ledger, cursor)
    day = max(first, date.fromisoformat(reached)) if reached else first
    done = Pulled()
    while day <= last:
        found = list(source.find(day))
        missing = [one for one in found if jobs.film(ledger, one.sop_uid) is None]
        done = replace(done, n_found=done.n_found + len(found), n_left=len(missing))
        for start in range(0, len(missing), batch):
            part = missing[start : start + batch]
            source.fetch(part)
            left, fetched = done.n_left - len(part), done.n_fetched + len(part)
            done = replace(done, n_fetched=fetched, n_left=left)
            yield done
        day += timedelta(days=1)
        if day <= today:  # a study of today may still grow
            cursors.put(ledger, cursor, day.isoformat())
        done = replace(done, days=done.days + 1)
        yield done
