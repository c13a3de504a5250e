"""Supervision: a part that ends untold ends the service, calmly; an outage is waited out."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy.exc import OperationalError

from monai_cxr.errors import BundleError
from monai_cxr.screening.service.supervision import ServiceFailed, Supervision


@pytest.fixture
def supervision():
    made = Supervision(threading.Event())
    yield made
    made.stop.set()


def raising(error: Exception):
    def part() -> None:
        raise error

    return part


def test_a_part_that_dies_ends_the_service_and_tells_no_text(supervision, monkeypatch):
    deaths = []
    monkeypatch.setattr(threading, "excepthook", deaths.append)
    supervision.start("listen", lambda: supervision.stop.wait(300) and None)
    assert supervision.unfit() == []
    supervision.start("work", raising(ZeroDivisionError("of patient DOE^JANE")))
    assert supervision.stop.wait(300)
    assert supervision.unfit() == ["work has stopped"]
    with pytest.raises(ServiceFailed, match="'work' ended by an unexpected ZeroDivisionError") as e:
        supervision.join()
    assert "DOE" not in str(e.value)
    assert [death.exc_type for death in deaths] == [ZeroDivisionError]


def test_an_error_of_ours_is_said_as_it_is(supervision):
    supervision.start("work", raising(BundleError("The bundle was changed.")))
    assert supervision.stop.wait(300)
    with pytest.raises(BundleError, match="was changed"):
        supervision.join()


def test_a_ledger_that_is_away_is_waited_for_and_readiness_says_so(supervision):
    seen = threading.Event()

    def part() -> None:
        seen.set()
        raise OperationalError("select", {}, Exception("gone"))

    supervision.start("work", part)
    assert seen.wait(300)
    while not supervision.unfit():
        threading.Event().wait(0.01)
    assert supervision.unfit() == ["work waits for the ledger"]
    assert not supervision.stop.is_set()
    supervision.stop.set()
    supervision.join()


def test_told_to_stop_every_part_ends(supervision):
    for name in ("a", "b"):
        supervision.start(name, lambda: supervision.stop.wait(300) and None)
    supervision.stop.set()
    supervision.join()
    assert supervision.unfit() == ["the service is stopping"]


def test_a_part_that_gets_no_further_is_named(supervision):
    supervision.progressed("work", within=300)
    assert supervision.unfit() == []
    supervision.progressed("work", within=-1)
    assert supervision.unfit() == ["work has got no further for 0 s"]
    supervision.progressed("work", within=300)
    assert supervision.unfit() == []
