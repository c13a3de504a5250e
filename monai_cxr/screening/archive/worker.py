"""Archive worker: one process that reads, predicts and reports films of an archive's ledger."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from monai_cxr.errors import CXRError
from monai_cxr.reading.reader_limits import ReaderLimits
from monai_cxr.screening.delivering.builders import Builder, report_builder
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.ledger import Ledger, cursors, jobs, open_ledger, outbox, studies
from monai_cxr.screening.ledger.studies import Study
from monai_cxr.screening.working.worker import WorkerOptions, run_worker

KIND, DESTINATION = "sr", "archive"
LISTED_CURSOR = "archive-is-listed"
_KEEP_TRYING_SECONDS = 7_200.0
"""How long the folder of reports may be away; an archive must end, and a service need not."""
_IDLE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ArchiveWork:
    """The work of a worker process.

    Attributes:
        ledger: File of the ledger.
        bundle: The bundle.
        reports: Folder of the structured reports; None for none.
        owner: Unique name of the process.
        batch_size: Films at a time.
        readers: Processes that read ahead.
        threads: Threads of the model.
        device: ``"auto"``, ``"cpu"`` ...
        limits: What one film may cost a reader.
        parent: Process id of the driver; without it a worker ends.
    """

    ledger: Path
    bundle: str
    reports: Path | None
    owner: str
    batch_size: int
    readers: int
    threads: int
    device: str
    limits: ReaderLimits
    parent: int = 0


def work(task: ArchiveWork, errors: Connection) -> None:
    """Entry point of the process; what stops it is sent to the driver as a sentence."""
    from monai_cxr.screening.logs import silence_libraries

    silence_libraries()
    stop = _StopSignal(task.parent)
    try:
        with open_ledger(task.ledger) as ledger:
            _work(task, ledger, stop)
    except CXRError as error:
        errors.send(str(error))
        raise SystemExit(1) from None


def file_reports(ledger: Ledger, folder: Path, build: Builder, owner: str, n: int) -> int:
    """File up to n reports that are due in a folder; gives how many were tried."""

    def is_settled(study: Study) -> bool:  # no film of it can still come
        return study.status != studies.WAITING and cursors.get(ledger, LISTED_CURSOR) == "yes"

    tried = deliver_batch(
        ledger,
        Folder(DESTINATION, folder),
        {KIND: build},
        owner,
        n=n,
        keep_trying_seconds=_KEEP_TRYING_SECONDS,
        is_settled=is_settled,
    )
    return sum(tried)


def _work(task: ArchiveWork, ledger: Ledger, stop: _StopSignal) -> None:
    from monai_cxr.bundle.model import BundleModel

    model = BundleModel.load(task.bundle, device=task.device)
    if (torch := sys.modules.get("torch")) is not None:  # an export is served without it
        torch.set_num_threads(task.threads)
    with_reports = task.reports is not None and model.calibrator is not None
    build = report_builder(**model.stated)

    def report() -> int:
        if task.reports is None or not with_reports or stop():
            return 0
        return file_reports(ledger, task.reports, build, task.owner, task.batch_size)

    def when_idle() -> bool:
        if report():
            return True
        is_listed = cursors.get(ledger, LISTED_CURSOR) == "yes"
        if is_listed and not jobs.n_unfinished(ledger) and not outbox.n_pending(ledger):
            return False
        time.sleep(_IDLE_SECONDS)
        return True

    options = WorkerOptions(
        task.owner,
        batch_size=task.batch_size,
        readers=task.readers,
        limits=task.limits,
        deliveries=((KIND, DESTINATION),) if with_reports else (),
    )
    run_worker(ledger, model, options, should_stop=stop, after_batch=report, when_idle=when_idle)


class _StopSignal:
    """True after SIGTERM or SIGINT, or when the driver is gone."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._is_set = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)

    def _set(self, *_: object) -> None:
        self._is_set = True

    def __call__(self) -> bool:
        return self._is_set or os.getppid() != self._parent
