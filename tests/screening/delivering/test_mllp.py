"""HL7 over MLLP to an interface engine: its word decides what was delivered."""

from __future__ import annotations

import socket

import hl7
import pytest
from hl7_feed import LEXICON, kept
from ledger_data import finish_all, received

from monai_cxr.screening.arriving.hl7_intake import Hl7Intake
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.mllp import Mllp
from monai_cxr.screening.delivering.study_messages import message_builder
from monai_cxr.screening.ledger import arrivals, outbox
from monai_cxr.screening.network.mllp import MllpServer
from monai_cxr.screening.network.mllp_client import MllpPeer


class TestClient:
    """Our results to an interface engine: AA is delivered, AE needs a person, the rest may pass."""

    @pytest.fixture
    def waiting(self, ledger):
        for number in (1, 2):
            arrivals.enqueue(ledger, received(number))
        finish_all(ledger, deliveries=[("hl7", "engine")], positive=("Mass",))

    def deliver(self, ledger, answer):
        """(state, status, error) of each delivery after one attempt."""
        local = frozenset({"127.0.0.1"})
        with MllpServer(("127.0.0.1", 0), answer, allowed=local) as server:
            engine = Mllp("engine", MllpPeer("127.0.0.1", server.port, timeout_seconds=2.0))
            deliver_batch(ledger, engine, {"hl7": message_builder("hl7")}, "d")
        made = sorted(outbox.deliveries(ledger), key=lambda delivery: delivery.id)
        return [(one.state, one.last_status, one.last_error) for one in made]

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("AA", ("delivered", "AA", "")),
            ("CA", ("delivered", "CA", "")),
            ("AE", ("failed", "AE", "refused")),
            ("AR", ("pending", "AR", "refused")),
            ("", ("pending", "", "refused")),
            ("AA|", ("delivered", "AA", "")),
        ],
    )
    def test_the_engine_s_word_decides(self, ledger, waiting, code, said):
        taken = []

        def answer(frame):
            message = hl7.parse(frame.data.decode())
            taken.append(str(message.segment("MSH")[9]))
            number = message.segment("MSH")[10]
            other = b"\x1c\r\x0bMSH|^~\\&|X\rMSA|AE|not-this-one\r"  # of somebody else
            return f"MSH|^~\\&|E\rMSA|{code.rstrip('|')}|{number}\r".encode() + other

        assert self.deliver(ledger, answer) == [said] * 2
        assert taken == ["ORU^R01^ORU_R01"] * 2

    @pytest.mark.parametrize("raw", [b"", b"MSA|AA", b"<html>", b"MSH|^~\\&\rMSA|AA|other\r"])
    def test_what_is_no_answer_is_no_delivery(self, ledger, waiting, raw):
        assert self.deliver(ledger, lambda frame: raw) == [("pending", "", "timed out")] * 2

    def test_nobody_there(self, ledger, waiting):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            engine = Mllp("engine", MllpPeer("127.0.0.1", held.getsockname()[1]))
            assert deliver_batch(ledger, engine, {"hl7": message_builder("hl7")}, "d") == (0, 2)
        assert {d.last_error for d in outbox.deliveries(ledger)} == {"connection refused"}

    def test_to_ourselves_it_is_dropped(self, ledger, waiting):
        """A loop of engines brings our results back; they are no signed reports."""
        taking = Hl7Intake(ledger, LEXICON, "")
        assert [one[0] for one in self.deliver(ledger, taking.answer)] == ["delivered"] * 2
        assert kept(ledger) == []
