"""Delivery: done when the receiver said so, and only then; a dead receiver holds up no other."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
import sr_walker as walker
from dicom_peers import ORTHANC_USER, free_port
from http_peer import Quiet, answering
from ledger_data import facts
from pacs_films import film_bytes
from pynetdicom import AE, evt

from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import DeliveryError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.delivering.builders import report_builder
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.dicom_web import DicomWeb
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.receivers.pacs import Pacs
from monai_cxr.screening.ledger import jobs, outbox
from monai_cxr.screening.ledger.records import Outcome
from monai_cxr.screening.network import dicomweb, storage_scu
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.network.storage_scu import Answer

MODEL = ModelIdentity("chest_model", "1.2.0", "ab" * 32)
BUILDERS = {"sr": report_builder({})}


def screen(taken, numbers, destinations) -> None:
    """Receive films and store a result for each, with its deliveries."""
    for number in numbers:
        assert intake.receive(taken.ledger, taken.spool, film_bytes(number), source="test")
    leased = jobs.lease(taken.ledger, "worker", 100)
    scores = tuple(FindingScore(f, 0.0, 0.04 * i + 0.1, i > 7) for i, f in enumerate(FINDING_NAMES))
    outcomes = [
        Outcome(film.id, Prediction(film.key, MODEL, scores), facts=facts(film)) for film in leased
    ]
    deliveries = [("sr", name) for name in destinations]
    assert jobs.finish(taken.ledger, "worker", outcomes, deliveries=deliveries) == len(leased)


def states(taken) -> list[tuple[str, str, str]]:
    found = outbox.deliveries(taken.ledger, limit=1000)
    return sorted((d.destination, d.state, d.last_status) for d in found)


@contextlib.contextmanager
def storage_server(answer):
    """An in-process SCP; ``answer`` maps an event to a status."""
    entity = AE(ae_title="PACS")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.88.34")
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)]
    )
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def pacs(port: int, timeout_seconds: float = 120.0) -> Pacs:
    return Pacs("pacs", Peer("PACS", "127.0.0.1", port, timeout_seconds=timeout_seconds))


class TestFolder:
    def test_reports_appear_whole_and_once(self, taken, tmp_path):
        screen(taken, range(3), ["folder"])
        folder = Folder("folder", tmp_path / "out")
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (3, 0)
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (0, 0)
        written = sorted((tmp_path / "out").iterdir())
        assert len(written) == 3
        for path in written:
            report = pydicom.dcmread(path)
            assert path.stem == report.SOPInstanceUID
            assert len(walker.check_report(report)) == 14

    def test_a_folder_that_cannot_be_written_is_tried_again(self, taken, tmp_path):
        screen(taken, [1], ["folder"])
        (tmp_path / "file").write_text("in the way")
        folder = Folder("folder", tmp_path / "file")
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (0, 1)
        (delivery,) = outbox.deliveries(taken.ledger)
        assert (delivery.state, delivery.attempts) == ("pending", 1)
        outbox.retry(taken.ledger)
        (tmp_path / "file").unlink()
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (1, 0)

    def test_a_film_that_is_away_is_tried_again_and_stops_no_other(self, taken, tmp_path):
        screen(taken, range(2), ["folder"])
        first = Path(outbox.content(taken.ledger, outbox.deliveries(taken.ledger)[0]).film.path)
        data = first.read_bytes()
        first.unlink()
        folder = Folder("folder", tmp_path / "out")
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (1, 1)
        waiting = [d for d in outbox.deliveries(taken.ledger) if d.state == "pending"]
        assert [d.last_error for d in waiting] == ["missing_file"]
        first.write_bytes(data)  # the disk is back
        outbox.retry(taken.ledger)
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (1, 0)


class TestCStore:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            (0x0000, "delivered"),
            (0xB000, "delivered"),
            (0xA700, "pending"),
            (0xC123, "pending"),
            (0x0110, "pending"),
            (0x0122, "failed"),
            (0xA900, "failed"),
        ],
    )
    def test_the_peer_s_word_decides(self, taken, status, state):
        screen(taken, [1], ["pacs"])
        with storage_server(lambda event: status) as port:
            deliver_batch(taken.ledger, pacs(port), BUILDERS, "d")
        assert states(taken) == [("pacs", state, f"0x{status:04X}")]

    def test_no_answer_is_no_delivery(self, taken):
        screen(taken, range(2), ["pacs"])

        def hang_up(event):
            event.assoc.abort()
            return 0x0000

        with storage_server(hang_up) as port:
            peer = pacs(port, timeout_seconds=3.0)  # as long as it waits for the lost answer
            assert deliver_batch(taken.ledger, peer, BUILDERS, "d") == (0, 2)
        found = outbox.deliveries(taken.ledger)
        assert {d.state for d in found} == {"pending"}
        assert {d.last_error for d in found} <= {"no_answer", "association_lost", "aborted"}

    def test_one_refusal_stops_no_other(self, taken):
        screen(taken, range(4), ["pacs"])
        answers = iter([0x0000, 0xA700, 0x0000, 0x0000])
        with storage_server(lambda event: next(answers)) as port:
            assert deliver_batch(taken.ledger, pacs(port), BUILDERS, "d") == (3, 1)

    def test_nobody_there(self, taken):
        screen(taken, [1], ["pacs"])
        assert deliver_batch(taken.ledger, pacs(free_port()), BUILDERS, "d") == (0, 1)
        (delivery,) = outbox.deliveries(taken.ledger)
        assert (delivery.state, delivery.last_error) == ("pending", "connection refused")

    def test_a_class_that_the_peer_does_not_take(self):
        with storage_server(lambda event: 0x0000) as port:
            film = DicomInstance("", "", "", "", film_bytes(1))
            peer = Peer("PACS", "127.0.0.1", port)
            with pytest.raises(DeliveryError, match="no SOP class"):
                storage_scu.store([film], peer, calling_ae="CXRSCU")

    def test_a_dead_receiver_holds_up_no_other(self, taken, tmp_path):
        screen(taken, range(3), ["pacs", "folder"])
        assert deliver_batch(taken.ledger, pacs(free_port()), BUILDERS, "d") == (0, 3)
        folder = Folder("folder", tmp_path / "out")
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (3, 0)
        assert {(name, state) for name, state, _ in states(taken)} == {
            ("folder", "delivered"),
            ("pacs", "pending"),
        }


@dataclass
class _Said:
    status: int = 200
    body: bytes = b""


@contextlib.contextmanager
def stow_server(said: _Said):
    class Handler(Quiet):
        def do_POST(self):  # noqa: N802
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(said.status, "application/dicom+json; charset=utf-8", said.body)

    with answering(Handler) as url:
        yield url


def _references(tag: str, *uids: str, reason: int | None = None) -> dict:
    items = []
    for uid in uids:
        item = {"00081155": {"vr": "UI", "Value": [uid]}}
        if reason is not None:
            item["00081197"] = {"vr": "US", "Value": [reason]}
        items.append(item)
    return {tag: {"vr": "SQ", "Value": items}}


class TestStow:
    @pytest.mark.parametrize(
        ("status", "body", "expected"),
        [
            (200, _references("00081199", "1.2"), Answer(True, "200")),
            (200, _references("00081199", "1.2") | _references("00081198"), Answer(True, "200")),
            (202, _references("00081199", "1.2"), Answer(True, "202")),
            (200, _references("00081199", "9.9"), Answer(False, "200", "no_answer")),
            (200, {}, Answer(False, "200", "no_answer")),
            (409, _references("00081198", "1.2", reason=0xA700),
             Answer(False, "0xA700", "refused")),
            (202, _references("00081199", "1.2") | _references("00081198", "1.2", reason=272),
             Answer(False, "0x0110", "refused")),
            (401, None, Answer(False, "401", "refused")),
            (503, None, Answer(False, "503", "refused")),
            (415, None, Answer(False, "415", "refused", permanent=True)),
        ],
    )  # fmt: skip
    def test_the_service_s_word_decides(self, status, body, expected):
        content = b"<html>" if body is None else json.dumps(body).encode()
        with stow_server(_Said(status, content)) as url:
            server = dicomweb.DicomWebServer(url)
            made = DicomInstance("", "1.2", "", "", b"data")
            assert dicomweb.store([made], server) == [expected]

    def test_nobody_there(self):
        server = dicomweb.DicomWebServer(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(DeliveryError, match="ConnectionError"):
            dicomweb.store([DicomInstance("", "1.2", "", "", b"data")], server)

    def test_secrets_are_not_shown(self):
        server = dicomweb.DicomWebServer("https://x", "user", "geheim", "token123")
        assert "geheim" not in repr(server)
        assert "token123" not in repr(server)


class TestOrthanc:
    """A real PACS: the report lies in the film's study, whichever way it came."""

    def test_c_store_and_stow_put_the_same_report_into_the_study(self, taken, orthanc):
        films = [film_bytes(number) for number in (501, 502)]
        sent = [DicomInstance("", "", "", "", film) for film in films]
        peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port, timeout_seconds=120.0)
        assert all(a.stored for a in storage_scu.store(sent, peer, calling_ae="CXRSCU"))
        screen(taken, (501, 502), ["pacs", "web"])
        web = DicomWeb("web", dicomweb.DicomWebServer(orthanc.dicom_web, *ORTHANC_USER))
        assert deliver_batch(taken.ledger, Pacs("pacs", peer), BUILDERS, "d") == (2, 0)
        assert deliver_batch(taken.ledger, web, BUILDERS, "d") == (2, 0)
        assert (
            states(taken)
            == [("pacs", "delivered", "0x0000")] * 2 + [("web", "delivered", "200")] * 2
        )
        for film in films:
            header = pydicom.dcmread(io.BytesIO(film))
            instances = orthanc.instances(header.StudyInstanceUID)
            assert sorted(i.Modality for i in instances) == ["DX", "SR"]  # not two reports
            report = next(i for i in instances if i.Modality == "SR")
            groups = walker.check_report(report)
            assert len(groups) == 14
            assert {walker.source_uid(group) for group in groups} == {header.SOPInstanceUID}
            assert report.PatientID == header.PatientID

    def test_wrong_password_and_wrong_title_wait(self, taken, orthanc):
        screen(taken, [503], ["pacs", "web"])
        peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port, timeout_seconds=120.0)
        web = DicomWeb("web", dicomweb.DicomWebServer(orthanc.dicom_web, "cxr", "wrong"))
        deliver_batch(taken.ledger, Pacs("pacs", peer, calling_ae="NOBODY"), BUILDERS, "d")
        deliver_batch(taken.ledger, web, BUILDERS, "d")
        assert states(taken) == [("pacs", "pending", ""), ("web", "pending", "401")]


def test_a_corrected_film_has_a_report_of_its_own(taken, tmp_path):
    """corrected-header-dropped, to its end: a receiver keeps the first object of a UID."""
    folder = Folder("folder", tmp_path / "out")
    for patient in ("WRONG-111", "RIGHT-222"):
        film = film_bytes(1, PatientID=patient)
        intake.receive(taken.ledger, taken.spool, film, source="test")
        screen(taken, [], ["folder"])
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (1, 0)
    reports = [pydicom.dcmread(path) for path in (tmp_path / "out").iterdir()]
    assert {report.PatientID for report in reports} == {"WRONG-111", "RIGHT-222"}
    assert len({report.SeriesInstanceUID for report in reports}) == 2
    for report in reports:
        assert len(walker.check_report(report)) == 14
