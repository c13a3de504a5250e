"""Archive: a folder tree or a PACS's films through the model, on the processes of one machine.

The ledger drives it: what is finished stays finished, and a run that was killed at any instant goes
on with what is missing. The driver lists the files and watches; its worker processes do the rest.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from monai_cxr.atomic import held
from monai_cxr.bundle.config import find_bundle, read_config
from monai_cxr.bundle.engines.choice import light_engines
from monai_cxr.bundle.model import CALIBRATION_NAME, BundleModel, bundle_digest
from monai_cxr.errors import InputError, SettingsError
from monai_cxr.optional import require
from monai_cxr.reading.listing import count_files
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, ReaderLimits
from monai_cxr.screening.archive.listing import SOURCE, enqueue_listed
from monai_cxr.screening.archive.pacs import (
    PacsArchive,
    discard_finished,
    fetched,
    refuse_discarded,
)
from monai_cxr.screening.archive.pool import WorkerPool
from monai_cxr.screening.archive.results_table import write_results
from monai_cxr.screening.archive.summary import ArchiveSummary, write_summary
from monai_cxr.screening.archive.worker import LISTED_CURSOR, ArchiveWork
from monai_cxr.screening.arriving.pull import days_left
from monai_cxr.screening.ledger import Ledger, cursors, jobs, open_ledger, outbox
from monai_cxr.screening.ledger.watching import counts

LEDGER_NAME, TABLE_NAME, PAGE_NAME, REPORTS_NAME = (
    "ledger.sqlite",
    "results.parquet",
    "summary.html",
    "sr",
)
_POLL_SECONDS = 0.5

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """How an archive is screened.

    Attributes:
        workers: Worker processes.
        batch_size: Films at a time in each.
        with_reports: Whether structured reports are written.
        device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` ...
        limits: What one film may cost a reader process.
    """

    workers: int = 1
    batch_size: int = 8
    with_reports: bool = True
    device: str = "auto"
    limits: ReaderLimits = DEFAULT_LIMITS


def screen_archive(
    source: Path | PacsArchive,
    bundle: str | Path,
    out: Path,
    options: ArchiveOptions | None = None,
    *,
    progress: Progress = lambda done, total: None,
) -> ArchiveSummary:
    """Screen an archive; run again after any interruption, it does only what is missing.

    Args:
        source: A folder, a list of paths, a table with a column ``path``, one film, or a range of
            study dates of a PACS.
        bundle: The bundle.
        out: Folder of ``results.parquet``, ``sr/``, ``ledger.sqlite`` and ``summary.html``.
        options: How.
        progress: Called with (done, total), in files.

    Returns:
        What became of it.

    Raises:
        InvalidTable: If the source does not exist or holds no file.
        SettingsError: If another process works on ``out``.
        BundleError: If the bundle is wrong.
    """
    options = options or ArchiveOptions()
    with prepared_archive(source, bundle, out, options) as archive:
        run_workers(archive, options, progress)
        return finish_archive(archive)


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that is being screened.

    Attributes:
        source: Its source.
        out: Its folder.
        bundle: Folder of the bundle.
        digest: Digest of the model.
        findings: Findings of the model.
        is_calibrated: Whether there are probabilities.
        ledger: Its ledger.
        n_files: Files to see; 0 where only fetching them will show.
        n_before: Films that were finished before this run.
        started: Monotonic time.
    """

    source: Path | PacsArchive
    out: Path
    bundle: Path
    digest: str
    findings: tuple[str, ...]
    is_calibrated: bool
    ledger: Ledger
    n_files: int
    n_before: int
    started: float


def served_digest(bundle: Path, device: str) -> str:
    """Digest of the model as the workers of this machine serve it, which their results carry.

    An export may be served in another precision, whose results are results of their own.
    """
    digest = bundle_digest(bundle)
    if not light_engines(bundle):
        return digest
    return BundleModel.load(bundle, device=device).identity.digest


@contextlib.contextmanager
def prepared_archive(
    source: Path | PacsArchive, bundle: str | Path, out: Path, options: ArchiveOptions
) -> Iterator[Archive]:
    """Check everything, take the folder for ourselves, open the ledger, return dead leases."""
    started = time.monotonic()
    folder = find_bundle(bundle)
    digest = served_digest(folder, options.device)
    findings = tuple(read_config(folder, "inference")["findings"])
    is_calibrated = (folder / CALIBRATION_NAME).is_file()
    if options.with_reports and is_calibrated:
        require("highdicom", extra="pacs")
    n_files = 0 if isinstance(source, PacsArchive) else count_files(source, excluded=[out])
    if n_files == 0 and not isinstance(source, PacsArchive):
        raise InputError("The source holds no file that may be a film.", reason="no_images")
    with _locked(out), open_ledger(out / LEDGER_NAME) as ledger:
        cursors.put(ledger, LISTED_CURSOR, "no")
        jobs.release_owners(ledger, SOURCE)
        outbox.release_owners(ledger, SOURCE)
        refuse_discarded(ledger, digest)
        jobs.reopen(ledger, digest)
        n_before = sum(counts.count(ledger).films[s] for s in ("completed", "quarantined"))
        yield Archive(
            source, out, folder, digest, findings, is_calibrated, ledger, n_files, n_before, started
        )


def enqueue_files(archive: Archive) -> Iterator[int]:
    """Enqueue the films that have not been seen before; gives the total known after each step."""
    if isinstance(archive.source, PacsArchive):
        yield from fetched(archive.source, archive.ledger, archive.out)
    else:
        for _ in enqueue_listed(archive.source, archive.ledger, archive.out):
            yield archive.n_files
    cursors.put(archive.ledger, LISTED_CURSOR, "yes")


def is_work_left(archive: Archive) -> bool:
    """Whether a film or a report is not finished."""
    return bool(jobs.n_unfinished(archive.ledger) or outbox.n_pending(archive.ledger))


def n_files_done(archive: Archive) -> int:
    """Files of which it is known what became of them, their reports included."""
    numbers = counts.count(archive.ledger)
    unfinished = numbers.films["scheduled"] + numbers.films["in_progress"]
    reports = sum(n for key, n in numbers.deliveries.items() if key[2] == "pending")
    return max(0, sum(numbers.arrivals.values()) - unfinished - reports)


def n_files_known(archive: Archive) -> int:
    """Files that are known of by now."""
    return max(archive.n_files, sum(counts.count(archive.ledger).arrivals.values()))


def finish_archive(archive: Archive) -> ArchiveSummary:
    """Write the table and the page."""
    left: tuple[date, ...] = ()
    if isinstance(archive.source, PacsArchive):
        source = archive.source
        discard_finished(source, archive.ledger, archive.out)
        left = tuple(days_left(archive.ledger, source.pull.name, source.first))
    n_rows = write_results(
        archive.ledger,
        archive.out / TABLE_NAME,
        archive.findings,
        with_probabilities=archive.is_calibrated,
    )
    numbers = counts.count(archive.ledger)
    n_done = numbers.films["completed"] + numbers.films["quarantined"]
    summary = ArchiveSummary(
        counts=numbers,
        n_rows=n_rows,
        n_new=n_done - archive.n_before,
        seconds=time.monotonic() - archive.started,
        model_name=archive.bundle.name,
        model_version=str(read_config(archive.bundle, "metadata").get("version", "")),
        model_digest=archive.digest,
        days_left=left,
    )
    page, table = archive.out / PAGE_NAME, archive.out / TABLE_NAME
    write_summary(archive.ledger, page, table, summary, archive.findings)
    return summary


def run_workers(archive: Archive, options: ArchiveOptions, progress: Progress) -> None:
    """List the files and keep the workers running until everything is done."""

    def return_leases(owner: str) -> None:
        jobs.release_owners(archive.ledger, owner)
        outbox.release_owners(archive.ledger, owner)

    pool = WorkerPool(_task(archive, options), return_leases)
    try:
        shown, is_started = 0.0, False
        for total in enqueue_files(archive):
            if not is_started and is_work_left(archive):
                pool.start(options.workers)
                is_started = True
            pool.watch()
            if time.monotonic() - shown > _POLL_SECONDS:
                progress(n_files_done(archive), total)
                shown = time.monotonic()
        while pool.watch():
            progress(n_files_done(archive), n_files_known(archive))
            time.sleep(_POLL_SECONDS)
    finally:
        pool.end()
    progress(n_files_done(archive), n_files_known(archive))


def _task(archive: Archive, options: ArchiveOptions) -> ArchiveWork:
    cores = max(1, (os.cpu_count() or 1) // options.workers)
    return ArchiveWork(
        ledger=archive.out / LEDGER_NAME,
        bundle=str(archive.bundle),
        reports=archive.out / REPORTS_NAME if options.with_reports else None,
        owner=SOURCE,
        batch_size=options.batch_size,
        readers=max(2, cores),
        threads=cores,
        device=options.device,
        limits=options.limits,
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock ends with the process, however it ends."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_ours = stack.enter_context(held(folder / ".lock"))
        except OSError as error:
            raise SettingsError(
                f"The folder --out cannot be written ({error.strerror}). Choose another one."
            ) from None
        if not is_ours:
            raise SettingsError(
                "Another process is screening into this folder. Wait for it, or choose another."
            )
        yield
