"""Worker: lease, read, check scope, predict in batches, commit; what went wrong decides what next.

A pool of threads reads and prepares films ahead of the model. What an error means follows from its
class: an :class:`InputError` sends the film to quarantine, a :class:`BundleError` stops the worker,
anything else gives the film back for a later attempt.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import BundleError, InputError, MissingDependency
from monai_cxr.prediction import Prediction
from monai_cxr.radiograph import InstanceKey, Radiograph
from monai_cxr.screening.ledger import Ledger, jobs
from monai_cxr.screening.ledger.records import Film, Outcome

MAY_PASS = frozenset({"missing_file", "unreadable"})
"""Reasons that may be the disk's or the network's fault: tried again before quarantine."""

_log = logging.getLogger(__name__)


class Predictor(Protocol):
    """What a worker needs of a model; :class:`monai_cxr.bundle.model.BundleModel` has it."""

    def read(self, source: Path, /) -> Radiograph:
        """Read a film that this model may read."""

    def prepare(self, radiograph: Radiograph, /) -> NDArray[np.float32]:
        """One film as network input, shape (1, size, size)."""

    def predict_prepared(
        self,
        films: Sequence[tuple[InstanceKey, tuple[str, ...]]],
        inputs: NDArray[np.float32],
    ) -> list[Prediction]:
        """Predictions of films that are ready, inputs of shape (B, 1, size, size)."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works.

    Attributes:
        owner: Unique name of this process in the ledger.
        batch_size: Films at a time through the model.
        readers: Threads that read ahead.
        deliveries: (kind, destination) of what follows from each result.
        lease_seconds: How long a film is held without a sign of life.
        max_attempts: A film leased so often without an end is quarantined.
    """

    owner: str
    batch_size: int = 8
    readers: int = 2
    deliveries: tuple[tuple[str, str], ...] = ()
    lease_seconds: float = 300.0
    max_attempts: int = jobs.MAX_ATTEMPTS


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A film that has been read and is ready for the model; its full pixels are gone.

    Attributes:
        key: Identity, as the ledger has it.
        flags: Cautions.
        inputs: float32, shape (1, size, size).
        view: Projection.
        age: In years, or None.
        sex: Or ``""``.
        manufacturer: Or ``""``.
        quality: Measures of the picture.
        is_dicom: Whether there is a header, and so a study to report into.
    """

    key: InstanceKey
    flags: tuple[str, ...]
    inputs: NDArray[np.float32]
    view: str
    age: float | None
    sex: str
    manufacturer: str
    quality: Mapping[str, float]
    is_dicom: bool


def prepare_film(model: Predictor, key: InstanceKey, path: str) -> Prepared:
    """Read a film, check its scope, and bring it to the network's input.

    Raises:
        InputError: If the model may not read it.
    """
    film = model.read(Path(path))
    return Prepared(
        key=key,
        flags=film.flags,
        inputs=model.prepare(film),
        view=film.view.value,
        age=film.patient_age_years,
        sex=film.patient_sex,
        manufacturer=film.manufacturer,
        quality=film.quality,
        is_dicom=film.source_format == "dicom",
    )


def outcome_of(film_id: int, film: Prepared, prediction: Prediction) -> Outcome:
    """A prediction with the facts that are stored beside it."""
    return Outcome(
        film_id,
        prediction,
        view=film.view,
        age=film.age,
        sex=film.sex,
        manufacturer=film.manufacturer,
        quality=film.quality,
        deliverable=film.is_dicom,
    )


def run_worker(
    ledger: Ledger,
    model: Predictor,
    options: WorkerOptions,
    *,
    should_stop: Callable[[], bool],
    after_batch: Callable[[], object] = lambda: None,
    when_idle: Callable[[], bool],
) -> int:
    """Work until told to stop, or until idle for good.

    Args:
        ledger: The ledger.
        model: The model.
        options: How to work.
        should_stop: Asked before each lease; when true, what is leased is finished first (drain).
        after_batch: Called after each commit.
        when_idle: Called when there is nothing to lease; waits a little and says whether to go on.

    Returns:
        How many films were finished.

    Raises:
        BundleError: If the model is wrong; the leased films are given back.
    """
    with ThreadPoolExecutor(options.readers, thread_name_prefix="reader") as pool:
        queue = _Queue(ledger, model, options, pool)
        n_finished = 0
        try:
            while True:
                stopping = should_stop()
                if not stopping:
                    queue.fill()
                batch = queue.take()
                if batch:
                    n_finished += _work(ledger, model, options, batch)
                    after_batch()
                elif stopping or not when_idle():
                    return n_finished
        finally:
            queue.give_back()


class _Queue:
    """Films that are leased and being read, in the order of their leases."""

    def __init__(
        self,
        ledger: Ledger,
        model: Predictor,
        options: WorkerOptions,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._ledger, self._model, self._options, self._pool = ledger, model, options, pool
        self._waiting: deque[tuple[Film, Future[Prepared]]] = deque()
        self._suspect: Film | None = None
        self._renewed_at = ledger.clock()

    def fill(self) -> None:
        """Lease up to two batches ahead."""
        options = self._options
        if self._ledger.clock() - self._renewed_at > options.lease_seconds / 3:
            jobs.renew(self._ledger, options.owner, seconds=options.lease_seconds)
            self._renewed_at = self._ledger.clock()
        room = 2 * options.batch_size - len(self._waiting)
        if self._suspect is not None or room < options.batch_size:
            return
        films = jobs.lease(
            self._ledger,
            options.owner,
            room,
            seconds=options.lease_seconds,
            max_attempts=options.max_attempts,
        )
        if len(films) == 1 and films[0].attempts > 1:
            self._suspect = films[0]  # if it kills this process, it does so alone
            return
        self._waiting.extend((film, self._read(film)) for film in films)

    def take(self) -> list[tuple[Film, Future[Prepared]]]:
        """The next batch; a film that failed before comes alone, after all others."""
        if self._waiting:
            n = min(self._options.batch_size, len(self._waiting))
            return [self._waiting.popleft() for _ in range(n)]
        if self._suspect is not None:
            film, self._suspect = self._suspect, None
            return [(film, self._read(film))]
        return []

    def give_back(self) -> None:
        """Return what was leased and not worked on."""
        for _, future in self._waiting:
            future.cancel()
        left = [film.id for film, _ in self._waiting]
        if self._suspect is not None:
            left.append(self._suspect.id)
        if left:
            jobs.release(self._ledger, self._options.owner, left)

    def _read(self, film: Film) -> Future[Prepared]:
        return self._pool.submit(prepare_film, self._model, film.key, film.path)


def outcomes_of(
    model: Predictor, reads: Sequence[tuple[int, Callable[[], Prepared]]]
) -> tuple[list[Outcome], list[tuple[int, Exception]]]:
    """Read and predict films; one that fails does not stop the others.

    Args:
        model: The model.
        reads: (film, what reads it), at most a batch.

    Returns:
        Outcomes, refusals among them; and (film, error) of what may be tried again.

    Raises:
        BundleError: If the model is wrong.
    """
    outcomes: list[Outcome] = []
    errors: list[tuple[int, Exception]] = []
    ready: list[tuple[int, Prepared]] = []
    for film_id, read in reads:
        try:
            ready.append((film_id, read()))
        except InputError as error:
            if error.reason in MAY_PASS:
                errors.append((film_id, error))
            else:
                outcomes.append(Outcome(film_id, reason=error.reason, message=str(error)))
        except (BundleError, MissingDependency):
            raise
        except Exception as error:  # noqa: BLE001 - one film must not stop the others
            errors.append((film_id, error))
    predicted, failed = _predicted(model, ready)
    return outcomes + predicted, errors + failed


def _predicted(
    model: Predictor, ready: Sequence[tuple[int, Prepared]]
) -> tuple[list[Outcome], list[tuple[int, Exception]]]:
    if not ready:
        return [], []
    films = [prepared for _, prepared in ready]
    try:
        predictions = model.predict_prepared(
            [(film.key, film.flags) for film in films],
            np.stack([film.inputs for film in films]),
        )
    except (BundleError, MissingDependency):
        raise
    except Exception as error:  # noqa: BLE001 - which film it was is found out one by one
        if len(ready) == 1:
            return [], [(ready[0][0], error)]
        each = [_predicted(model, [one]) for one in ready]
        return [o for found, _ in each for o in found], [e for _, found in each for e in found]
    found = zip(ready, predictions, strict=True)
    return [outcome_of(film_id, film, prediction) for (film_id, film), prediction in found], []


def commit(
    ledger: Ledger,
    options: WorkerOptions,
    films: Sequence[Film],
    outcomes: Sequence[Outcome],
    errors: Sequence[tuple[int, Exception]],
) -> int:
    """Finish films in one transaction, and give back what may be tried again.

    Returns:
        How many were finished.
    """
    attempts = {film.id: film.attempts for film in films}
    ended = list(outcomes)
    for film_id, error in errors:
        if isinstance(error, InputError) and attempts[film_id] >= options.max_attempts:
            ended.append(Outcome(film_id, reason=error.reason, message=str(error)))
            continue
        kind = type(error).__name__  # its text may hold a path or an identity
        state = jobs.retry_later(
            ledger, options.owner, film_id, kind, max_attempts=options.max_attempts
        )
        _log.warning("film not finished", extra={"film": film_id, "error": kind, "state": state})
    return jobs.finish(ledger, options.owner, ended, deliveries=options.deliveries)


def _work(
    ledger: Ledger,
    model: Predictor,
    options: WorkerOptions,
    batch: Sequence[tuple[Film, Future[Prepared]]],
) -> int:
    outcomes, errors = outcomes_of(model, [(film.id, future.result) for film, future in batch])
    return commit(ledger, options, [film for film, _ in batch], outcomes, errors)
