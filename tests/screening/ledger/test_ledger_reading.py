"""Outbox, studies, worklist, reviews and audit: what others read and write in the ledger."""

from __future__ import annotations

import pytest
from ledger_data import MODEL, finish_all, outcome, received
from sqlalchemy import update

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import arrivals, audit, jobs, outbox, schema, studies
from monai_cxr.screening.ledger.people import reviews, worklist
from monai_cxr.screening.ledger.people.reviews import ReviewRow
from monai_cxr.screening.ledger.watching import counts


class TestOutbox:
    def test_delivered_only_when_the_receiver_said_so(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger, deliveries=[("sr", "pacs")])
        (delivery,) = outbox.lease(ledger, "d", 5)
        content = outbox.content(ledger, delivery)
        assert content.film.path == "/spool/1.dcm"
        assert content.result.prediction.key == content.film.key
        assert outbox.failed(ledger, "d", delivery.id, status="0xA700") == "pending"
        assert outbox.lease(ledger, "d", 5) == []
        clock.advance(3)
        (delivery,) = outbox.lease(ledger, "d", 5)
        assert (delivery.attempts, delivery.last_status) == (2, "0xA700")
        assert outbox.delivered(ledger, "d", delivery.id, status="0x0000", object_uid="2.25.1")
        assert not outbox.delivered(ledger, "d", delivery.id)
        assert outbox.is_ours(ledger, "2.25.1")
        assert not outbox.is_ours(ledger, "2.25.2")

    def test_given_up_after_many_attempts_or_for_good(self, ledger, clock):
        arrivals.enqueue_many(ledger, [received(1), received(2)])
        finish_all(ledger, deliveries=[("sr", "pacs")])
        first, second = outbox.lease(ledger, "d", 5)
        assert outbox.failed(ledger, "d", first.id, permanent=True) == "failed"
        assert outbox.failed(ledger, "d", second.id, max_attempts=1) == "failed"
        assert len(outbox.deliveries(ledger, state="failed")) == 2
        assert outbox.retry(ledger, [first.id]) == 1
        assert [d.attempts for d in outbox.lease(ledger, "d", 5)] == [1]

    def test_a_dead_deliverer_s_lease_ends(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger, deliveries=[("sr", "pacs")])
        outbox.lease(ledger, "host:dead", 5, seconds=60)
        assert outbox.lease(ledger, "b", 5) == []
        assert outbox.release_owners(ledger, "host:") == 1
        (delivery,) = outbox.lease(ledger, "b", 5, seconds=60)
        clock.advance(61)
        assert outbox.lease(ledger, "c", 5)[0].id == delivery.id
        assert outbox.failed(ledger, "b", delivery.id) == ""

    def test_what_kills_those_who_make_it_is_given_up(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger, deliveries=[("sc", "pacs")])
        for _ in range(outbox.MAX_UNANSWERED):
            assert len(outbox.lease(ledger, "killed", 9, seconds=10)) == 1
            clock.advance(11)
        assert outbox.lease(ledger, "d", 9) == []
        (given_up,) = outbox.deliveries(ledger, state="failed")
        assert given_up.last_error == "too_many_attempts"
        assert outbox.retry(ledger) == 1
        assert len(outbox.lease(ledger, "d", 9)) == 1

    def test_by_kind_and_destination(self, ledger):
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger, deliveries=[("sr", "a"), ("sc", "a"), ("sr", "b")])
        assert len(outbox.lease(ledger, "d", 5, kinds=["sc"])) == 1
        assert len(outbox.lease(ledger, "d", 5, destinations=["b"])) == 1


class TestStudies:
    def test_roll_up_and_late_films(self, ledger, clock):
        arrivals.enqueue(ledger, received(1, study=7))
        assert studies.study(ledger, "1.2.7").status == "waiting"
        finish_all(ledger, positive=("Mass",))
        assert studies.close_quiet(ledger) == []
        clock.advance(61)
        (closed,) = studies.close_quiet(ledger)
        assert (closed.version, closed.is_open, closed.positive) == (1, False, ("Mass",))
        arrivals.enqueue(ledger, received(2, study=7))
        late = studies.study(ledger, "1.2.7")
        assert (late.is_open, late.status, late.n_films) == (True, "waiting", 2)
        finish_all(ledger, positive=("Pneumothorax",))
        clock.advance(61)
        (closed,) = studies.close_quiet(ledger)
        assert (closed.version, closed.urgency) == (2, 1)
        assert set(closed.positive) == {"Mass", "Pneumothorax"}

    def test_a_resent_film_does_not_open_it(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger)
        clock.advance(61)
        studies.close_quiet(ledger)
        arrivals.enqueue(ledger, received(1))
        assert not studies.study(ledger, "1.2.1").is_open

    def test_closed_by_force_when_a_film_hangs(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        clock.advance(899)
        assert studies.close_quiet(ledger) == []
        clock.advance(2)
        assert [s.status for s in studies.close_quiet(ledger)] == ["waiting"]


class TestWorklist:
    @pytest.fixture
    def filled(self, ledger, clock):
        for number, positive in enumerate([(), ("Hernia",), ("Pneumothorax",), ()]):
            arrivals.enqueue(ledger, received(number))
            finish_all(ledger, positive=positive)
            clock.advance(60)
        arrivals.enqueue(ledger, received(9))
        return ledger

    def test_the_newest_come_first(self, filled):
        listed = worklist.list_studies(filled, limit=2)
        assert [study.study_uid[4:] for study in listed] == ["9", "3"]
        assert [study.status for study in listed] == ["waiting", "analysed"]


class TestReviews:
    def test_kept_per_finding_and_counted(self, ledger, clock):
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger, positive=("Mass",))
        word = ReviewRow(
            *("1.2.1.1.1", "1.2.1", "Mass", "reader-1", MODEL.digest),
            label_agrees=False,
            location_agrees=True,
            corrected_label=0,
            note="a scar",
            seconds_to_read=12.5,
        )
        reviews.add(ledger, word)
        (kept,) = reviews.of_study(ledger, "1.2.1")
        assert (kept.label_agrees, kept.location_agrees, kept.corrected_label) == (False, True, 0)
        assert (kept.note, kept.seconds_to_read, kept.reviewed_at) == ("a scar", 12.5, clock.now)
        assert reviews.since(ledger) == [kept]
        row = studies.study(ledger, "1.2.1")
        assert row.n_reviews == 1
        assert row.last_review_at == clock.now
        assert "scar" not in repr(kept)
        assert "reader-1" not in repr(kept)

    def test_impossible_words_are_refused(self):
        with pytest.raises(SettingsError, match="0 or 1"):
            ReviewRow("a", "b", "Mass", "r", "d", corrected_label=2)
        with pytest.raises(SettingsError, match="reader"):
            ReviewRow("a", "b", "Mass", "", "d")


class TestAudit:
    def test_chain_of_a_film(self, ledger):
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger, deliveries=[("sr", "pacs")])
        (delivery,) = outbox.lease(ledger, "d", 1)
        outbox.delivered(ledger, "d", delivery.id, status="0x0000")
        actions = [e.action for e in audit.entries(ledger, subject="1.2.1.1.1")]
        assert actions == ["delivered", "finished", "received"]
        assert audit.verify(ledger).is_intact

    @pytest.mark.parametrize("column", ["detail", "actor", "at", "hash", "subject"])
    def test_a_changed_entry_is_found(self, ledger, column):
        for i in range(5):
            audit.append(ledger, "me", "did", str(i), {"n": i})
        value = 1.0 if column == "at" else "x"
        with ledger.write() as connection:
            connection.execute(
                update(schema.audit).where(schema.audit.c.id == 3).values({column: value})
            )
        assert audit.verify(ledger).broken_at == 3

    def test_a_removed_entry_is_found(self, ledger):
        for i in range(4):
            audit.append(ledger, "me", "did", str(i))
        head = audit.verify(ledger).head
        with ledger.write() as connection:
            connection.execute(schema.audit.delete().where(schema.audit.c.id == 4))
        assert audit.verify(ledger).is_intact
        assert not audit.verify(ledger, expected_head=head).is_intact
        with ledger.write() as connection:
            connection.execute(schema.audit.delete().where(schema.audit.c.id == 2))
        assert audit.verify(ledger).broken_at == 2


def test_counts(ledger, clock):
    assert counts.count(ledger).queue_age_seconds == {}
    arrivals.enqueue_many(ledger, [received(i) for i in range(20)])
    clock.advance(100)
    arrivals.enqueue(ledger, received(99))
    numbers = counts.count(ledger)
    assert numbers.queue_age_seconds == {0.5: 100.0, 0.95: 100.0, 1.0: 100.0}
    (film,) = jobs.lease(ledger, "a", 1)
    jobs.finish(ledger, "a", [outcome(film)], deliveries=[("sr", "pacs")])
    clock.advance(5)
    numbers = counts.count(ledger)
    assert numbers.films["completed"] == numbers.n_results == 1
    assert numbers.deliveries == {("sr", "pacs", "pending"): 1}
    assert (numbers.outbox_age_seconds, numbers.n_studies) == (5.0, 21)
