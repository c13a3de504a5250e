"""Chart sums: each film counts once, whoever finishes it, however often, in whatever order."""

from __future__ import annotations

import threading
from datetime import date, datetime, timezone

import pytest
from ledger_data import finish_all, outcome, received
from sqlalchemy import func, select

from monai_cxr.prediction import ModelIdentity
from monai_cxr.screening.ledger import arrivals, jobs, open_ledger, quarantine
from monai_cxr.screening.ledger.records import Outcome
from monai_cxr.screening.ledger.schema import chart_sums as lines
from monai_cxr.screening.ledger.watching import chart_sums


def sums(ledger):
    with ledger.read() as connection:
        return chart_sums.read(connection)


def test_a_film_adds_its_scores_flags_measures_and_time(ledger, clock):
    arrivals.enqueue(ledger, received(1))
    arrivals.enqueue(ledger, received(2))
    clock.advance(100)
    for film, positive in zip(jobs.lease(ledger, "w", 2), ((), ("Mass",)), strict=True):
        jobs.finish(ledger, "w", [outcome(film, positive=positive)])
    (day,) = sums(ledger)["flag_rate Mass"]
    assert (day.day, day.n, day.total) == (
        datetime.fromtimestamp(clock.now, timezone.utc).date(),
        2,
        1.0,
    )
    assert (sums(ledger)["score Mass"][0].total, sums(ledger)["score Mass"][0].squares) == (0, 4.5)
    assert sums(ledger)["picture mean"][0].mean == 0.5
    assert sums(ledger)["turnaround"][0].mean == pytest.approx(2.0, abs=1e-3)


def test_a_replay_changes_nothing(ledger, clock):
    for number in range(4):
        arrivals.enqueue(ledger, received(number))
    refused, *_ = films = jobs.lease(ledger, "w", 4)
    done = [Outcome(refused.id, reason="lateral")] + [outcome(film) for film in films[1:]]
    jobs.finish(ledger, "w", done)
    before = sums(ledger)
    assert (before["refused lateral"][0].n, before["refused lateral"][0].total) == (4, 1.0)
    assert before["score Mass"][0].n == 3
    jobs.finish(ledger, "w", done)  # the same worker says it again
    for number in range(4):
        arrivals.enqueue(ledger, received(number))  # the senders send again
    clock.advance(86_400)
    assert jobs.reopen(ledger, "e" * 64) == 3  # and all of it is read by another model
    other = ModelIdentity("test", "2.0", "e" * 64)
    again = jobs.lease(ledger, "v", 4, suspects_alone=False)
    jobs.finish(ledger, "v", [outcome(film, model=other) for film in again])
    assert sums(ledger) == before
    quarantine.release(ledger, [quarantine.entries(ledger)[0].id], actor="anna")
    (film,) = jobs.lease(ledger, "v", 1)
    jobs.finish(ledger, "v", [Outcome(film.id, reason="lateral")])  # refused a second time
    assert sums(ledger) == before
    quarantine.release(ledger, [quarantine.entries(ledger)[0].id], actor="anna")
    (film,) = jobs.lease(ledger, "v", 1)
    jobs.finish(ledger, "v", [outcome(film)])  # a score at last; its first end was the refusal
    assert sums(ledger)["refused lateral"] == before["refused lateral"]
    assert sum(day.n for day in sums(ledger)["score Mass"]) == 4


def test_a_file_that_never_became_a_job_counts_once(ledger):
    for _ in range(3):
        quarantine.refuse(ledger, "/spool/x", "not_dicom", "Not DICOM.")
    for _ in range(2):
        quarantine.refuse(ledger, "", "sop_class", "No image.", sop_uid="1.2.3")
    got = sums(ledger)
    assert (got["refused not_dicom"][0].n, got["refused not_dicom"][0].total) == (2, 1.0)
    assert got["refused sop_class"][0].total == 1.0


def test_two_writers_add_up_to_one(ledger, ledger_url, clock):
    """Two processes' connections, interleaved; and the same films by one, in another order."""
    for number in range(40):
        arrivals.enqueue(ledger, received(number))

    def work(owner: str) -> None:
        with open_ledger(ledger_url, clock=clock) as own:
            while films := jobs.lease(own, owner, 3):
                jobs.finish(own, owner, [outcome(film) for film in films])

    workers = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (day,) = sums(ledger)["score Mass"]
    assert (day.n, day.total, day.squares) == (40, -60.0, 90.0)
    assert sums(ledger)["turnaround"][0].n == 40


def test_adding_up_changes_no_bit(ledger, clock):
    for number in range(9):
        arrivals.enqueue(ledger, received(number))
        clock.advance(7.3)
        finish_all(ledger)
    before = sums(ledger)
    with ledger.write() as connection:
        chart_sums.compact(connection, now=clock.now)
        n_lines = select(func.count()).select_from(lines).where(lines.c.chart == "turnaround")
        assert connection.execute(n_lines).scalar_one() == 1
    assert sums(ledger) == before


def test_what_fails_adds_nothing(ledger):
    """Sums and results are one transaction."""
    arrivals.enqueue(ledger, received(1))
    (film,) = jobs.lease(ledger, "w", 1)
    with pytest.raises(ValueError, match="shorter"):
        jobs.finish(ledger, "w", [outcome(film)], deliveries=[("sr",)])
    assert sums(ledger) == {}


def test_days_are_utc():
    assert chart_sums.day_of(86_399.9) == date(1970, 1, 1)
    assert chart_sums.day_of(86_400) == date(1970, 1, 2)
