"""Receivers: what they take, what they have already, and how they say so."""

from __future__ import annotations

import contextlib
import io
import json

import pydicom
import pytest
import sr_walker as walker
from dicom_peers import errors_of_dciodvfy
from http_peer import Quiet, answering
from pacs_films import film_bytes
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt

from monai_cxr.dicom.reader import open_dicom
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.dicom.results.report_document import alternatives
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.screening.network import dicomweb, storage_scu
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.service.doctor import examine
from monai_cxr.screening.settings.checks import settings_of

COMPREHENSIVE_3D, COMPREHENSIVE, ENHANCED, BASIC = (
    f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (34, 33, 22, 11)
)
EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
MODEL = ModelIdentity("chest_model", "1", "ab" * 32)


def report() -> DicomInstance:
    """A report of a film whose text no character set explains."""
    data = film_bytes(1).replace(b"Muster^", b"\xcd\xf5^\xd0\xa1\xb6\xab", 1)
    said = Prediction(open_dicom(data).facts.key, MODEL, (FindingScore("Mass", 0.0, 0.5, True),))
    return structured_report(ReportedFilm(data, said))


@contextlib.contextmanager
def receiver(taken, status=0x0000):
    """A PACS that takes these (class, syntaxes), and what it has received, as bytes."""
    received: list[bytes] = []

    def store(event):
        received.append(event.encoded_dataset())
        return status

    entity = AE(ae_title="PACS")
    entity.add_supported_context("1.2.840.10008.1.1")
    for class_uid, syntaxes in taken:
        entity.add_supported_context(class_uid, syntaxes)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    try:
        yield Peer("PACS", "127.0.0.1", server.socket.getsockname()[1]), received
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("taken", "stored_as"),
    [
        ([(COMPREHENSIVE_3D, [IMPLICIT])], (COMPREHENSIVE_3D, IMPLICIT)),
        ([(COMPREHENSIVE_3D, [EXPLICIT]), (COMPREHENSIVE, [EXPLICIT])],
         (COMPREHENSIVE_3D, EXPLICIT)),
        ([(BASIC, [EXPLICIT]), (ENHANCED, [IMPLICIT]), (COMPREHENSIVE, [EXPLICIT, IMPLICIT])],
         (COMPREHENSIVE, EXPLICIT)),
        ([(ENHANCED, [IMPLICIT])], (ENHANCED, IMPLICIT)),
    ],
    ids=["implicit", "both", "no3d", "enhanced"],
)  # fmt: skip
def test_sr_explicit_3d_only(taken, stored_as):
    made = report()
    with receiver(taken) as (peer, received):
        (answer,) = storage_scu.store([made], peer, calling_ae="US")
    assert (answer.stored, answer.status) == (True, "0x0000")
    found = pydicom.dcmread(io.BytesIO(received[0]))
    assert (found.SOPClassUID, found.file_meta.TransferSyntaxUID) == stored_as
    original = pydicom.dcmread(io.BytesIO(made.data))
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"):
        tag = pydicom.tag.Tag(keyword)
        assert found.get_item(tag).value == original.get_item(tag).value, keyword
    assert len(walker.check_report(found, sop_class_uid=stored_as[0])) == 1
    is_other = stored_as[0] != COMPREHENSIVE_3D
    assert bool(answer.object_uid) == is_other  # a SOP Instance is of one class
    assert found.SOPInstanceUID == (answer.object_uid or made.sop_uid)


def test_a_receiver_that_takes_no_report_says_so():
    with (
        receiver([("1.2.840.10008.5.1.4.1.1.7", [EXPLICIT])]) as (peer, received),
        pytest.raises(Exception, match="no SOP class was accepted"),
    ):
        storage_scu.store([report()], peer, calling_ae="US")
    assert received == []


def test_what_a_receiver_takes_is_asked_without_storing():
    wanted = [COMPREHENSIVE_3D, "1.2.840.10008.5.1.4.1.1.7"]
    with receiver([(ENHANCED, [IMPLICIT])]) as (peer, received):
        taken = storage_scu.negotiate(wanted, peer, calling_ae="US")
    assert (taken, received) == ([COMPREHENSIVE_3D], [])


@pytest.mark.parametrize(
    ("objects", "state"), [(["sr"], "ok"), (["sr", "seg"], "failed")], ids=["sr", "seg"]
)
def test_doctor_tries_what_delivery_needs(tmp_path, objects, state):
    """A C-ECHO that succeeds says nothing of the classes that the results have."""
    with receiver([(COMPREHENSIVE, [EXPLICIT])]) as (peer, received):
        content = {
            "ledger": {"url": f"sqlite:///{tmp_path}/l.sqlite"},
            "spool": {"folder": str(tmp_path / "spool"), "reserve_gib": 0.0},
            "destinations": [
                {"name": "pacs", "kind": "pacs", "objects": objects, "ae_title": "PACS",
                 "host": "127.0.0.1", "port": peer.port},
            ],
        }  # fmt: skip
        checks = {c.name: c for c in examine(settings_of(content, folder=tmp_path))}
    found = checks["destination pacs"]
    assert (found.state, received) == (state, [])
    assert ("does not take seg" in found.text) == (state == "failed")


def test_the_other_classes_pass_dciodvfy(tmp_path):
    data = film_bytes(1)
    said = Prediction(open_dicom(data).facts.key, MODEL, (FindingScore("Mass", 0.0, 0.5, True),))
    made = list(alternatives(structured_report(ReportedFilm(data, said))))
    assert [one.sop_class_uid for one in made] == [COMPREHENSIVE_3D, COMPREHENSIVE, ENHANCED]
    assert len({one.sop_uid for one in made}) == 3
    for one in made:
        assert errors_of_dciodvfy(one.data, tmp_path) == []


class TestDuplicateAnswerCountsAsFailure:
    def test_c_store(self):
        """0x0111: a crash came between the receiver's store and our commit."""
        with receiver([(COMPREHENSIVE_3D, [EXPLICIT])], status=0x0111) as (peer, _):
            (answer,) = storage_scu.store([report()], peer, calling_ae="US")
        assert (answer.stored, answer.status) == (True, "0x0111")

    @pytest.mark.parametrize("has_it", [True, False])
    @pytest.mark.parametrize(
        ("code", "reason"),
        [(409, 45070), (409, 272), (409, None), (200, None), (202, None), (204, None), (500, None)],
    )
    def test_stow(self, code, reason, has_it):
        """Whatever a service says, it is asked whether it has the instance."""
        made = report()
        with service(made, code, reason, has_it) as server:
            (answer,) = dicomweb.store([made], server)
        assert answer.stored == has_it
        assert answer.error == ("" if has_it else answer.error)
        assert not answer.permanent

    def test_a_service_without_3d_gets_the_other_class(self):
        made = report()
        other = list(alternatives(made))[1]
        with service(made, 409, 0x0122, False, takes=other) as server:
            (answer,) = dicomweb.store([made], server)
        assert (answer.stored, answer.object_uid) == (True, other.sop_uid)


@contextlib.contextmanager
def service(made: DicomInstance, code: int, reason: int | None, has_it: bool, takes=None):
    """A DICOMweb service that answers each STOW so, and QIDO for what it has."""

    class Handler(Quiet):
        def do_POST(self) -> None:  # noqa: N802
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if takes is not None and takes.sop_uid.encode() in content:
                self._say(200, {"00081199": _sequence(takes.sop_uid)})
                return
            failed = {} if reason is None else {"00081198": _sequence(made.sop_uid, reason)}
            self._say(code, failed if reason is not None else None)

        def do_GET(self) -> None:  # noqa: N802
            path = f"/dicom-web/studies/{made.study_uid}/instances?SOPInstanceUID={made.sop_uid}"
            match = {"00080018": {"vr": "UI", "Value": [made.sop_uid]}}
            self._say(200, [match] if has_it and self.path == path else [])

        def _say(self, status: int, content: object) -> None:
            body = b"" if content is None else json.dumps(content).encode()
            self.answer(status, "application/dicom+json", body)

    with answering(Handler) as url:
        yield dicomweb.DicomWebServer(f"{url}/dicom-web")


def _sequence(sop_uid: str, reason: int | None = None) -> dict[str, object]:
    item: dict[str, object] = {"00081155": {"vr": "UI", "Value": [sop_uid]}}
    if reason is not None:
        item["00081197"] = {"vr": "US", "Value": [reason]}
    return {"vr": "SQ", "Value": [item]}
