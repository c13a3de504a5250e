"""A page for each film in a real PACS, and reports in the class that a receiver gets first."""

from __future__ import annotations

import io

import pydicom
import pytest
import requests
import sr_walker as walker
from dicom_peers import ORTHANC_USER, errors_of_dciodvfy
from ledger_data import finish_all
from pacs_films import film_bytes
from pdf_text import pdf_text

from monai_cxr.dicom.results.encapsulated_pdf import encapsulated_pdf
from monai_cxr.dicom.results.rejection_note import rejection_of
from monai_cxr.findings import finding_of
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.delivering.builders import report_builder
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.dicom_web import DicomWeb
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.receivers.pacs import Pacs
from monai_cxr.screening.ledger import outbox, rejections
from monai_cxr.screening.network import dicomweb
from monai_cxr.screening.network.dicom_network import Peer

ROOT = "1.2.826.0.1.3680043.10.1479.77"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
COMPREHENSIVE, ENHANCED = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.22"
BUILDERS = {"sr": report_builder({}), "pdf": report_builder({}, write=encapsulated_pdf)}


def pacs(orthanc, **options) -> Pacs:
    peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port, timeout_seconds=120.0)
    return Pacs("pacs", peer, **options)


def web(orthanc, **options) -> DicomWeb:
    return DicomWeb("web", dicomweb.DicomWebServer(orthanc.dicom_web, *ORTHANC_USER), **options)


def screen(taken, number: int, deliveries) -> None:
    intake.receive(taken.ledger, taken.spool, film_bytes(number), source="test")
    finish_all(taken.ledger, deliveries=deliveries, positive=("Mass",))


def test_a_pdf_lies_in_the_study_once_whichever_way_it_came(taken, orthanc, tmp_path):
    screen(taken, 611, [("pdf", "pacs"), ("pdf", "web"), ("pdf", "folder")])
    folder = Folder("folder", tmp_path / "out")
    for destination in (pacs(orthanc), web(orthanc), folder):
        assert deliver_batch(taken.ledger, destination, BUILDERS, "d") == (1, 0)
    (written,) = (tmp_path / "out").iterdir()
    (found,) = requests.post(
        f"http://127.0.0.1:{orthanc.http_port}/tools/find",
        json={"Level": "Instance", "Query": {"StudyInstanceUID": f"{ROOT}.2.611"}},
        auth=ORTHANC_USER,
        timeout=60,
    ).json()
    document = orthanc.get(f"/instances/{found}/pdf")
    lines = pdf_text(document[: document.rindex(b"%%EOF") + 6])
    (delivery, *_) = outbox.deliveries(taken.ledger)
    for score in outbox.content(taken.ledger, delivery).result.prediction.scores:
        at = lines.index(finding_of(score.finding).title)
        assert lines[at + 1] == f"{score.probability:.3f}"
        assert lines[at + 2] == ("present" if score.positive else "absent")
    (stored,) = orthanc.instances(f"{ROOT}.2.611")
    assert (stored.SOPClassUID, stored.SOPInstanceUID) == (PDF, written.stem)
    assert stored.PatientID == "PID611"
    assert errors_of_dciodvfy(written.read_bytes(), tmp_path) == []
    again = BUILDERS["pdf"](outbox.content(taken.ledger, delivery))
    assert again.data == written.read_bytes()  # a resend is the same object


def test_a_corrected_film_has_a_page_of_its_own(taken, tmp_path):
    folder = Folder("folder", tmp_path / "out")
    for patient in ("WRONG-111", "RIGHT-222"):
        film = film_bytes(1, PatientID=patient)
        intake.receive(taken.ledger, taken.spool, film, source="test")
        finish_all(taken.ledger, deliveries=[("pdf", "folder")])
        assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (1, 0)
    pages = [pydicom.dcmread(path) for path in (tmp_path / "out").iterdir()]
    assert {page.PatientID for page in pages} == {"WRONG-111", "RIGHT-222"}
    for page in pages:
        assert pdf_text(page.EncapsulatedDocument[: page.EncapsulatedDocumentLength])


def test_what_went_out_is_taken_back(taken, tmp_path):
    """A note names the page, and a report in the class that it was sent in."""
    screen(taken, 612, [("pdf", "folder"), ("sr", "folder")])
    folder = Folder("folder", tmp_path / "out", sr_class="comprehensive")
    assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (2, 0)
    sent = {path.stem: pydicom.dcmread(path) for path in (tmp_path / "out").iterdir()}
    assert rejections.reject(taken.ledger, [f"{ROOT}.1.612"], "113001") == 1
    assert deliver_batch(taken.ledger, folder, BUILDERS, "d") == (1, 0)
    (path,) = (one for one in (tmp_path / "out").iterdir() if one.stem not in sent)
    note = pydicom.dcmread(path)
    assert set(rejection_of(note).sop_uids) == set(sent)
    assert {item.ValueType for item in note.ContentSequence} == {"COMPOSITE"}
    for series in note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence:
        (reference,) = series.ReferencedSOPSequence
        one = sent[reference.ReferencedSOPInstanceUID]
        assert (reference.ReferencedSOPClassUID, series.SeriesInstanceUID) == (
            one.SOPClassUID,
            one.SeriesInstanceUID,
        )
    assert errors_of_dciodvfy(path.read_bytes(), tmp_path) == []


@pytest.mark.parametrize(
    ("sr_class", "uid"), [("comprehensive", COMPREHENSIVE), ("enhanced", ENHANCED)]
)
def test_a_report_goes_first_in_the_class_that_is_set(taken, orthanc, tmp_path, sr_class, uid):
    number = {"comprehensive": 613, "enhanced": 614}[sr_class]
    screen(taken, number, [("sr", "pacs"), ("sr", "web"), ("sr", "folder")])
    folder = Folder("folder", tmp_path / "out", sr_class=sr_class)
    for destination in (pacs(orthanc, sr_class=sr_class), web(orthanc, sr_class=sr_class), folder):
        assert deliver_batch(taken.ledger, destination, BUILDERS, "d") == (1, 0)
    (stored,) = orthanc.instances(f"{ROOT}.2.{number}")
    (written,) = (tmp_path / "out").iterdir()
    assert stored.SOPInstanceUID == written.stem
    assert {d.object_uid for d in outbox.deliveries(taken.ledger)} == {written.stem}
    walker.check_report(stored, sop_class_uid=uid)
    stream = io.BytesIO()
    stored.save_as(stream)
    assert errors_of_dciodvfy(stream.getvalue(), tmp_path) == []
