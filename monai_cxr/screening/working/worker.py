"""Worker: lease films, have them read, commit what came out.

A pool of threads reads and prepares films ahead of the model, and a clerk commits behind it: the
model waits for neither, as long as both are quicker. What
becomes of a film with which something is wrong, :mod:`monai_cxr.screening.working.outcomes` says.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from monai_cxr.errors import InputError
from monai_cxr.screening.ledger import Ledger, jobs
from monai_cxr.screening.ledger.records import Film, Outcome
from monai_cxr.screening.working.outcomes import Predictor, Prepared, outcomes_of, prepare_film

_log = logging.getLogger(__name__)


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
        after_batch: Called after each commit, in the thread that committed.
        when_idle: Called when there is nothing to lease; waits a little and says whether to go on.

    Returns:
        How many films were finished.

    Raises:
        BundleError: If the model is wrong; the leased films are given back.
    """
    with (
        ThreadPoolExecutor(options.readers, thread_name_prefix="reader") as pool,
        ThreadPoolExecutor(1, thread_name_prefix="clerk") as clerk,
    ):
        queue = _Queue(ledger, model, options, pool)
        committing: Future[int] | None = None
        n_finished = 0
        try:
            while True:
                stopping = should_stop()
                if not stopping:
                    queue.fill()
                batch = queue.take()
                made = outcomes_of(model, [(film.id, read.result) for film, read in batch])
                if committing is not None:  # it went on while the model was working
                    n_finished += committing.result()
                    committing = None
                    if not batch:
                        continue
                if batch:
                    films = [film for film, _ in batch]
                    committing = clerk.submit(
                        _commit_batch, ledger, options, films, made, after_batch
                    )
                    queue.hand_over()
                elif stopping or not when_idle():
                    return n_finished
        finally:
            queue.give_back()


def _commit_batch(
    ledger: Ledger,
    options: WorkerOptions,
    films: Sequence[Film],
    made: tuple[Sequence[Outcome], Sequence[tuple[int, Exception]]],
    after_batch: Callable[[], object],
) -> int:
    n_finished = commit(ledger, options, films, *made)
    after_batch()
    return n_finished


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
        self._in_hand: list[Film] = []
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
        batch: list[tuple[Film, Future[Prepared]]] = []
        if self._waiting:
            n = min(self._options.batch_size, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(n)]
        elif self._suspect is not None:
            film, self._suspect = self._suspect, None
            batch = [(film, self._read(film))]
        self._in_hand = [film for film, _ in batch]
        return batch

    def hand_over(self) -> None:
        """The batch that was taken is being committed."""
        self._in_hand = []

    def give_back(self) -> None:
        """Return what was leased and not finished."""
        for _, future in self._waiting:
            future.cancel()
        left = [film.id for film in self._in_hand] + [film.id for film, _ in self._waiting]
        if self._suspect is not None:
            left.append(self._suspect.id)
        if left:
            jobs.release(self._ledger, self._options.owner, left)

    def _read(self, film: Film) -> Future[Prepared]:
        return self._pool.submit(prepare_film, self._model, film.key, film.path)


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
