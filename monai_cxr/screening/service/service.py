"""Service: puts the settings' parts together and runs them until it is told to stop.

Each part is a thread of its own; a database that goes away for a while stops none of them. A part
that ends by any other error ends the service: it is better started again than half alive. What
needs the model (torch) is imported only where films are read.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from monai_cxr.errors import SettingsError
from monai_cxr.screening import logs
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import GIB, Spool
from monai_cxr.screening.arriving.watch_folder import WatchFolder
from monai_cxr.screening.ledger import Ledger, audit, open_ledger
from monai_cxr.screening.ledger.owners import release_dead
from monai_cxr.screening.service import loops
from monai_cxr.screening.service.health import HealthServer, StoreResponses
from monai_cxr.screening.service.parts import (
    hl7_listener_of,
    listener_of,
    require_extras,
)
from monai_cxr.screening.service.supervision import Supervision
from monai_cxr.screening.settings.tables import DestinationTable, PullTable, ScreeningSettings

if TYPE_CHECKING:
    from monai_cxr.bundle.model import BundleModel
    from monai_cxr.screening.service.served_model import ServedModel

PARTS = ("watch", "listen", "pull", "work", "deliver", "housekeep")

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
                parts.append(("listen", partial(loops.listening, scp, self.stop)))
            if settings.hl7 is not None and "listen" in self.only:
                server = stack.enter_context(
                    hl7_listener_of(settings.hl7, ledger, settings.reports)
                )
                parts.append(("hl7", partial(loops.watching_over, server, self.stop)))
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
                (f"pull {table.name}", partial(loops.pulling, ledger, spool, table, self.stop))
                for table in settings.pulls
                if table.every_seconds > 0
            ]
        if served is not None and model is not None and settings.model is not None:
            work = loops.reading(
                ledger, settings.model, settings.destinations, served, model, supervision
            )
            parts.append(("work", work))
        if "deliver" in self.only and served is not None:
            parts += [
                (f"deliver {table.name}", loops.delivering(ledger, served, table, self.stop))
                for table in settings.destinations
            ]
        if "housekeep" in self.only:
            keep_house = partial(loops.housekeeping, ledger, spool, settings, self.stop)
            parts.append(("housekeep", keep_house))
        return parts


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
