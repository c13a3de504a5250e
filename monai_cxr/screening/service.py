"""Service: puts the settings' parts together and runs them until it is told to stop.

Each part is a thread of its own; a database that goes away for a while stops none of them. What
needs the model (torch) is imported only where films are read or reports are made.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.exc import InterfaceError, OperationalError

from monai_cxr.errors import CXRError, DeliveryError, SettingsError
from monai_cxr.screening import intake, logs, retention
from monai_cxr.screening.destinations import destination_of, listener_of, pull_source_of
from monai_cxr.screening.health import HealthServer
from monai_cxr.screening.ledger import Ledger, audit, jobs, open_ledger, outbox, studies
from monai_cxr.screening.ledger.owners import owner_name, release_dead
from monai_cxr.screening.pull import pull
from monai_cxr.screening.settings import PullTable, ScreeningSettings
from monai_cxr.screening.spool import GIB, Spool, SpoolFull
from monai_cxr.screening.watch_folder import WatchFolder

if TYPE_CHECKING:
    from monai_cxr.bundle.model import BundleModel

PARTS = ("watch", "listen", "pull", "work", "deliver", "housekeep")
_HOUSEKEEPING_SECONDS = 5.0
_OUTAGE_SECONDS = 2.0
_IDLE_SECONDS = 0.2

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Service:
    """Running parts.

    Attributes:
        settings: What to run.
        only: Which of :data:`PARTS`.
        stop: Set to end; what is in hand is finished first.
    """

    settings: ScreeningSettings
    only: Sequence[str] = PARTS
    stop: threading.Event = field(default_factory=threading.Event)
    _threads: dict[str, threading.Thread] = field(default_factory=dict, init=False)
    _error: CXRError | None = field(default=None, init=False)

    def run(self) -> None:
        """Run until stopped, by :attr:`stop` or because a part cannot go on.

        Raises:
            BundleError: If the installed model is wrong.
            SettingsError: If an address is taken or a folder cannot be used.
        """
        settings = self.settings
        with ExitStack() as stack:
            ledger = stack.enter_context(open_ledger(settings.ledger.url))
            spool = Spool(
                settings.spool.folder,
                reserve_bytes=int(settings.spool.reserve_gib * GIB),
            )
            model = self._model()
            n_dead = release_dead(ledger)
            n_left = intake.recover(ledger, spool) if self._receives() else 0
            audit.append(ledger, "service", "started", "", {"parts": list(self.only)})
            health = stack.enter_context(
                HealthServer(
                    settings.health.host, settings.health.port, ledger, spool, self._dead_parts
                )
            )
            _log.info("started", extra={"n": n_dead + n_left, "port": health.port})
            if settings.listener is not None and "listen" in self.only:
                stack.enter_context(listener_of(settings.listener, ledger, spool))
            for name, part in self._parts(ledger, spool, model):
                self._start(name, part)
            self.stop.wait()
            _log.info("draining")
            for thread in self._threads.values():
                thread.join()
            audit.append(ledger, "service", "stopped")
        if self._error is not None:
            raise self._error
        _log.info("stopped")

    def _receives(self) -> bool:
        return bool({"watch", "listen", "pull"} & set(self.only))

    def _model(self) -> BundleModel | None:
        if not {"work", "deliver"} & set(self.only):
            return None
        if self.settings.model is None:
            if "work" in self.only or self.settings.destinations:
                raise SettingsError("The settings lack [model]: name a bundle, or use --only.")
            return None
        from monai_cxr.bundle.model import BundleModel

        model = BundleModel.load(self.settings.model.bundle, device=self.settings.model.device)
        if model.calibrator is None and self.settings.destinations:
            raise SettingsError("The bundle is not calibrated, so its results cannot be reported.")
        return model

    def _parts(
        self, ledger: Ledger, spool: Spool, model: BundleModel | None
    ) -> list[tuple[str, Callable[[], None]]]:
        settings, parts = self.settings, list[tuple[str, Callable[[], None]]]()
        if settings.watch is not None and "watch" in self.only:
            table = settings.watch
            if not table.folder.is_dir():
                raise SettingsError("Expected watch.folder to be a folder. Create it first.")
            watch = WatchFolder(table.folder, table.settle_seconds, table.delete, table.priority)
            parts.append(("watch", lambda: watch.run(ledger, spool, self.stop)))
        if "pull" in self.only:
            parts += [
                (f"pull {table.name}", partial(self._pull, ledger, spool, table))
                for table in settings.pulls
                if table.every_seconds > 0
            ]
        if "work" in self.only and model is not None:
            owner = owner_name("work")
            parts.append(("work", lambda: self._work(ledger, model, owner)))
        if "deliver" in self.only and model is not None:
            parts += [
                (f"deliver {table.name}", self._deliverer(ledger, model, i))
                for i, table in enumerate(settings.destinations)
            ]
        if "housekeep" in self.only:
            parts.append(("housekeep", lambda: self._housekeep(ledger, spool)))
        return parts

    def _work(self, ledger: Ledger, model: BundleModel, owner: str) -> None:
        from monai_cxr.screening.worker import WorkerOptions, run_worker

        table = self.settings.model
        assert table is not None
        jobs.release_owners(ledger, owner)  # of before an outage of the database
        options = WorkerOptions(
            owner,
            batch_size=table.batch_size,
            readers=table.readers,
            deliveries=tuple(
                (kind, destination.name)
                for destination in self.settings.destinations
                for kind in destination.objects
            ),
            lease_seconds=table.lease_seconds,
            max_attempts=table.max_attempts,
        )
        run_worker(
            ledger,
            model,
            options,
            should_stop=self.stop.is_set,
            when_idle=lambda: not self.stop.wait(_IDLE_SECONDS),
        )

    def _deliverer(self, ledger: Ledger, model: BundleModel, number: int) -> Callable[[], None]:
        from monai_cxr.screening.delivery import Builder, report_builder, run_delivery

        table = self.settings.destinations[number]
        destination = destination_of(table)
        builders: dict[str, Builder] = {"sr": report_builder(model.operating_points)}
        if "sc" in table.objects and self.settings.model is not None:
            from monai_cxr.screening.heatmaps import heatmap_builder

            builders["sc"] = heatmap_builder(
                self.settings.model.bundle, device=self.settings.model.device
            )
        owner = owner_name("deliver")

        def deliver() -> None:
            outbox.release_owners(ledger, owner)  # of before an outage of the database
            run_delivery(ledger, destination, builders, owner, self.stop)

        return deliver

    def _pull(self, ledger: Ledger, spool: Spool, table: PullTable) -> None:
        source = pull_source_of(table, ledger, spool)
        while not self.stop.is_set():
            today = date.today()
            try:
                done = pull(ledger, source, today - timedelta(days=table.days - 1), today)
                _log.info("pulled", extra={"part": table.name, "n": done.n_fetched})
            except (DeliveryError, SpoolFull) as error:
                _log.warning("pull failed", extra={"error": type(error).__name__})
            self.stop.wait(table.every_seconds)

    def _housekeep(self, ledger: Ledger, spool: Spool) -> None:
        table = self.settings.rollup
        while not self.stop.wait(_HOUSEKEEPING_SECONDS):
            studies.close_quiet(
                ledger, quiet_seconds=table.quiet_seconds, force_seconds=table.force_seconds
            )
            if self.settings.spool.keep_days > 0:
                retention.clean_spool(ledger, spool, keep_days=self.settings.spool.keep_days)

    def _start(self, name: str, part: Callable[[], None]) -> None:
        def run() -> None:
            while not self.stop.is_set():
                try:
                    part()
                except (OperationalError, InterfaceError) as error:
                    _log.error("the ledger does not answer", extra={"error": type(error).__name__})
                    self.stop.wait(_OUTAGE_SECONDS)
                except CXRError as error:
                    self._error = error
                    self.stop.set()

        self._threads[name] = threading.Thread(target=run, name=name)
        self._threads[name].start()

    def _dead_parts(self) -> list[str]:
        if self.stop.is_set():
            return ["the service"]
        return [name for name, thread in self._threads.items() if not thread.is_alive()]


def run_service(settings: ScreeningSettings, only: Sequence[str] = PARTS) -> None:
    """Run in the foreground until SIGTERM or SIGINT; then drain.

    Raises:
        SettingsError: If a name in ``only`` is no part.
    """
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise SettingsError(f"Expected --only of {', '.join(PARTS)}, but got '{unknown[0]}'.")
    logs.configure(level=settings.log_level)
    service = Service(settings, only or PARTS)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop.set())
    service.run()
