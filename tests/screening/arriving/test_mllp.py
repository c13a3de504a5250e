"""HL7 over MLLP: reports and merges from real sockets: cut, noisy, huge, at once, and again."""

from __future__ import annotations

import contextlib
import socket
import threading

import hl7
import pytest
from hl7_feed import LEXICON, SECRET, YES, kept, oru, told, verdict
from hypothesis import given, settings
from hypothesis import strategies as st
from pacs_films import film_bytes
from sqlalchemy import text

from monai_cxr.errors import SettingsError
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.hl7_intake import Hl7Intake
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.network.mllp import FrameReader, MllpFrame, MllpLimits, MllpServer, framed


@pytest.fixture
def serving(taking):
    limits = MllpLimits(most_bytes=200_000, most_connections=3, timeout_seconds=1.0)
    local = frozenset({"127.0.0.1"})
    with MllpServer(("127.0.0.1", 0), taking.answer, allowed=local, limits=limits) as server:
        yield server


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        yield client


def answers(client, n=1) -> list[hl7.Message]:
    reader, found = FrameReader(10**6), []
    client.settimeout(20)
    while len(found) < n:
        piece = client.recv(65_536)
        assert piece, f"closed after {len(found)} of {n} answers"
        found += [hl7.parse(frame.data.decode()) for frame in reader.feed(piece)]
    return found


class TestReports:
    def test_one_is_labelled_acknowledged_and_not_kept(self, ledger, serving):
        with connected(serving) as client:
            client.sendall(framed(oru()))
            (answer,) = answers(client)
        assert verdict(answer) == ("AA", "")
        assert str(answer.segment("MSA")[2]) == "77"
        assert str(answer.segment("MSH")[9]) == "ACK^R01^ACK"
        assert (str(answer.segment("MSH")[5]), str(answer.segment("MSH")[12])) == ("RIS", "2.5.1")
        assert [(a, s["Pneumothorax"]) for a, s in kept(ledger)] == [("A1", 1)]
        with ledger.read() as connection:
            rows = connection.execute(text("SELECT * FROM reports")).all()
        assert SECRET not in str(rows)
        assert "IMPRESSION" not in str(rows)

    def test_a_quotation_mark_cuts_no_report_short(self, ledger, serving):
        """In UTF-16 it holds the byte that ends a frame: what is before it is half a report."""
        report = oru(said="IMPRESSION: \u201cNo pneumothorax\u201d was wrong: pneumothorax.")
        wide = report.decode().encode("utf-16-le")
        assert b"\x1c" in wide
        with connected(serving) as client:
            client.sendall(framed(wide))
            (answer,) = answers(client)
        assert verdict(answer) == ("AE", "102")
        assert kept(ledger) == []

    def test_again_after_a_restart_it_is_one(self, ledger, taking):
        assert [told(taking, oru()), told(Hl7Intake(ledger, LEXICON), oru())] == [("AA", "")] * 2
        assert len(kept(ledger)) == 1

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (oru(""), ("AE", "101")),
            (b"MSH|^~\\&|R|H|||1||ORU^R01|1|P|2.5.1\rPID|1||P\r", ("AE", "100")),
            (oru(head="SIU^S12"), ("AR", "200")),
            (oru(head="ADT^A08"), ("AR", "201")),
            (oru(head=""), ("AR", "200")),
            (oru(version="3.0"), ("AR", "203")),
            (oru(version=""), ("AA", "")),
            (b"", ("AR", "100")),
            (b"\x00\xff\xfe", ("AR", "100")),
            (oru().decode().encode("utf-16"), ("AE", "102")),
            (oru().decode().encode("utf-16-le"), ("AE", "102")),
            (oru().decode().encode("utf-16-be"), ("AE", "102")),
            (b"MSH", ("AR", "200")),
            (b"MSH|", ("AR", "200")),
            (oru().replace(b"|", b"#").replace(b"^", b"!"), ("AA", "")),
            (oru().replace(b"\r", b"\n"), ("AA", "")),
            (oru().replace(b"2.5.1", b"2.3"), ("AA", "")),
            (oru(said=YES + " M\u00fcller".encode("latin-1").decode("latin-1")), ("AA", "")),
        ],
    )
    def test_each_gets_its_answer(self, taking, message, said):
        raw = taking.answer(MllpFrame(message))
        if b"#" in raw:
            assert raw.split(b"\r")[1].startswith(b"MSA#AA#77")
        else:
            assert verdict(hl7.parse(raw.decode())) == said

    def test_enhanced_mode_and_several_in_one_frame(self, taking, ledger):
        enhanced = oru().replace(b"|P|2.5.1", b"|P|2.5.1|||AL|NE")
        assert told(taking, enhanced) == ("CA", "")
        said = taking.answer(MllpFrame(b"BHS|^~\\&\r" + oru("A1") + oru("") + b"BTS|2\r")).decode()
        codes = [line.split("|")[1] for line in said.split("\r") if line.startswith("MSA")]
        assert codes == ["AA", "AE"]

    def test_our_own_results_are_not_held_against_the_model(self, taking, ledger):
        assert told(taking, oru().replace(b"RIS", b"monai_cxr")) == ("AA", "")
        assert kept(ledger) == []

    def test_another_patients_report(self, taking, ledger, tmp_path):
        spool = Spool(tmp_path / "spool", reserve_bytes=0)
        intake.receive(ledger, spool, film_bytes(1), source="t")
        assert told(taking, oru(patient="PID2")) == ("AE", "204")
        assert told(taking, oru(patient="PID1")) == ("AA", "")

    def test_a_ledger_that_is_away(self, taking, ledger):
        with ledger.write() as connection:
            connection.execute(text("ALTER TABLE reports RENAME TO elsewhere"))
        assert told(taking, oru()) == ("AR", "207")
        with ledger.write() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO reports"))
        assert told(taking, oru()) == ("AA", "")


class TestFrames:
    def test_noise_cut_and_whole_ones_on_one_line(self, ledger, serving):
        with connected(serving) as client:
            client.sendall(b"\r\nnoise" + framed(oru("A1")) + b"\r\n\r\n")
            client.sendall(framed(oru("A9"))[:90])  # half of one, and then another
            client.sendall(framed(oru("A2")) + framed(oru("A3"))[:-1])  # without its last byte
            found = answers(client, 3)
        assert [verdict(answer)[0] for answer in found] == ["AA"] * 3
        assert [number for number, _ in kept(ledger)] == ["A1", "A2", "A3"]

    def test_byte_by_byte(self, ledger, serving):
        with connected(serving) as client:
            for byte in framed(oru()):
                client.sendall(bytes((byte,)))
            assert verdict(answers(client)[0]) == ("AA", "")

    def test_one_that_is_huge_costs_itself(self, ledger, serving):
        with connected(serving) as client:
            client.sendall(framed(oru("A1", "x" * 3_000_000)) + framed(oru("A2")))
            first, second = answers(client, 2)
        assert (verdict(first), verdict(second)) == (("AE", "207"), ("AA", ""))
        assert str(first.segment("MSA")[2]) == "77"
        assert [number for number, _ in kept(ledger)] == ["A2"]

    def test_half_a_message_has_no_answer(self, ledger, serving):
        with connected(serving) as client:
            client.sendall(framed(oru())[:100])
            client.settimeout(20)
            assert client.recv(10) == b""  # after a second of silence
        assert kept(ledger) == []

    def test_clients_at_once_and_one_too_many(self, ledger, serving):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(serving)) for _ in range(3)]
            for round_ in range(4):
                for number, client in enumerate(clients):
                    client.sendall(framed(oru(f"A{round_}{number}")))
                assert [verdict(answers(client)[0])[0] for client in clients] == ["AA"] * 3
            with connected(serving) as late, contextlib.suppress(ConnectionResetError):
                late.settimeout(20)
                assert late.recv(1) == b""
        assert len(kept(ledger)) == 12

    def test_who_is_not_named_is_not_heard(self, taking):
        with (
            MllpServer(("127.0.0.1", 0), taking.answer, allowed=frozenset({"10.0.0.1"})) as server,
            connected(server) as client,
            contextlib.suppress(ConnectionResetError),
        ):
            client.sendall(framed(oru()))
            client.settimeout(20)
            assert client.recv(1) == b""

    def test_a_port_that_is_taken(self, taking, serving):
        with pytest.raises(SettingsError, match="Choose another port"):
            MllpServer(("127.0.0.1", serving.port), taking.answer, allowed=frozenset())

    def test_a_message_in_hand_is_answered_before_the_end(self, ledger):
        began, going_on = threading.Event(), threading.Event()

        def slow(frame):
            began.set()
            going_on.wait(20)
            return Hl7Intake(ledger, LEXICON).answer(frame)

        server = MllpServer(("127.0.0.1", 0), slow, allowed=frozenset({"127.0.0.1"}))
        with connected(server) as client:
            client.sendall(framed(oru()))
            assert began.wait(20)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            going_on.set()
            assert verdict(answers(client)[0]) == ("AA", "")
            stopping.join(20)
        assert not stopping.is_alive()

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=60)), st.integers(1, 80))
    def test_any_bytes_in_any_pieces(self, parts, most):
        """The same frames, however they are cut; none longer than what is kept of a long one."""
        data = b"".join(parts)
        whole = list(FrameReader(most).feed(data))
        reader = FrameReader(most)
        assert [f for i in range(len(data)) for f in reader.feed(data[i : i + 1])] == whole
        assert all(b"\x1c" not in frame.data for frame in whole)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes_get_an_answer(self, data):
        class Away:
            def __getattr__(self, name):
                raise AssertionError(name)

        for message in (data, b"MSH|^~\\&|" + data):
            assert Hl7Intake(Away(), LEXICON).answer(MllpFrame(message)).startswith(b"MSH")
