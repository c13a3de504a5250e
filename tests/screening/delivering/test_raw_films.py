"""Raw films: FOR PROCESSING copies get no word of their own beside the image for presentation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_data import facts, prediction, received

from monai_cxr.radiograph import ViewPosition
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.study_message import Message
from monai_cxr.screening.delivering.study_messages import export_messages
from monai_cxr.screening.ledger import arrivals, jobs, outbox, studies
from monai_cxr.screening.ledger.records import Outcome

BUILDERS = {"sr": lambda content: Message(content.film.key.sop_uid, ".hl7", b"MSH")}


def screen(ledger, number: int, *, raw: bool, positive=(), view="PA", study=7) -> None:
    """Receive and read one film of a study."""
    arrivals.enqueue(ledger, received(number, study=study))
    (film,) = jobs.lease(ledger, "w", 1)
    said = replace(prediction(film, positive=positive), flags=("for_processing",) if raw else ())
    outcome = Outcome(film.id, said, facts=facts(film, view=ViewPosition(view)))
    assert jobs.finish(ledger, "w", [outcome], deliveries=[("sr", "out")]) == 1


def statuses(ledger) -> dict[str, str]:
    return {d.sop_uid: d.last_status or d.state for d in outbox.deliveries(ledger)}


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder("out", tmp_path / "out")


@pytest.mark.parametrize("order", [(True, False), (False, True)], ids=["raw-first", "raw-last"])
def test_raw_film_reported_beside_processed(ledger, clock, folder, tmp_path, order):
    for raw in order:
        screen(ledger, 1 + raw, raw=raw, positive=("Mass",) if raw else ("Effusion",))
        deliver_batch(ledger, folder, BUILDERS, "d")
        clock.advance(6)
    deliver_batch(ledger, folder, BUILDERS, "d")
    assert [path.stem for path in folder.path.iterdir()] == ["1.2.7.1.1"]
    assert statuses(ledger) == {"1.2.7.1.1": "written", "1.2.7.1.2": "nothing_to_send"}
    assert studies.study(ledger, "1.2.7").positive == ("Effusion",)
    assert export_messages(ledger, tmp_path / "messages", "hl7") == 1
    (message,) = (tmp_path / "messages").iterdir()
    assert b"1.2.7.1.2" not in message.read_bytes()


def test_a_raw_film_alone_is_reported_when_its_study_is_quiet(ledger, clock, folder):
    screen(ledger, 1, raw=True, positive=("Mass",))
    assert deliver_batch(ledger, folder, BUILDERS, "d")[0] == 0
    (waiting,) = outbox.deliveries(ledger)
    assert (waiting.state, waiting.attempts) == ("pending", 0)
    clock.advance(61)
    assert deliver_batch(ledger, folder, BUILDERS, "d") == (1, 0)
    assert studies.study(ledger, "1.2.7").positive == ("Mass",)


def test_another_view_speaks_for_itself(ledger, clock, folder):
    screen(ledger, 1, raw=False, view="PA")
    screen(ledger, 2, raw=True, view="AP")
    clock.advance(61)
    assert deliver_batch(ledger, folder, BUILDERS, "d") == (2, 0)
    assert len(list(folder.path.iterdir())) == 2


def test_an_unknown_view_is_the_same(ledger, clock, folder):
    unknown = ViewPosition.UNKNOWN.value
    screen(ledger, 1, raw=False, view=unknown)
    screen(ledger, 2, raw=True, view="PA")
    clock.advance(61)
    deliver_batch(ledger, folder, BUILDERS, "d")
    assert [path.stem for path in folder.path.iterdir()] == ["1.2.7.1.1"]


def test_the_processed_film_of_another_study_says_nothing(ledger, clock, folder):
    screen(ledger, 1, raw=False, study=8)
    screen(ledger, 2, raw=True, study=7)
    clock.advance(61)
    assert deliver_batch(ledger, folder, BUILDERS, "d") == (2, 0)
