"""Worker: what becomes of a film follows from the class of what went wrong with it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from planted_faults import LIMITS, REASONS, plant, planted  # noqa: F401 - a fixture

from monai_cxr.errors import InvalidBundle
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.reading.film_input import InputSpec
from monai_cxr.reading.reader_limits import DEFAULT_LIMITS
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.ledger import arrivals, jobs, open_ledger, outbox, quarantine
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.working.worker import WorkerOptions, run_worker

OPTIONS = WorkerOptions("w", batch_size=2, deliveries=(("sr", "out"),))


class Means:
    """A model whose logit is the mean of the picture; it can be told to fail."""

    def __init__(self) -> None:
        self.fails_for: dict[str, Exception] = {}
        self.batches: list[int] = []

    specs = (InputSpec(16, "stretch"),)

    def predict_prepared(self, films, inputs, ages=()):
        self.batches.append(len(films))
        for key, _ in films:
            if key.sop_uid in self.fails_for:
                raise self.fails_for[key.sop_uid]
        return [
            Prediction(
                key,
                ModelIdentity("means", "1", "m" * 64),
                tuple(FindingScore(n, float(x.mean()), 0.5, False) for n in FINDING_NAMES),
                flags,
            )
            for (key, flags), x in zip(films, inputs, strict=True)
        ]


@pytest.fixture
def model() -> Means:
    return Means()


@pytest.fixture
def films(phantom_index, tmp_path) -> list[Path]:
    copies = []
    for number, film in enumerate(phantom_index.table["path"][:4]):
        copies.append(tmp_path / f"{number}.dcm")
        shutil.copy(film, copies[-1])
    return copies


@pytest.fixture
def uids(ledger, films) -> list[str]:
    described = [intake.describe(film, name=film.name, source="test") for film in films]
    arrivals.enqueue_many(ledger, described)
    return [film.key.sop_uid for film in described]


def _run(ledger, model, options=OPTIONS, *, should_stop=lambda: False):
    return run_worker(ledger, model, options, should_stop=should_stop, when_idle=lambda: False)


def test_films_are_finished_in_batches(ledger, model, uids):
    assert _run(ledger, model) == 4
    assert model.batches == [2, 2]
    numbers = counts.count(ledger)
    assert (numbers.n_results, outbox.n_pending(ledger)) == (4, 4)


def test_a_film_that_is_no_film_goes_to_quarantine_and_the_batch_goes_on(
    ledger, model, uids, films
):
    films[1].write_bytes(films[1].read_bytes()[:2000])
    assert _run(ledger, model) == 4
    (entry,) = quarantine.entries(ledger)
    assert (entry.sop_uid, entry.reason) == (uids[1], "damaged_pixels")
    assert counts.count(ledger).n_results == 3


def test_an_error_of_one_film_does_not_cost_the_others_of_its_batch(ledger, model, uids, clock):
    model.fails_for[uids[0]] = RuntimeError("of this film")
    assert _run(ledger, model) == 3
    assert jobs.film(ledger, uids[0]).state == "scheduled"
    clock.advance(60)
    del model.fails_for[uids[0]]
    assert _run(ledger, model) == 1


def test_an_error_that_stays_ends_in_quarantine(ledger, model, uids, clock):
    model.fails_for[uids[0]] = MemoryError()
    for _ in range(jobs.MAX_ATTEMPTS):
        _run(ledger, model)
        clock.advance(1_000)
    assert [entry.reason for entry in quarantine.entries(ledger)] == ["too_many_attempts"]


def test_a_file_that_is_away_is_waited_for_and_then_named(ledger, model, uids, films, clock):
    films[0].rename(films[0].with_suffix(".away"))
    assert _run(ledger, model) == 3
    clock.advance(60)
    films[0].with_suffix(".away").rename(films[0])
    assert _run(ledger, model) == 1
    assert counts.count(ledger).films["quarantined"] == 0


def test_a_file_that_stays_away_is_named_so(ledger, model, uids, films, clock):
    films[0].unlink()
    for _ in range(jobs.MAX_ATTEMPTS):
        _run(ledger, model)
        clock.advance(1_000)
    assert [entry.reason for entry in quarantine.entries(ledger)] == ["missing_file"]


def test_a_wrong_bundle_stops_the_worker_and_costs_no_film(ledger, model, uids):
    model.fails_for[uids[2]] = InvalidBundle("changed on disk")
    with pytest.raises(InvalidBundle):
        _run(ledger, model)
    assert counts.count(ledger).films["quarantined"] == 0
    assert counts.count(ledger).n_results == 2


def test_draining_finishes_what_is_leased_and_leases_no_more(ledger, model, uids):
    stop = threading.Event()

    def should_stop() -> bool:
        was_set = stop.is_set()
        stop.set()  # from the second question on
        return was_set

    options = WorkerOptions("w", batch_size=1)
    assert _run(ledger, model, options, should_stop=should_stop) == 2
    numbers = counts.count(ledger)
    assert numbers.n_results == numbers.films["scheduled"] == 2


def test_what_may_have_killed_a_worker_is_tried_alone(ledger, model, uids, clock):
    jobs.lease(ledger, "dead", 2, seconds=1)
    clock.advance(2)
    assert _run(ledger, model) == 4
    assert model.batches == [1, 1, 2]


def test_a_lease_that_was_lost_stores_nothing_twice(ledger_url, films, clock):
    with open_ledger(ledger_url, clock=clock) as ledger:
        described = [intake.describe(f, name=f.name, source="test") for f in films[:1]]
        arrivals.enqueue_many(ledger, described)
        quick = Means()

        class Slow(Means):
            def predict_prepared(self, films, inputs, ages=()):
                clock.advance(1_000)  # longer than its lease; meanwhile another worker comes
                assert _run(ledger, quick, WorkerOptions("quick")) == 1
                return super().predict_prepared(films, inputs, ages)

        assert _run(ledger, Slow(), WorkerOptions("slow", lease_seconds=10)) == 0
        assert counts.count(ledger).n_results == 1


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", REASONS)
def test_a_film_that_costs_its_reader_costs_no_other(
    ledger,
    model,
    films,
    tmp_path,
    fault,
    planted,  # noqa: F811
):
    uid = plant(films[0], tmp_path / "planted.dcm", fault)
    paths = [tmp_path / "planted.dcm", *films]
    described = [intake.describe(path, name=path.name, source="test") for path in paths]
    arrivals.enqueue_many(ledger, described)
    states = {}

    def look():
        states[counts.count(ledger).n_results] = jobs.film(ledger, uid).state

    limits = LIMITS.get(fault, DEFAULT_LIMITS)
    run_worker(
        ledger,
        model,
        WorkerOptions("w", batch_size=2, limits=limits),
        should_stop=lambda: False,
        when_idle=lambda: False,
        after_batch=look,
    )
    assert [(e.sop_uid, e.reason) for e in quarantine.entries(ledger)] == [(uid, REASONS[fault])]
    numbers = counts.count(ledger)
    assert (numbers.n_results, numbers.films["scheduled"]) == (4, 0)
    assert jobs.film(ledger, uid).attempts == 1
    if fault == "HANG":  # the others passed it
        assert states[4] in ("in_progress", "quarantined")


def test_a_worker_that_is_stuck_says_so_by_silence(ledger, model, uids):
    """A film at a time: progress is told when films are read, and when there is nothing to do."""
    told = []

    class Watched(Means):
        def predict_prepared(self, films, inputs, ages=()):
            told.append("predicting")
            return super().predict_prepared(films, inputs, ages)

    run_worker(
        ledger,
        Watched(),
        WorkerOptions("w", batch_size=4),
        should_stop=lambda: False,
        when_idle=lambda: False,
        on_progress=lambda: told.append("progress"),
    )
    at = told.index("predicting")
    assert told[at - 1] == told[-1] == "progress"
