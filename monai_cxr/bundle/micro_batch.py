"""Micro-batches: films that come one by one, from many threads, go through a model together.

A live stream gives films singly, and an engine is busiest with several at once. Whoever asks waits
for company, but never longer than the bound. What a film gets does not depend on its company:
exported engines run each film alone (decision 81).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from monai_cxr.bundle.engines.runtime import FilmBatch
from monai_cxr.bundle.predictor import BatchScores, Predictor
from monai_cxr.errors import SettingsError


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    inputs: tuple[FilmBatch, ...]
    answer: Future[BatchScores]

    @property
    def n_films(self) -> int:
        return len(self.inputs[0])


class MicroBatches:
    """Gathers films of many callers into batches of a model; safe to call from any thread.

    Example:
        with MicroBatches(model, max_wait_s=0.02) as stream:
            scores = stream.score([model.prepare(film)[None]])

    Args:
        model: A bundle or an ensemble.
        max_films: Films of a batch; None for what suits the engine. A caller's own films are never
            parted, so a batch may be larger by those of the last caller.
        max_wait_s: How long the first film of a batch waits for others, in seconds.

    Raises:
        SettingsError: If a number is out of range.
    """

    def __init__(
        self, model: Predictor, *, max_films: int | None = None, max_wait_s: float = 0.02
    ) -> None:
        if (max_films is not None and max_films < 1) or not 0 <= max_wait_s <= 60:
            raise SettingsError(
                "Expected max_films of at least 1 and max_wait_s in [0, 60], but got "
                f"{max_films} and {max_wait_s}."
            )
        self._model = model
        self._max_films = max_films or model.batch_size
        self._max_wait_s = max_wait_s
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._closed = False
        self._lock = Lock()
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="micro-batches-engine")
        self._thread = Thread(target=self._work, name="micro-batches", daemon=True)
        self._thread.start()

    def submit(self, inputs: Sequence[FilmBatch]) -> Future[BatchScores]:
        """Ask for scores without waiting.

        Args:
            inputs: As for :meth:`monai_cxr.bundle.predictor.Predictor.score`; one film or several.

        Returns:
            What holds the scores, or the model's error. It can be cancelled while it waits.

        Raises:
            SettingsError: If it is closed, or there is no film.
        """
        if not inputs or not len(inputs[0]):
            raise SettingsError("Expected at least one film.")
        asked = _Asked(tuple(inputs), Future())
        with self._lock:
            if self._closed:
                raise SettingsError("The micro-batches are closed.")
            self._queue.put(asked)
        return asked.answer

    def score(self, inputs: Sequence[FilmBatch]) -> BatchScores:
        """Scores of one film or several, in order; waits for them."""
        return self.submit(inputs).result()

    def close(self) -> None:
        """Answer what was asked for, then end."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()
        self._engine.shutdown()

    def __enter__(self) -> MicroBatches:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _work(self) -> None:
        ended = False
        while not ended:
            first = self._queue.get()
            if first is None:
                return
            batch, ended = self._gather(first)
            self._answer([one for one in batch if one.answer.set_running_or_notify_cancel()])

    def _gather(self, first: _Asked) -> tuple[list[_Asked], bool]:
        """A batch, and whether it is the last one."""
        batch, n_films = [first], first.n_films
        until = monotonic() + self._max_wait_s
        while n_films < self._max_films:
            try:
                asked = self._queue.get(timeout=max(until - monotonic(), 0.0))
            except Empty:
                break
            if asked is None:
                return batch, True
            batch.append(asked)
            n_films += asked.n_films
        return batch, False

    def _answer(self, batch: Sequence[_Asked]) -> None:
        if not batch:
            return
        run = self._engine.submit(self._together, batch)
        error = run.exception()
        if error is not None:  # it belongs to those who asked
            for asked in batch:
                asked.answer.set_exception(error)
            return
        scores = run.result()
        start = 0
        for asked in batch:
            rows = slice(start, start + asked.n_films)
            asked.answer.set_result(_rows(scores, rows))
            start = rows.stop

    def _together(self, batch: Sequence[_Asked]) -> BatchScores:
        parts = zip(*(asked.inputs for asked in batch), strict=True)
        return self._model.score([np.concatenate(films) for films in parts])


def _rows(scores: BatchScores, rows: slice) -> BatchScores:
    def some(values: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if values is None else values[rows]

    return BatchScores(
        scores.logits[rows], scores.probabilities[rows], some(scores.embeddings), some(scores.cam)
    )
