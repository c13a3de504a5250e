"""Loops: what each part of a service does until it is told to stop.

What needs the model (torch) is imported only where films are read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from monai_cxr.errors import DeliveryError
from monai_cxr.reading.reader_limits import ReaderLimits
from monai_cxr.screening.arriving import retention
from monai_cxr.screening.arriving.pull import IncompletePull, pull
from monai_cxr.screening.arriving.spool import Spool, SpoolFull
from monai_cxr.screening.arriving.storage_scp import StorageScp
from monai_cxr.screening.ledger import Ledger, audit, jobs, outbox, studies
from monai_cxr.screening.ledger.owners import owner_name
from monai_cxr.screening.ledger.people import report_texts
from monai_cxr.screening.ledger.study_versions import STUDY_REPORT
from monai_cxr.screening.ledger.watching import chart_sums
from monai_cxr.screening.network.mllp import MllpServer
from monai_cxr.screening.service.parts import destination_of, pull_source_of
from monai_cxr.screening.service.supervision import ServiceFailed, Supervision
from monai_cxr.screening.settings.tables import (
    DestinationTable,
    ModelTable,
    PullTable,
    ScreeningSettings,
)
from monai_cxr.screening.watching import alarm_sinks, service_charts

if TYPE_CHECKING:
    from monai_cxr.bundle.model import BundleModel
    from monai_cxr.screening.service.served_model import ServedModel

_HOUSEKEEPING_SECONDS = 5.0
_IDLE_SECONDS = 0.2
_TELLING_SECONDS = 60.0
"""A sink that is away is asked again after so long."""

_log = logging.getLogger(__name__)


def reading(
    ledger: Ledger,
    table: ModelTable,
    destinations: tuple[DestinationTable, ...],
    served: ServedModel,
    model: BundleModel,
    supervision: Supervision,
) -> Callable[[], None]:
    """Read films, also by a bundle that comes to lie behind the path later.

    Args:
        ledger: The ledger.
        table: How films are read.
        destinations: What results are scheduled for.
        served: The path.
        model: What it led to at the start.
        supervision: Told that films get on.
    """
    from monai_cxr.screening.working.worker import WorkerOptions, run_worker

    owner, stop = owner_name("work"), supervision.stop
    options = WorkerOptions(
        owner,
        batch_size=table.batch_size,
        readers=table.readers,
        limits=ReaderLimits(table.reader_timeout_seconds, table.reader_memory_gib),
        deliveries=tuple(
            (kind, destination.name)
            for destination in destinations
            for kind in destination.objects
            if kind != STUDY_REPORT
        ),
        lease_seconds=table.lease_seconds,
        max_attempts=table.max_attempts,
    )
    loaded = [model]

    def read() -> None:
        jobs.release_owners(ledger, owner)  # of before an outage of the database
        while not stop.is_set():
            if served.has_moved:
                _follow(ledger, served, loaded)
            run_worker(
                ledger,
                loaded[0],
                options,
                should_stop=lambda: stop.is_set() or served.has_moved,
                when_idle=lambda: not (stop.wait(_IDLE_SECONDS) or served.has_moved),
                on_progress=lambda: supervision.progressed("work", within=table.lease_seconds),
            )

    return read


def _follow(ledger: Ledger, served: ServedModel, loaded: list[BundleModel]) -> None:
    """Load another bundle behind the path; films in flight have ended under the one before."""
    before = loaded.pop().identity.digest
    loaded.append(served.load())
    detail = {"from": before, "model_digest": loaded[0].identity.digest}
    audit.append(ledger, "service", "model changed", "", detail)
    _log.info("model changed")


def delivering(
    ledger: Ledger, served: ServedModel, table: DestinationTable, stop: threading.Event
) -> Callable[[], None]:
    """Deliver to one destination."""
    from monai_cxr.screening.delivering.delivery import run_delivery
    from monai_cxr.screening.delivering.retractions import retraction_builders
    from monai_cxr.screening.service.served_builders import builders_of, study_report_builder_of

    destination, owner = destination_of(table), owner_name("deliver")
    builders = builders_of(served, table.objects)
    of_studies = {STUDY_REPORT: study_report_builder_of(served)}
    of_studies |= retraction_builders(table.objects)

    def deliver() -> None:
        outbox.release_owners(ledger, owner)  # of before an outage of the database
        run_delivery(ledger, destination, builders, owner, stop, of_studies=of_studies)

    return deliver


def pulling(ledger: Ledger, spool: Spool, table: PullTable, stop: threading.Event) -> None:
    """Ask one source for its last days, again and again."""
    source = pull_source_of(table, ledger, spool)
    while not stop.is_set():
        # The last days, and tomorrow, which it is already where a clock or a time zone is ahead.
        first = date.today() - timedelta(days=table.days - 1)
        last = date.today() + timedelta(days=1)
        try:
            # No day of them is ever over: its films may be archived late.
            done = pull(ledger, source, first, last, today=first)
            _log.info("pulled", extra={"part": table.name, "n": done.n_fetched})
        except IncompletePull as error:
            extra = {"part": table.name, "n": error.pulled.n_not_retrieved}
            _log.warning("pull incomplete: images could not be retrieved", extra=extra)
        except (DeliveryError, SpoolFull) as error:
            _log.warning("pull failed", extra={"error": type(error).__name__})
        stop.wait(table.every_seconds)


def housekeeping(
    ledger: Ledger, spool: Spool, settings: ScreeningSettings, stop: threading.Event
) -> None:
    """Close quiet studies, delete what was kept long enough, look at charts, tell of alarms."""
    looked, tell_at, kept = None, 0.0, settings.spool
    report_to = [one.name for one in settings.destinations if STUDY_REPORT in one.objects]
    while not stop.wait(_HOUSEKEEPING_SECONDS):
        studies.close_quiet(
            ledger,
            quiet_seconds=settings.rollup.quiet_seconds,
            force_seconds=settings.rollup.force_seconds,
            report_to=report_to,
        )
        if kept.keep_days > 0:
            refused_days = kept.keep_refused_days or kept.keep_days
            retention.clean_spool(
                ledger, spool, keep_days=kept.keep_days, keep_refused_days=refused_days
            )
        if settings.ledger.keep_days > 0:
            retention.prune(ledger, spool, keep_days=settings.ledger.keep_days)
        if settings.reports.keep_text_days > 0:
            report_texts.prune(ledger, keep_days=settings.reports.keep_text_days)
        today = chart_sums.day_of(ledger.clock())
        if today != looked:  # charts are of days that are over
            looked = today
            if n := service_charts.look(ledger):
                _log.warning("charts raised alarms", extra={"n": n})
        if (now := time.monotonic()) >= tell_at:
            alarm_sinks.tell(ledger, settings.alarms)
            tell_at = now + _TELLING_SECONDS
        if not audit.advance(ledger).is_intact:
            _log.error("the audit trail is broken: somebody changed the ledger")


def listening(scp: StorageScp, stop: threading.Event) -> None:
    """Receive films until told to stop."""
    with scp:
        watching_over(scp, stop)


def watching_over(listener: StorageScp | MllpServer, stop: threading.Event) -> None:
    """See that a listener goes on.

    Raises:
        ServiceFailed: If it accepts nobody any more.
    """
    while not stop.wait(1.0):
        if not listener.is_listening:
            raise ServiceFailed("The listener does not accept connections any more.")
