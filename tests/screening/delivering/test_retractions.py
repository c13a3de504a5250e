"""Messages that do not hold any more are taken back where they went: by MLLP, on a FHIR server."""

from __future__ import annotations

import contextlib
import socket

import hl7
import pytest
from fhir_peer import JSON, FhirPeer, running
from hl7apy.parser import parse_message
from ledger_data import finish_all
from pacs_films import film_bytes

from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.delivering.delivery import Folder, deliver_batch
from monai_cxr.screening.delivering.receivers.fhir_server import FhirServer
from monai_cxr.screening.delivering.receivers.mllp import Mllp
from monai_cxr.screening.delivering.retractions import retraction_builders
from monai_cxr.screening.delivering.study_messages import message_builder
from monai_cxr.screening.ledger import jobs, outbox, patients, rejections
from monai_cxr.screening.network import fhir_client
from monai_cxr.screening.network.dicomweb.session import DicomWebServer
from monai_cxr.screening.network.mllp import MllpServer
from monai_cxr.screening.network.mllp_client import MllpPeer
from monai_cxr.screening.settings.checks import settings_of

ROOT = "1.2.826.0.1.3680043.10.1479.77"
KINDS = ("hl7", "fhir")
BUILDERS = {kind: message_builder(kind) for kind in KINDS}
BACK = retraction_builders(KINDS)


class Hospital:
    """An interface engine, a FHIR server, and a film of which both have heard."""

    def __init__(self, ledger, spool, engine: Mllp, server: FhirServer, peer: FhirPeer) -> None:
        self.ledger, self.spool, self.peer = ledger, spool, peer
        self.destinations = (engine, server)
        self.heard: list[hl7.Message] = []

    def film(self, number: int, **header: object) -> str:
        data = film_bytes(number, side=64, **header)
        return intake.receive(self.ledger, self.spool, data, source="t").outcome

    def report(self) -> None:
        wanted = [("hl7", "engine"), ("fhir", "server")]
        finish_all(self.ledger, deliveries=wanted, positive=("Mass",))
        self.deliver()

    def deliver(self) -> list[int]:
        """How many were delivered to each, of which none failed."""
        done = []
        for destination in self.destinations:
            n, n_failed = deliver_batch(
                self.ledger, destination, BUILDERS, "d", of_studies=BACK
            )  # fmt: skip
            assert n_failed == 0
            done.append(n)
        return done

    def told(self) -> hl7.Message:
        """The engine's last message."""
        text = str(self.heard[-1])
        assert parse_message(text).validate()
        return self.heard[-1]


@pytest.fixture
def hospital(ledger, tmp_path):
    peer = FhirPeer()
    spool = Spool(tmp_path / "spool", reserve_bytes=0)

    def answer(frame) -> bytes:
        message = hl7.parse(frame.data.decode())
        there.heard.append(message)
        return f"MSH|^~\\&|E\rMSA|AA|{message.segment('MSH')[10]}\r".encode()

    with contextlib.ExitStack() as stack:
        local = frozenset({"127.0.0.1"})
        port = stack.enter_context(MllpServer(("127.0.0.1", 0), answer, allowed=local)).port
        url = stack.enter_context(running(peer))
        engine = Mllp("engine", MllpPeer("127.0.0.1", port, timeout_seconds=10.0))
        server = FhirServer("server", DicomWebServer(url))
        there = Hospital(ledger, spool, engine, server, peer)
        yield there


def observed(message: hl7.Message) -> list[tuple[str, str, str]]:
    """(identifier, sub-ID, value) of each observation."""
    return [(str(o[3]), str(o[4]), str(o[5])) for o in message.segments("OBX")]


def statuses(message: hl7.Message) -> set[str]:
    return {str(o[11]) for o in message.segments("OBX")}


def said_of(resource: dict) -> tuple[str, str]:
    return resource["status"], resource["subject"]["identifier"]["value"]


class TestRejected:
    @pytest.mark.parametrize(("code", "status"), [("113001", "D"), ("113038", "W")])
    def test_each_receiver_hears_it_once(self, hospital, code, status):
        hospital.film(1)
        hospital.report()
        first = hospital.told()
        (report,) = hospital.peer.of("DiagnosticReport")
        assert (statuses(first), report["status"]) == ({"P"}, "preliminary")
        n_held = len(hospital.peer.held)
        rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], code, source="t")
        assert hospital.deliver() == [1, 1]
        assert hospital.deliver() == [0, 0]
        last = hospital.told()
        assert statuses(last) == {status}
        assert observed(last) == observed(first)  # each observation that was sent, and no other
        assert str(last.segment("PID")) == str(first.segment("PID"))
        assert str(last.segment("OBR")[3]) == str(first.segment("OBR")[3])
        assert str(last.segment("OBR")[25]) == "C"
        assert str(last.segment("MSH")[10]) != str(first.segment("MSH")[10])
        assert len(hospital.peer.held) == n_held  # the same resources
        said = hospital.peer.of("DiagnosticReport") + hospital.peer.of("Observation")
        assert {one["status"] for one in said} == {"entered-in-error"}
        assert hospital.peer.of("ImagingStudy")[0]["status"] == "available"

    def test_what_has_not_gone_out_is_not_mentioned(self, hospital):
        hospital.film(1)
        finish_all(hospital.ledger, deliveries=[("hl7", "engine"), ("fhir", "server")])
        rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], "113001")
        assert hospital.deliver() == [0, 0]
        assert (hospital.heard, hospital.peer.held) == ([], {})

    def test_the_film_is_not_needed(self, hospital):
        """What was sent is taken back, whatever has become of the film's file."""
        hospital.film(1)
        hospital.report()
        rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], "113001")
        for path in hospital.spool.files():
            path.unlink()
        assert hospital.deliver() == [1, 1]
        assert statuses(hospital.told()) == {"D"}

    def test_an_engine_that_is_away_hears_it_later(self, hospital, tmp_path):
        hospital.film(1)
        hospital.report()
        rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], "113001")
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            away = Mllp("engine", MllpPeer("127.0.0.1", nobody.getsockname()[1]))
            assert deliver_batch(hospital.ledger, away, BUILDERS, "d", of_studies=BACK) == (0, 1)
        assert rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], "113001") == 1  # and again
        outbox.retry(hospital.ledger)
        assert hospital.deliver() == [1, 1]
        assert len(hospital.heard) == 2

    def test_in_a_folder_too(self, hospital, tmp_path):
        hospital.film(1)
        finish_all(hospital.ledger, deliveries=[("hl7", "out"), ("fhir", "out")])
        out = Folder("out", tmp_path / "out")
        deliver_batch(hospital.ledger, out, BUILDERS, "d", of_studies=BACK)
        before = set((tmp_path / "out").iterdir())
        rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], "113001")
        assert deliver_batch(hospital.ledger, out, BUILDERS, "d", of_studies=BACK) == (2, 0)
        new = set((tmp_path / "out").iterdir()) - before
        assert sorted(path.suffix for path in new) == [".hl7", ".json"]


class TestCorrected:
    def test_the_wrong_patient_s_message_is_marked_wrong(self, hospital):
        """The same pixels with another patient's header: what was said of the first is not so."""
        hospital.film(1, PatientID="WRONG")
        hospital.report()
        first = hospital.told()
        assert hospital.film(1, PatientID="RIGHT") == "corrected"
        hospital.report()
        wrong, right = hospital.heard[-2:]
        assert (str(wrong.segment("PID")[3]), statuses(wrong)) == ("WRONG", {"W"})
        assert (str(right.segment("PID")[3]), statuses(right)) == ("RIGHT", {"P"})
        numbers = [str(m.segment("MSH")[10]) for m in (first, wrong, right)]
        assert len(set(numbers)) == 3
        reports = sorted(map(said_of, hospital.peer.of("DiagnosticReport")))
        assert reports == [("entered-in-error", "WRONG"), ("preliminary", "RIGHT")]

    def test_and_then_another_one(self, hospital):
        for patient in ("A", "B", "C"):
            hospital.film(1, PatientID=patient)
            hospital.report()
        reports = sorted(map(said_of, hospital.peer.of("DiagnosticReport")))
        wrong = "entered-in-error"
        assert reports == [(wrong, "A"), (wrong, "B"), ("preliminary", "C")]
        rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], "113001")
        hospital.deliver()
        assert {one["status"] for one in hospital.peer.of("DiagnosticReport")} == {wrong}
        assert [statuses(m).pop() for m in hospital.heard] == ["P", "W", "P", "W", "P", "D"]


class TestMerged:
    def test_what_was_sent_goes_to_the_surviving_patient(self, hospital):
        for number in (1, 2):
            hospital.film(number, PatientID="OLD")
        hospital.film(3, PatientID="OTHER")
        hospital.report()
        first = hospital.heard[0]
        assert patients.merge(hospital.ledger, "OLD", "NEW", source="t") == 2
        assert hospital.deliver() == [2, 2]
        assert hospital.deliver() == [0, 0]
        again = hospital.heard[3]
        assert str(again.segment("PID")[3]) == "NEW"
        assert observed(again) == observed(first)
        assert str(again.segment("MSH")[10]) != str(first.segment("MSH")[10])
        reports = sorted(map(said_of, hospital.peer.of("DiagnosticReport")))
        now = "preliminary"
        assert reports == [(now, "NEW"), (now, "NEW"), (now, "OTHER")]

    def test_rejected_before_it_went_out_again(self, hospital):
        hospital.film(1, PatientID="OLD")
        hospital.report()
        patients.merge(hospital.ledger, "OLD", "NEW", source="t")
        rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], "113001")
        assert hospital.deliver() == [1, 1]
        assert statuses(hospital.told()) == {"D"}
        assert {one["status"] for one in hospital.peer.of("Observation")} == {"entered-in-error"}

    def test_a_rejected_film_stays_so(self, hospital):
        hospital.film(1, PatientID="OLD")
        hospital.report()
        rejections.reject(hospital.ledger, [f"{ROOT}.1.1"], "113001")
        hospital.deliver()
        patients.merge(hospital.ledger, "OLD", "NEW", source="t")
        assert hospital.deliver() == [0, 0]
        assert jobs.film(hospital.ledger, f"{ROOT}.1.1").key.patient_id == "NEW"


NOT_ALL = b'{"type":"transaction-response","entry":[{"response":{"status":"404"}}]}'


class TestFhirServer:
    @pytest.mark.parametrize(
        ("odd", "stored", "permanent"),
        [
            ((200, JSON, b""), True, False),
            ((200, JSON, b'{"type":"transaction-response","entry":[]}'), True, False),
            ((200, JSON, NOT_ALL), False, False),
            ((200, JSON, b'{"type":"batch-response","entry":[]}'), False, False),
            ((200, "text/html", b"<html>Log in</html>"), False, False),
            ((200, JSON, b"null"), False, False),
            ((200, JSON, b"[]"), False, False),
            ((200, JSON, b'{"a":'), False, False),
            ((200, JSON, b"[" * 100_000), False, False),
            ((200, JSON, b"\xff"), False, False),
            ((301, JSON, b""), False, False),
            ((401, JSON, b""), False, False),
            ((429, JSON, b""), False, False),
            ((500, JSON, b""), False, False),
            ((422, JSON, b"{}"), False, True),
        ],
    )
    def test_what_it_says_decides(self, odd, stored, permanent):
        with running(FhirPeer(odd=odd)) as url:
            (answer,) = fhir_client.send([b"{}"], DicomWebServer(url))
        assert (answer.stored, answer.permanent) == (stored, permanent)
        assert answer.status == f"HTTP {odd[0]}"

    def test_nobody_there_and_nobody_of_the_kind(self):
        with running(FhirPeer()) as url:
            assert fhir_client.probe(DicomWebServer(url)) == "4.0.1"
        with pytest.raises(DeliveryError, match="refused"):
            fhir_client.probe(DicomWebServer(url))
        with pytest.raises(DeliveryError, match="refused"):
            fhir_client.send([b"{}"], DicomWebServer(url))
        for odd in ((200, "text/html", b"<html>"), (404, JSON, b""), (200, JSON, b"[]")):
            with running(FhirPeer(odd=odd)) as url, pytest.raises(DeliveryError):
                fhir_client.probe(DicomWebServer(url))

    def test_its_table(self, tmp_path):
        base = {"ledger": {"url": "sqlite:///x"}, "spool": {"folder": "s"}}
        table = {"name": "f", "kind": "fhir", "url": "http://h/fhir", "objects": ["fhir"]}
        settings = settings_of({**base, "destinations": [table]}, folder=tmp_path)
        assert settings.destinations[0].objects == ("fhir",)
        for wrong in ({"objects": ["hl7"]}, {"url": ""}, {"ae_title": "X"}):
            with pytest.raises(SettingsError):
                settings_of({**base, "destinations": [table | wrong]}, folder=tmp_path)
