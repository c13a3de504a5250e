"""Archive on Ray: the films of an archive over a cluster, with the ledger at the driver.

Actors read films, predict them and make their reports; the driver alone writes: it commits what
comes back, batch by batch, so that a killed driver repeats at most what was on its way. The films'
paths must be readable on every node, and monai_cxr installed there.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr.bundle.model import reporting
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import InputError, SettingsError
from monai_cxr.optional import require
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.film_readers import FilmReaders
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, ReaderLimits
from monai_cxr.screening.archive.archive import (
    REPORTS_NAME,
    Archive,
    ArchiveOptions,
    Progress,
    enqueue_files,
    finish_archive,
    n_files_done,
    n_files_known,
    prepared_archive,
)
from monai_cxr.screening.archive.listing import SOURCE
from monai_cxr.screening.archive.pacs import PacsArchive
from monai_cxr.screening.archive.summary import ArchiveSummary
from monai_cxr.screening.archive.worker import DESTINATION, KIND, file_reports
from monai_cxr.screening.delivering.builders import report_builder
from monai_cxr.screening.ledger import jobs, outbox
from monai_cxr.screening.ledger.outbox import DeliveryContent
from monai_cxr.screening.ledger.records import Film, Outcome
from monai_cxr.screening.working.outcomes import outcomes_of, prepare_film
from monai_cxr.screening.working.worker import WorkerOptions, commit

SHARD = 2_000
_COMMIT = 32
_LEASE_SECONDS = 86_400.0
_BACKOFF_POLL_SECONDS = 1.0
_KNOCK_SECONDS = 10.0

_Done = tuple[list[Outcome], list[tuple[int, Exception]], dict[str, DicomInstance]]


def screen_archive_on_ray(
    source: Path | PacsArchive,
    bundle: str | Path,
    out: Path,
    options: ArchiveOptions | None = None,
    *,
    address: str,
    progress: Progress = lambda done, total: None,
) -> ArchiveSummary:
    """Screen an archive on a Ray cluster; the table is that of :func:`screen_archive`.

    Args:
        source: See :func:`monai_cxr.screening.archive.archive.screen_archive`.
        bundle: The bundle, at the same path on every node.
        out: Folder of the results, at the driver.
        options: How; ``workers`` is the number of actors.
        address: Address of a running cluster, ``"auto"``, or ``"local"`` to start one here.
        progress: Called with (done, total), in files.

    Raises:
        MissingDependency: Without the extra ``ray``.
        SettingsError: If no cluster answers at the address.
    """
    options = options or ArchiveOptions()
    ray = require("ray", extra="ray")
    with prepared_archive(source, bundle, out, options) as archive:
        for total in enqueue_files(archive):
            progress(n_files_done(archive), total)
        with _cluster(ray, address, options.workers):
            while jobs.n_unfinished(archive.ledger):
                films = jobs.lease(
                    archive.ledger,
                    SOURCE,
                    SHARD,
                    seconds=_LEASE_SECONDS,
                    suspects_alone=False,  # a film may kill an actor, never this process
                )
                if films:
                    _screen_shard(archive, options, films, progress)
                else:
                    time.sleep(_BACKOFF_POLL_SECONDS)
        _deliver(archive, options, {}, is_last=True)
        progress(n_files_done(archive), n_files_known(archive))
        return finish_archive(archive)


@contextlib.contextmanager
def _cluster(ray: Any, address: str, workers: int) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        # One processor more than the actors take: a pool that takes them all can wait for ever.
        ray.init(address="local", num_cpus=workers + 1, include_dashboard=False, **quiet)
    else:
        try:
            _knock(address)
            ray.init(address=address, **quiet)
        except (OSError, RuntimeError) as error:
            raise SettingsError(
                f"No Ray cluster answers at '{address}'. Start one with 'ray start --head', check "
                "the address, and set RAY_AUTH_MODE=token where the cluster asks for a token."
            ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens at ``host:port``, which Ray itself asks for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()


def _screen_shard(
    archive: Archive, options: ArchiveOptions, films: Sequence[Film], progress: Progress
) -> None:
    data = require("ray.data", extra="ray")
    rows = [{"film": pickle.dumps((film.id, film.key, film.path))} for film in films]
    predict = data.from_items(
        rows, override_num_blocks=max(1, min(len(rows), 4 * options.workers))
    ).map_batches(
        ShardPredictor,
        fn_constructor_kwargs={
            "bundle": str(archive.bundle.absolute()),
            "device": options.device,
            "with_reports": options.with_reports and archive.is_calibrated,
            "limits": options.limits,
        },
        batch_size=options.batch_size,
        compute=data.ActorPoolStrategy(size=options.workers),
        num_cpus=1,
        num_gpus=1 if options.device.startswith("cuda") else 0,
    )
    waiting: list[_Done] = []
    for row in predict.iter_rows():
        waiting.append(pickle.loads(row["done"]))
        if sum(len(done[0]) for done in waiting) >= _COMMIT:
            _commit(archive, options, films, waiting)
            progress(n_files_done(archive), n_files_known(archive))
    _commit(archive, options, films, waiting)


class ShardPredictor:
    """What an actor holds: the model; it reads, predicts and reports a batch.

    Args:
        bundle: Folder of the bundle.
        device: Device.
        with_reports: Whether structured reports are made.
        limits: What one film may cost the actor's reader process.
    """

    def __init__(
        self, bundle: str, device: str, with_reports: bool, limits: ReaderLimits = DEFAULT_LIMITS
    ) -> None:
        from monai_cxr.bundle.model import BundleModel
        from monai_cxr.screening.logs import silence_libraries

        silence_libraries()
        self._model = BundleModel.load(bundle, device=device)
        self._with_reports = with_reports
        self._readers = FilmReaders(1, limits)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A batch of films to one row of outcomes."""
        films: list[tuple[int, InstanceKey, str]] = [pickle.loads(row) for row in batch["film"]]
        reads = [
            (film_id, partial(prepare_film, self._readers, self._model, key, path))
            for film_id, key, path in films
        ]
        outcomes, errors = outcomes_of(self._model, reads)
        paths = {film_id: path for film_id, _, path in films}
        reports: dict[str, DicomInstance] = {}
        stamped: list[Outcome] = []
        for outcome in outcomes:
            made, report = self._reported(outcome, paths[outcome.film_id])
            stamped.append(made)
            if report is not None and outcome.prediction is not None:
                reports[outcome.prediction.key.sop_uid] = report
        done = pickle.dumps((stamped, errors, reports))
        return {"done": np.array([done], dtype=object)}

    def _reported(self, outcome: Outcome, path: str) -> tuple[Outcome, DicomInstance | None]:
        if outcome.prediction is None:
            return outcome, None
        outcome = replace(outcome, predicted_at=time.time())
        if not self._with_reports or not outcome.deliverable or outcome.prediction is None:
            return outcome, None
        created = datetime.fromtimestamp(outcome.predicted_at or 0.0, timezone.utc)
        try:
            report = structured_report(
                ReportedFilm(read_bytes(path)[0], outcome.prediction),
                created=created,
                **self._model.stated,
            )
        except InputError:  # the driver tries again and records the reason
            return outcome, None
        return outcome, report


def _commit(
    archive: Archive, options: ArchiveOptions, films: Sequence[Film], waiting: list[_Done]
) -> None:
    """Commit what came back, then file its reports."""
    outcomes = [outcome for done in waiting for outcome in done[0]]
    errors = [error for done in waiting for error in done[1]]
    reports = {uid: report for done in waiting for uid, report in done[2].items()}
    waiting.clear()
    with_reports = options.with_reports and archive.is_calibrated
    worker = WorkerOptions(SOURCE, deliveries=((KIND, DESTINATION),) if with_reports else ())
    commit(archive.ledger, worker, films, outcomes, errors)
    _deliver(archive, options, reports)


def _deliver(
    archive: Archive,
    options: ArchiveOptions,
    reports: Mapping[str, DicomInstance],
    *,
    is_last: bool = False,
) -> None:
    """File reports; what waits for other films of its study, or for the disk, is filed at last."""
    if not (options.with_reports and archive.is_calibrated):
        return
    make = report_builder(*reporting(archive.bundle))

    def build(content: DeliveryContent) -> DicomInstance:
        return reports.get(content.film.key.sop_uid) or make(content)

    folder = archive.out / REPORTS_NAME
    while outbox.n_pending(archive.ledger):
        if not file_reports(archive.ledger, folder, build, SOURCE, _COMMIT):
            if not is_last:
                return
            time.sleep(_BACKOFF_POLL_SECONDS)
