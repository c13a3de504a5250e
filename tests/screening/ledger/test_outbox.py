"""Outbox: days of attempts, a person's last word, and ledgers from before."""

from __future__ import annotations

import pytest
from ledger_data import finish_all, received

from monai_cxr.screening.arriving.retention import clean_spool
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import arrivals, outbox

DAY = 86_400.0


def _fail_until_given_up(ledger, clock) -> float:
    """A receiver that is away for good; gives the seconds until the delivery is given up."""
    started = clock.now
    for _ in range(1_000):
        for delivery in outbox.lease(ledger, "d", 9):
            outbox.failed(ledger, "d", delivery.id, error="no_connection")
        (delivery,) = outbox.deliveries(ledger)
        if delivery.state == "failed":
            return clock.now - started
        clock.advance(3_601)
    raise AssertionError("never given up")


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool", reserve_bytes=0)


def _screened(ledger, spool, kind="sr"):
    path = spool.store(b"a film")
    arrivals.enqueue(ledger, received(1, path=str(path)))
    finish_all(ledger, deliveries=[(kind, "pacs")])
    return path


def test_given_up_after_3h_then_film_deleted(ledger, clock, spool):
    """A PACS that is away over a weekend gets its report, and the film stays until it has."""
    path = _screened(ledger, spool)
    given_up = _fail_until_given_up(ledger, clock)
    assert given_up >= 7 * DAY
    clock.advance(90 * DAY)
    assert clean_spool(ledger, spool, keep_days=1) == 0
    assert path.is_file()
    assert outbox.retry(ledger) == 1
    (delivery,) = outbox.lease(ledger, "d", 9)
    assert outbox.failed(ledger, "d", delivery.id, error="no_connection") == "pending"  # days again
    clock.advance(3_601)
    (delivery,) = outbox.lease(ledger, "d", 9)
    outbox.delivered(ledger, "d", delivery.id)
    assert clean_spool(ledger, spool, keep_days=1) == 1
    assert not path.exists()


def test_at_last_it_is_asked_once_an_hour(ledger, clock, spool):
    _screened(ledger, spool)
    for _ in range(40):
        for delivery in outbox.lease(ledger, "d", 9):
            outbox.failed(ledger, "d", delivery.id, error="no_connection")
        clock.advance(3_600)
        assert len(outbox.lease(ledger, "x", 9, kinds=["none"])) == 0
    assert len(outbox.lease(ledger, "d", 9)) == 1


def test_a_dismissed_delivery_frees_its_film(ledger, clock, spool):
    path = _screened(ledger, spool)
    (delivery,) = outbox.lease(ledger, "d", 9)
    outbox.failed(ledger, "d", delivery.id, status="0x0122", error="refused", permanent=True)
    clock.advance(2 * DAY)
    assert clean_spool(ledger, spool, keep_days=1) == 0
    assert outbox.dismiss(ledger, reason="no_connection") == 0
    assert outbox.dismiss(ledger, reason="0x0122", actor="anna") == 1
    assert clean_spool(ledger, spool, keep_days=1) == 1
    assert not path.exists()
    assert outbox.retry(ledger) == 0  # the person's word stands until it is named again
    assert outbox.retry(ledger, [delivery.id]) == 1


def test_retry_by_reason(ledger, clock):
    for number in (1, 2):
        arrivals.enqueue(ledger, received(number))
    finish_all(ledger, deliveries=[("sr", "pacs")])
    first, second = outbox.lease(ledger, "d", 9)
    outbox.failed(ledger, "d", first.id, error="no_connection", permanent=True)
    outbox.failed(ledger, "d", second.id, status="0xA700", error="refused", permanent=True)
    assert outbox.retry(ledger, reason="no_connection") == 1
    states = {d.id: d.state for d in outbox.deliveries(ledger)}
    assert states == {first.id: "pending", second.id: "failed"}


def test_what_cannot_be_made_is_given_up_sooner(ledger, clock, spool):
    _screened(ledger, spool)
    for _ in range(outbox.MAX_ATTEMPTS_TO_MAKE):
        (delivery,) = outbox.lease(ledger, "d", 9)
        limit = outbox.MAX_ATTEMPTS_TO_MAKE
        outbox.failed(ledger, "d", delivery.id, error="RuntimeError", max_attempts=limit)
        clock.advance(3_601)
    assert outbox.deliveries(ledger)[0].state == "failed"


def test_hours_of_a_receiver_away_do_not_look_like_a_killer(ledger, clock, spool):
    _screened(ledger, spool)
    for _ in range(3 * outbox.MAX_UNANSWERED):
        (delivery,) = outbox.lease(ledger, "d", 9)
        outbox.failed(ledger, "d", delivery.id, error="no_connection")
        clock.advance(3_601)
    assert outbox.deliveries(ledger)[0].state == "pending"


def test_a_postponed_delivery_has_not_been_tried(ledger, clock, spool):
    _screened(ledger, spool)
    (delivery,) = outbox.lease(ledger, "d", 9)
    outbox.postpone(ledger, "d", delivery.id, seconds=5)
    assert outbox.lease(ledger, "d", 9) == []
    clock.advance(6)
    (again,) = outbox.lease(ledger, "d", 9)
    assert again.attempts == 1
