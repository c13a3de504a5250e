"""Service: puts the settings' parts together and runs them until it is told to stop.

Each part is a thread of its own; a database that goes away for a while stops none of them. A part
that ends by any other error ends the service: it is better started again than half alive. What
needs the model (torch) is imported only where films are read.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.reading.reader_limits import ReaderLimits
from monai_cxr.screening import logs
from monai_cxr.screening.arriving import intake, retention
from monai_cxr.screening.arriving.pull import IncompletePull, pull
from monai_cxr.screening.arriving.spool import GIB, Spool, SpoolFull
from monai_cxr.screening.arriving.storage_scp import StorageScp
from monai_cxr.screening.arriving.watch_folder import WatchFolder
from monai_cxr.screening.ledger import Ledger, audit, jobs, open_ledger, outbox, studies
from monai_cxr.screening.ledger.owners import owner_name, release_dead
from monai_cxr.screening.ledger.study_versions import STUDY_REPORT
from monai_cxr.screening.ledger.watching import chart_sums
from monai_cxr.screening.network.mllp import MllpServer
from monai_cxr.screening.service.health import HealthServer, StoreResponses
from monai_cxr.screening.service.parts import (
    destination_of,
    hl7_listener_of,
    listener_of,
    pull_source_of,
    require_extras,
)
from monai_cxr.screening.service.supervision import ServiceFailed, Supervision
from monai_cxr.screening.settings.tables import DestinationTable, PullTable, ScreeningSettings
from monai_cxr.screening.watching import alarm_sinks, service_charts

if TYPE_CHECKING:
    from monai_cxr.bundle.model import BundleModel
    from monai_cxr.screening.service.served_model import ServedModel

PARTS = ("watch", "listen", "pull", "work", "deliver", "housekeep")
_HOUSEKEEPING_SECONDS = 5.0
_IDLE_SECONDS = 0.2
_TELLING_SECONDS = 60.0
"""A sink that is away is asked again after so long."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ScreeningService:
    """Running parts.

    Attributes:
        settings: What to run.
        only: Which of :data:`PARTS`.
        stop: Set to end; what is in hand is finished first.
    """

    settings: ScreeningSettings
    only: Sequence[str] = PARTS
    stop: threading.Event = field(default_factory=threading.Event)
    _watched: list[Callable[[], list[str]]] = field(default_factory=list, init=False, repr=False)

    def run(self) -> None:
        """Run until stopped, by :attr:`stop` or because a part cannot go on.

        Raises:
            BundleError: If the installed model is wrong.
            SettingsError: If an address is taken or a folder cannot be used.
            ServiceFailed: If a part ended by an error that nobody expected.
        """
        settings, supervision = self.settings, Supervision(self.stop)
        self._require_extras()
        with ExitStack() as stack:
            ledger = stack.enter_context(open_ledger(settings.ledger.url))
            spool = Spool(
                settings.spool.folder,
                reserve_bytes=int(settings.spool.reserve_gib * GIB),
            )
            served = self._served()
            model = served.load() if served is not None and "work" in self.only else None
            n_dead = release_dead(ledger)
            n_left = intake.recover(ledger, spool) if self._receives() else 0
            audit.append(ledger, "service", "started", "", {"parts": list(self.only)})
            responses = StoreResponses()
            health = stack.enter_context(
                HealthServer(
                    settings.health.host,
                    settings.health.port,
                    ledger,
                    spool,
                    lambda: [*supervision.unfit(), *(r for part in self._watched for r in part())],
                    responses,
                )
            )
            parts = self._parts(ledger, spool, supervision, served, model)
            if settings.listener is not None and "listen" in self.only:
                scp = listener_of(settings.listener, ledger, spool, responses.count)
                scp.start()
                parts.append(("listen", partial(self._listen, scp)))
            if settings.hl7 is not None and "listen" in self.only:
                server = stack.enter_context(hl7_listener_of(settings.hl7, ledger))
                parts.append(("hl7", partial(self._watch_over, server)))
            for name, part in parts:
                supervision.start(name, part)
            _log.info("started", extra={"n": n_dead + n_left, "port": health.port})
            self.stop.wait()
            _log.info("draining")
            supervision.join()
            audit.append(ledger, "service", "stopped")
        _log.info("stopped")

    def _require_extras(self) -> None:
        """Miss an extra at the start, not at the first film."""
        tables: list[DestinationTable | PullTable] = []
        tables += self.settings.destinations if "deliver" in self.only else ()
        tables += self.settings.pulls if "pull" in self.only else ()
        for table in tables:
            require_extras(table)

    def _receives(self) -> bool:
        return bool({"watch", "listen", "pull"} & set(self.only))

    def _served(self) -> ServedModel | None:
        """The model that reads, and that reports are of; what is wrong with it is said now."""
        reports = bool({"work", "deliver"} & set(self.only)) and bool(self.settings.destinations)
        table = self.settings.model
        if table is None and reports:
            raise SettingsError("The settings lack [model]: name a bundle, or use --only.")
        if table is None or not (reports or "work" in self.only):
            return None
        from monai_cxr.screening.service.served_model import ServedModel

        served = ServedModel(table.bundle, table.device)
        if reports:
            served.require_calibrated()
        return served

    def _parts(
        self,
        ledger: Ledger,
        spool: Spool,
        supervision: Supervision,
        served: ServedModel | None,
        model: BundleModel | None,
    ) -> list[tuple[str, Callable[[], None]]]:
        settings, parts = self.settings, list[tuple[str, Callable[[], None]]]()
        if settings.watch is not None and "watch" in self.only:
            table = settings.watch
            if not table.folder.is_dir():
                raise SettingsError("Expected watch.folder to be a folder. Create it first.")
            watch = WatchFolder(table.folder, table.settle_seconds, table.delete, table.priority)
            self._watched.append(watch.unfit)
            parts.append(("watch", lambda: watch.run(ledger, spool, self.stop)))
        if "pull" in self.only:
            parts += [
                (f"pull {table.name}", partial(self._pull, ledger, spool, table))
                for table in settings.pulls
                if table.every_seconds > 0
            ]
        if served is not None and model is not None:
            owner = owner_name("work")
            parts.append(("work", self._worker(ledger, supervision, served, model, owner)))
        if "deliver" in self.only and served is not None:
            parts += [
                (f"deliver {table.name}", self._deliverer(ledger, served, table))
                for table in settings.destinations
            ]
        if "housekeep" in self.only:
            parts.append(("housekeep", lambda: self._housekeep(ledger, spool)))
        return parts

    def _worker(
        self,
        ledger: Ledger,
        supervision: Supervision,
        served: ServedModel,
        model: BundleModel,
        owner: str,
    ) -> Callable[[], None]:
        from monai_cxr.screening.working.worker import WorkerOptions, run_worker

        table = self.settings.model
        assert table is not None
        options = WorkerOptions(
            owner,
            batch_size=table.batch_size,
            readers=table.readers,
            limits=ReaderLimits(table.reader_timeout_seconds, table.reader_memory_gib),
            deliveries=tuple(
                (kind, destination.name)
                for destination in self.settings.destinations
                for kind in destination.objects
                if kind != STUDY_REPORT
            ),
            lease_seconds=table.lease_seconds,
            max_attempts=table.max_attempts,
        )
        loaded = [model]

        def work() -> None:
            jobs.release_owners(ledger, owner)  # of before an outage of the database
            while not self.stop.is_set():
                if served.has_moved:
                    self._follow(ledger, served, loaded)
                run_worker(
                    ledger,
                    loaded[0],
                    options,
                    should_stop=lambda: self.stop.is_set() or served.has_moved,
                    when_idle=lambda: not (self.stop.wait(_IDLE_SECONDS) or served.has_moved),
                    on_progress=lambda: supervision.progressed("work", within=table.lease_seconds),
                )

        return work

    def _follow(self, ledger: Ledger, served: ServedModel, loaded: list[BundleModel]) -> None:
        """Load another bundle behind the path; films in flight have ended under the one before."""
        before = loaded.pop().identity.digest
        loaded.append(served.load())
        after = loaded[0].identity.digest
        detail = {"from": before, "model_digest": after}
        audit.append(ledger, "service", "model changed", "", detail)
        _log.info("model changed")

    def _deliverer(
        self,
        ledger: Ledger,
        served: ServedModel,
        table: DestinationTable,
    ) -> Callable[[], None]:
        from monai_cxr.dicom.results.encapsulated_pdf import encapsulated_pdf
        from monai_cxr.screening.delivering.builders import Builder
        from monai_cxr.screening.delivering.delivery import run_delivery
        from monai_cxr.screening.delivering.study_messages import MESSAGES, message_builder
        from monai_cxr.screening.service.served_model import (
            heatmap_builders_of,
            report_builder_of,
            study_report_builder_of,
        )

        destination = destination_of(table)
        builders: dict[str, Builder] = {
            "sr": report_builder_of(served),
            "pdf": report_builder_of(served, encapsulated_pdf),
        }
        builders |= {kind: message_builder(kind) for kind in MESSAGES if kind in table.objects}
        if {"sc", "seg"} & set(table.objects):
            builders |= heatmap_builders_of(served)
        of_studies = {STUDY_REPORT: study_report_builder_of(served)}
        owner = owner_name("deliver")

        def deliver() -> None:
            outbox.release_owners(ledger, owner)  # of before an outage of the database
            run_delivery(ledger, destination, builders, owner, self.stop, of_studies=of_studies)

        return deliver

    def _pull(self, ledger: Ledger, spool: Spool, table: PullTable) -> None:
        source = pull_source_of(table, ledger, spool)
        while not self.stop.is_set():
            first, last = _days_to_ask(table.days)
            try:
                # No day of them is ever over: its films may be archived late.
                done = pull(ledger, source, first, last, today=first)
                _log.info("pulled", extra={"part": table.name, "n": done.n_fetched})
            except IncompletePull as error:
                extra = {"part": table.name, "n": error.pulled.n_not_retrieved}
                _log.warning("pull incomplete: images could not be retrieved", extra=extra)
            except (DeliveryError, SpoolFull) as error:
                _log.warning("pull failed", extra={"error": type(error).__name__})
            self.stop.wait(table.every_seconds)

    def _housekeep(self, ledger: Ledger, spool: Spool) -> None:
        table, looked, tell_at = self.settings.rollup, None, 0.0
        report_to = [d.name for d in self.settings.destinations if STUDY_REPORT in d.objects]
        while not self.stop.wait(_HOUSEKEEPING_SECONDS):
            studies.close_quiet(
                ledger,
                quiet_seconds=table.quiet_seconds,
                force_seconds=table.force_seconds,
                report_to=report_to,
            )
            if self.settings.spool.keep_days > 0:
                retention.clean_spool(
                    ledger,
                    spool,
                    keep_days=self.settings.spool.keep_days,
                    keep_refused_days=self.settings.spool.keep_refused_days
                    or self.settings.spool.keep_days,
                )
            if self.settings.ledger.keep_days > 0:
                retention.prune(ledger, spool, keep_days=self.settings.ledger.keep_days)
            today = chart_sums.day_of(ledger.clock())
            if today != looked:  # charts are of days that are over
                looked = today
                if n := service_charts.look(ledger):
                    _log.warning("charts raised alarms", extra={"n": n})
            if (now := time.monotonic()) >= tell_at:
                alarm_sinks.tell(ledger, self.settings.alarms)
                tell_at = now + _TELLING_SECONDS
            if not audit.advance(ledger).is_intact:
                _log.error("the audit trail is broken: somebody changed the ledger")

    def _listen(self, scp: StorageScp) -> None:
        with scp:
            self._watch_over(scp)

    def _watch_over(self, listener: StorageScp | MllpServer) -> None:
        while not self.stop.wait(1.0):
            if not listener.is_listening:
                raise ServiceFailed("The listener does not accept connections any more.")


def _days_to_ask(n: int) -> tuple[date, date]:
    """The last n days, and tomorrow, which it is already where a clock or a time zone is ahead."""
    today = date.today()
    return today - timedelta(days=n - 1), today + timedelta(days=1)


def run_service(
    settings: ScreeningSettings, only: Sequence[str] = PARTS, *, health_port: int | None = None
) -> None:
    """Run in the foreground until SIGTERM or SIGINT; then drain.

    Args:
        settings: What to run.
        only: Which of :data:`PARTS`.
        health_port: Instead of the settings' port.

    Raises:
        SettingsError: If a name in ``only`` is no part.
        ServiceFailed: If a part ended by an error that nobody expected.
    """
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise SettingsError(f"Expected --only of {', '.join(PARTS)}, but got '{unknown[0]}'.")
    if health_port is not None:
        settings = replace(settings, health=replace(settings.health, port=health_port))
    logs.configure(level=settings.log_level)
    service = ScreeningService(settings, only or PARTS)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop.set())
    service.run()
