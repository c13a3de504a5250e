"""Worker: lease films, have them read, commit the results.

Reader processes read and prepare films ahead of the model, and a clerk commits behind it: the model
waits for neither, as long as both are quicker. A film that its reader is slow to read is passed by
the others. What becomes of a film with which something is wrong,
:mod:`monai_cxr.screening.working.outcomes` says.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from monai_cxr.errors import InputError
from monai_cxr.reading.film_input import PreparedFilm
from monai_cxr.reading.film_readers import FilmReaders
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS, ReaderLimits
from monai_cxr.screening.ledger import Ledger, jobs
from monai_cxr.screening.ledger.records import Film, Outcome
from monai_cxr.screening.ledger.schema import COMPLETED, QUARANTINED
from monai_cxr.screening.logs import uid_hash
from monai_cxr.screening.working.outcomes import ScreeningModel, outcomes_of, prepare_film

_PATIENCE_SECONDS = 2.0
"""How long a batch waits for a film that is being read; after that it goes without it."""

_Read = tuple[Film, Future[PreparedFilm]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works.

    Attributes:
        owner: Unique name of this process in the ledger.
        batch_size: Films at a time through the model.
        readers: Processes that read ahead.
        limits: What one film may cost a reader.
        deliveries: (kind, destination) of what follows from each result.
        lease_seconds: How long a film is held without a sign of life.
        max_attempts: A film leased so often without an end is quarantined.
    """

    owner: str
    batch_size: int = 8
    readers: int = 2
    limits: ReaderLimits = DEFAULT_LIMITS
    deliveries: tuple[tuple[str, str], ...] = ()
    lease_seconds: float = 300.0
    max_attempts: int = jobs.MAX_ATTEMPTS


def run_worker(
    ledger: Ledger,
    model: ScreeningModel,
    options: WorkerOptions,
    *,
    should_stop: Callable[[], bool],
    after_batch: Callable[[], object] = lambda: None,
    when_idle: Callable[[], bool],
    on_progress: Callable[[], object] = lambda: None,
) -> int:
    """Work until told to stop, or until idle for good.

    Args:
        ledger: The ledger.
        model: The model.
        options: How to work.
        should_stop: Asked before each lease; when true, what is leased is finished first (drain).
        after_batch: Called after each commit, in the thread that committed.
        when_idle: Called when there is nothing to lease; waits a little and says whether to go on.
        on_progress: Called when films have been read, predicted or committed, and while there is
            nothing to do.

    Returns:
        How many films were finished.

    Raises:
        BundleError: If the model is wrong; the leased films are given back.
    """
    with (
        ThreadPoolExecutor(options.readers, thread_name_prefix="reader") as pool,
        ThreadPoolExecutor(1, thread_name_prefix="clerk") as clerk,
        FilmReaders(options.readers, options.limits) as readers,  # ends what the pool waits for
    ):
        queue = _Queue(ledger, model, options, pool, readers)
        committing: Future[int] | None = None
        n_finished = 0
        try:
            while True:
                stopping = should_stop()
                if not stopping:
                    queue.fill()
                is_idle, batch = queue.is_empty, queue.take()
                if is_idle or batch:
                    on_progress()
                made = outcomes_of(model, [(film.id, read.result) for film, read in batch])
                if committing is not None:  # it went on while the model was working
                    n_finished += committing.result()
                    committing = None
                    on_progress()
                    if not batch:
                        continue
                if batch:
                    committing = clerk.submit(
                        _commit_batch, ledger, options, batch, made, after_batch
                    )
                    queue.hand_over()
                elif queue.is_empty and (stopping or not when_idle()):
                    return n_finished
        finally:
            queue.give_back()


def _commit_batch(
    ledger: Ledger,
    options: WorkerOptions,
    batch: Sequence[_Read],
    made: tuple[Sequence[Outcome], Sequence[tuple[int, Exception]]],
    after_batch: Callable[[], object],
) -> int:
    n_finished = commit(ledger, options, [film for film, _ in batch], *made)
    after_batch()
    return n_finished


class _Queue:
    """Films that are leased and being read, in the order of their leases.

    A film that is slow to read is waited for once, and then passed by the others. A film that was
    leased before is a suspect: it may be the one that ends processes, so it goes through the model
    alone, when no other film that has been read waits.
    """

    def __init__(
        self,
        ledger: Ledger,
        model: ScreeningModel,
        options: WorkerOptions,
        pool: ThreadPoolExecutor,
        readers: FilmReaders,
    ) -> None:
        self._ledger, self._model, self._options, self._pool = ledger, model, options, pool
        self._readers = readers
        self._waiting: deque[_Read] = deque()
        self._slow: deque[_Read] = deque()
        self._suspects: deque[_Read] = deque()
        self._in_hand: list[Film] = []
        self._renewed_at = ledger.clock()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is leased that waits."""
        return not self._left

    @property
    def _left(self) -> list[_Read]:
        return [*self._slow, *self._waiting, *self._suspects]

    def fill(self) -> None:
        """Lease up to two batches ahead, and keep what is leased, however long it is read."""
        options = self._options
        if self._ledger.clock() - self._renewed_at > options.lease_seconds / 3:
            jobs.renew(self._ledger, options.owner, seconds=options.lease_seconds)
            self._renewed_at = self._ledger.clock()
        room = 2 * options.batch_size - len(self._left)
        if room < options.batch_size or any(read.done() for _, read in self._suspects):
            return
        films = jobs.lease(
            self._ledger,
            options.owner,
            room,
            seconds=options.lease_seconds,
            max_attempts=options.max_attempts,
        )
        is_suspect = len(films) == 1 and films[0].attempts > 1
        (self._suspects if is_suspect else self._waiting).extend(
            (film, self._pool.submit(prepare_film, self._readers, self._model, film.key, film.path))
            for film in films
        )

    def take(self) -> list[_Read]:
        """Films that have been read, at most a batch; none if none is read within the patience."""
        n = min(self._options.batch_size, len(self._waiting))
        first = [self._waiting.popleft() for _ in range(n)]
        self._slow.extend(first)
        if first:
            wait([read for _, read in first], _PATIENCE_SECONDS)
        else:
            left = [read for _, read in (*self._slow, *self._suspects)]
            wait(left, _PATIENCE_SECONDS, FIRST_COMPLETED)
        batch = _taken(self._slow, self._options.batch_size) or _taken(self._suspects, 1)
        self._in_hand = [film for film, _ in batch]
        return batch

    def hand_over(self) -> None:
        """The batch that was taken is being committed."""
        self._in_hand = []

    def give_back(self) -> None:
        """Return what was leased and not finished."""
        left = self._left
        for _, read in left:
            read.cancel()
        ids = [film.id for film in self._in_hand] + [film.id for film, _ in left]
        if ids:
            jobs.release(self._ledger, self._options.owner, ids)


def _taken(reads: deque[_Read], n: int) -> list[_Read]:
    """Take up to n films that have been read; the others stay."""
    taken = [pair for pair in reads if pair[1].done()][:n]
    for pair in taken:
        reads.remove(pair)
    return taken


def commit(
    ledger: Ledger,
    options: WorkerOptions,
    films: Sequence[Film],
    outcomes: Sequence[Outcome],
    errors: Sequence[tuple[int, Exception]],
) -> int:
    """Finish films in one transaction, and return those that may be tried again.

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
    n_finished = jobs.finish(ledger, options.owner, ended, deliveries=options.deliveries)
    keys = {film.id: film.key for film in films}
    for outcome in ended:
        said = {"film": outcome.film_id, "uid_hash": uid_hash(keys[outcome.film_id].sop_uid)}
        state = COMPLETED if outcome.prediction is not None else QUARANTINED
        _log.info("film finished", extra=said | {"state": state, "reason": outcome.reason})
    return n_finished
