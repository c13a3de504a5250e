"""Jobs: enqueued once, leased by one, finished with the result in one transaction."""

from __future__ import annotations

import multiprocessing
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_data import MODEL, facts, finish_all, outcome, prediction, received

from monai_cxr.errors import SettingsError
from monai_cxr.prediction import ModelIdentity
from monai_cxr.screening.ledger import (
    arrivals,
    audit,
    cursors,
    jobs,
    open_ledger,
    outbox,
    quarantine,
)
from monai_cxr.screening.ledger.people import worklist
from monai_cxr.screening.ledger.records import Outcome
from monai_cxr.screening.ledger.watching import counts


class TestEnqueue:
    def test_new_then_duplicate(self, ledger):
        assert arrivals.enqueue(ledger, received(1)) == "new"
        assert arrivals.enqueue(ledger, received(1, path="/spool/again.dcm")) == "duplicate"
        assert counts.count(ledger).films["scheduled"] == 1
        assert counts.count(ledger).arrivals == {"new": 1, "duplicate": 1}

    def test_same_uid_with_other_pixels_is_quarantined_and_the_first_kept(self, ledger):
        arrivals.enqueue(ledger, received(1))
        second = received(1, pixel_sha256="f" * 64, path="/spool/other.dcm")
        assert arrivals.enqueue(ledger, second) == "conflict"
        (entry,) = quarantine.entries(ledger)
        assert (entry.reason, entry.path) == ("same_uid_other_pixels", "/spool/other.dcm")
        assert jobs.film(ledger, entry.sop_uid).path == "/spool/1.dcm"

    def test_a_conflict_in_a_study_that_nobody_knows_makes_no_study(self, ledger):
        arrivals.enqueue(ledger, received(1))
        stranger = replace(received(2, study=9), key=replace(received(1).key, study_uid="1.2.9"))
        assert arrivals.enqueue(ledger, stranger) == "conflict"
        assert counts.count(ledger).n_studies == 1

    def test_other_encoding_of_the_same_pixels_is_a_duplicate(self, ledger):
        arrivals.enqueue(ledger, received(1))
        second = received(1, pixel_sha256="f" * 64, path="/spool/compressed.dcm")
        asked = []
        same = arrivals.enqueue(ledger, second, same_pixels=lambda *paths: not asked.append(paths))
        assert (same, asked) == ("duplicate", [("/spool/1.dcm", "/spool/compressed.dcm")])

    def test_many_in_one_transaction(self, ledger):
        films = [received(i, study=i % 3) for i in range(10)]
        assert arrivals.enqueue_many(ledger, [*films, films[0]]) == ["new"] * 10 + ["duplicate"]
        assert arrivals.known_paths(ledger, ["/spool/3.dcm", "/spool/x.dcm"]) == {"/spool/3.dcm"}

    def test_unknown_priority_is_refused(self):
        with pytest.raises(SettingsError, match="STAT, HIGH, ROUTINE, LOW"):
            received(1, priority="URGENT")


class TestLease:
    def test_each_film_goes_to_one_worker(self, ledger):
        arrivals.enqueue_many(ledger, [received(i) for i in range(5)])
        first, second = jobs.lease(ledger, "a", 3), jobs.lease(ledger, "b", 3)
        assert [len(first), len(second), len(jobs.lease(ledger, "c", 3))] == [3, 2, 0]
        assert not {f.id for f in first} & {f.id for f in second}

    def test_urgent_first_but_routine_does_not_wait_for_ever(self, ledger, clock):
        arrivals.enqueue(ledger, received(1, priority="ROUTINE"))
        clock.advance(3_599)
        arrivals.enqueue(ledger, received(2, priority="STAT"))
        clock.advance(2)
        arrivals.enqueue(ledger, received(3, priority="STAT"))
        order = [jobs.lease(ledger, "w", 1)[0].key.sop_uid[-1] for _ in range(3)]
        assert order == ["2", "1", "3"]

    def test_a_dead_worker_s_films_return_and_come_alone(self, ledger, clock):
        arrivals.enqueue_many(ledger, [received(i) for i in range(4)])
        assert len(jobs.lease(ledger, "dead", 2, seconds=60)) == 2
        clock.advance(61)
        assert [f.attempts for f in jobs.lease(ledger, "next", 8)] == [2]
        assert [f.attempts for f in jobs.lease(ledger, "next", 8)] == [2]
        assert [f.attempts for f in jobs.lease(ledger, "next", 8)] == [1, 1]

    def test_renewing_keeps_them(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        jobs.lease(ledger, "a", 1, seconds=60)
        clock.advance(50)
        assert jobs.renew(ledger, "a", seconds=60) == 1
        clock.advance(50)
        assert jobs.lease(ledger, "b", 1) == []

    def test_a_drained_worker_gives_them_back_untried(self, ledger):
        arrivals.enqueue(ledger, received(1))
        jobs.lease(ledger, "a", 1)
        assert jobs.release(ledger, "a") == 1
        assert jobs.lease(ledger, "b", 1)[0].attempts == 1

    def test_the_leases_of_dead_processes_are_returned_at_once(self, ledger):
        arrivals.enqueue_many(ledger, [received(1), received(2)])
        jobs.lease(ledger, "host:1:a", 1)
        jobs.lease(ledger, "other:1:a", 1)
        assert jobs.release_owners(ledger, "host:") == 1

    def test_what_kills_workers_is_quarantined(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        for _ in range(jobs.MAX_ATTEMPTS):
            assert len(jobs.lease(ledger, "dies", 1, seconds=1)) == 1
            clock.advance(2)
        assert jobs.lease(ledger, "next", 1) == []
        assert [e.reason for e in quarantine.entries(ledger)] == ["too_many_attempts"]


class TestFinish:
    def test_result_outbox_and_state_in_one_transaction(self, ledger):
        arrivals.enqueue(ledger, received(1))
        (film,) = jobs.lease(ledger, "a", 1)
        targets = [("sr", "pacs"), ("sc", "pacs")]
        assert jobs.finish(ledger, "a", [outcome(film, positive=("Mass",))], deliveries=targets)
        ((kept, result),) = worklist.films_of_study(ledger, film.key.study_uid)
        assert (kept.state, kept.model_digest) == ("completed", MODEL.digest)
        assert result.prediction == prediction(film, positive=("Mass",))
        assert result.facts == facts(film, flags=("secondary_capture",))
        assert sorted(d.kind for d in outbox.lease(ledger, "d", 9)) == ["sc", "sr"]

    def test_nothing_is_kept_of_a_transaction_that_fails(self, ledger, monkeypatch):
        arrivals.enqueue(ledger, received(1))
        (film,) = jobs.lease(ledger, "a", 1)
        monkeypatch.setattr(audit, "record", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            jobs.finish(ledger, "a", [outcome(film)], deliveries=[("sr", "pacs")])
        monkeypatch.undo()
        numbers = counts.count(ledger)
        assert (numbers.n_results, numbers.deliveries) == (0, {})
        assert numbers.films["in_progress"] == 1

    def test_a_lost_lease_stores_nothing(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        (film,) = jobs.lease(ledger, "slow", 1, seconds=1)
        clock.advance(2)
        jobs.lease(ledger, "quick", 1)
        assert jobs.finish(ledger, "slow", [outcome(film)]) == 0
        assert jobs.finish(ledger, "quick", [outcome(film)]) == 1
        assert jobs.finish(ledger, "quick", [outcome(film)]) == 0
        assert counts.count(ledger).n_results == 1

    def test_a_refused_film_is_quarantined_and_can_be_released(self, ledger):
        arrivals.enqueue(ledger, received(1))
        (film,) = jobs.lease(ledger, "a", 1)
        jobs.finish(ledger, "a", [Outcome(film.id, reason="lateral", message="Lateral.")])
        (entry,) = quarantine.entries(ledger, reason="lateral")
        assert jobs.film(ledger, film.key.sop_uid).reason == "lateral"
        assert quarantine.release(ledger, [entry.id], actor="me") == 1
        assert quarantine.release(ledger, [entry.id], actor="me") == 0
        assert len(jobs.lease(ledger, "a", 1)) == 1

    def test_without_a_dicom_header_nothing_is_delivered(self, ledger):
        arrivals.enqueue(ledger, received(1))
        (film,) = jobs.lease(ledger, "a", 1)
        plain = Outcome(film.id, prediction(film), facts=facts(film, source_format="image"))
        jobs.finish(ledger, "a", [plain], deliveries=[("sr", "folder")])
        assert outbox.n_pending(ledger) == 0

    def test_errors_that_may_pass_are_retried_with_a_pause(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        (film,) = jobs.lease(ledger, "a", 1)
        assert jobs.retry_later(ledger, "a", film.id, "OSError") == "scheduled"
        assert jobs.lease(ledger, "a", 1) == []
        for _ in range(jobs.MAX_ATTEMPTS - 1):
            clock.advance(700)
            (film,) = jobs.lease(ledger, "a", 1)
            state = jobs.retry_later(ledger, "a", film.id, "OSError")
        assert (state, jobs.n_unfinished(ledger)) == ("quarantined", 0)

    def test_a_new_model_reads_all_films_again(self, ledger):
        arrivals.enqueue_many(ledger, [received(1), received(2)])
        finish_all(ledger)
        other = ModelIdentity("test", "2.0", "e" * 64)
        assert jobs.reopen(ledger, MODEL.digest) == 0
        assert jobs.reopen(ledger, other.digest) == 2
        films = jobs.lease(ledger, "w", 8)
        jobs.finish(ledger, "w", [outcome(film, model=other) for film in films])
        assert counts.count(ledger).n_results == 4


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_any_order_of_leases_crashes_and_ends_gives_one_result_a_film(tmp_path_factory, seed):
    """A model of the queue: whatever workers do, each film is finished exactly once."""
    chance, now = random.Random(seed), [0.0]
    path = tmp_path_factory.mktemp("walk") / "ledger.sqlite"
    with open_ledger(path, clock=lambda: now[0]) as ledger:
        arrivals.enqueue_many(ledger, [received(i) for i in range(6)])
        held, stored = [], 0
        for _ in range(40):
            now[0] += chance.random() * 8
            action = chance.choice(["lease", "finish", "crash", "finish"])
            if action == "lease":
                owner = f"w{chance.randrange(3)}"
                found = jobs.lease(ledger, owner, 2, seconds=10, max_attempts=10**6)
                held += [(owner, film) for film in found]
            elif held:
                owner, film = held.pop(chance.randrange(len(held)))
                if action == "finish":
                    stored += jobs.finish(ledger, owner, [outcome(film)], deliveries=[("sr", "f")])
        now[0] += 100
        while films := jobs.lease(ledger, "last", 2, max_attempts=10**6):
            stored += jobs.finish(
                ledger, "last", [outcome(f) for f in films], deliveries=[("sr", "f")]
            )
        numbers = counts.count(ledger)
        assert (stored, numbers.n_results, outbox.n_pending(ledger)) == (6, 6, 6)
        assert audit.verify(ledger).is_intact


def _work(url: str, owner: str) -> None:
    with open_ledger(url) as ledger:
        finish_all(ledger, owner=owner, deliveries=[("sr", "folder")])


def test_parallel_workers_do_each_film_once(ledger_url):
    with open_ledger(ledger_url) as ledger:
        arrivals.enqueue_many(ledger, [received(i, study=i // 3) for i in range(60)])
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(ledger_url, f"w{i}")) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    with open_ledger(ledger_url) as ledger:
        numbers = counts.count(ledger)
        assert (numbers.films["completed"], numbers.n_results) == (60, 60)
        assert outbox.n_pending(ledger) == 60
        assert audit.verify(ledger).is_intact


def test_cursors(ledger):
    assert cursors.get(ledger, "qido") is None
    cursors.put(ledger, "qido", "20260101")
    cursors.put(ledger, "qido", "20260102")
    assert cursors.get(ledger, "qido") == "20260102"


class TestOpening:
    def test_addresses_that_cannot_be(self, tmp_path):
        for url in ("mysql://a/b", "sqlite://", "://"):
            with pytest.raises(SettingsError):
                open_ledger(url)
        with pytest.raises(SettingsError, match="does not open"):
            open_ledger(f"postgresql://nobody@/none?host={tmp_path}")

    def test_a_newer_ledger_is_refused(self, ledger_url):
        from monai_cxr.screening.ledger.schema import schema_version

        with open_ledger(ledger_url) as ledger, ledger.write() as connection:
            connection.execute(schema_version.insert().values(version=999, applied_at=0.0))
        with pytest.raises(SettingsError, match="version 999"):
            open_ledger(ledger_url)

    def test_repr_hides_the_address(self, ledger):
        assert repr(ledger) in ("Ledger(sqlite)", "Ledger(postgresql)")

    def test_commits_are_durable(self, tmp_path):
        with open_ledger(tmp_path / "l.sqlite") as ledger, ledger.read() as connection:
            pragma = connection.exec_driver_sql
            assert pragma("PRAGMA synchronous").scalar() == 2
            assert pragma("PRAGMA journal_mode").scalar() == "wal"
