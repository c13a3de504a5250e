"""One report a study: it replaces the one before when a film comes late, or is taken back."""

from __future__ import annotations

import io
from dataclasses import replace

import pydicom
import pytest
from dicom_peers import ORTHANC_USER, errors_of_dciodvfy
from ledger_data import MODEL, facts, prediction
from pacs_films import film_bytes

from monai_cxr.dicom.results.rejection_note import rejection_of
from monai_cxr.screening.arriving import intake, retention
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.dicom_web import DicomWeb
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.receivers.pacs import Pacs
from monai_cxr.screening.delivering.study_reports import study_report_builder
from monai_cxr.screening.ledger import jobs, outbox, rejections, studies
from monai_cxr.screening.ledger.records import Outcome
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.network.dicomweb import DicomWebServer

OF_STUDIES = {"study_sr": study_report_builder(lambda digest: ({}, {}))}


def read(taken, *numbers, study=1, model=MODEL, **attributes) -> None:
    for number in numbers:
        data = film_bytes(number, study=study, **attributes)
        assert intake.receive(taken.ledger, taken.spool, data, source="test")
    finish(taken, model)


def finish(taken, model=MODEL) -> None:
    leased = jobs.lease(taken.ledger, "w", 9)
    made = [Outcome(f.id, prediction(f, model=model), facts=facts(f)) for f in leased]
    assert jobs.finish(taken.ledger, "w", made) == len(leased)


def closed(taken, *names: str) -> int:
    return len(studies.close_quiet(taken.ledger, quiet_seconds=0, report_to=names))


def sent(taken, destination) -> int:
    return sum(
        deliver_batch(taken.ledger, destination, {}, "d", of_studies=OF_STUDIES)[0]
        for _ in range(2)
    )


def cited(report) -> set[str]:
    return {
        str(one.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }


def predecessor(report) -> tuple[str, str, str] | None:
    if "PredecessorDocumentsSequence" not in report:
        return None
    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (one,) = series.ReferencedSOPSequence
    return tuple(map(str, (one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID,
                           series.SeriesInstanceUID)))  # fmt: skip


def address(report) -> tuple[str, str, str]:
    return tuple(map(str, (report.SOPClassUID, report.SOPInstanceUID, report.SeriesInstanceUID)))


@pytest.fixture
def folder(tmp_path):
    return Folder("folder", tmp_path / "out")


def written(folder) -> list[pydicom.Dataset]:
    paths = sorted(folder.path.glob("*.dcm"), key=lambda path: path.stat().st_mtime_ns)
    return [pydicom.dcmread(path) for path in paths]


def test_a_late_film_makes_a_report_that_replaces_the_first(taken, folder, tmp_path):
    read(taken, 1, 2)
    assert closed(taken, "folder") == 1
    assert sent(taken, folder) == 1
    read(taken, 3)
    assert closed(taken, "folder") == 1
    assert sent(taken, folder) == 1
    first, second = written(folder)
    assert (len(cited(first)), len(cited(second))) == (2, 3)
    assert predecessor(first) is None
    assert predecessor(second) == address(first)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert len(second.ContentSequence[-1].ContentSequence) == 3 * 14
    data = (folder.path / f"{second.SOPInstanceUID}.dcm").read_bytes()
    assert errors_of_dciodvfy(data, tmp_path) == []
    assert closed(taken, "folder") == 0
    assert sent(taken, folder) == 0


def test_orthanc_by_both_ways(taken, orthanc):
    """What a PACS took in another class is named as it is there."""
    pacs = Pacs("pacs", Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port), "MONAI_CXR")
    web = DicomWeb("web", DicomWebServer(orthanc.dicom_web, *ORTHANC_USER))
    read(taken, 711, study=710)
    closed(taken, "pacs", "web")
    assert (sent(taken, pacs), sent(taken, web)) == (1, 1)
    read(taken, 712, study=710)
    closed(taken, "pacs", "web")
    assert (sent(taken, pacs), sent(taken, web)) == (1, 1)
    uid = str(pydicom.dcmread(io.BytesIO(film_bytes(711, study=710))).StudyInstanceUID)
    found = sorted(orthanc.instances(uid), key=lambda one: len(cited(one)))
    assert [len(cited(one)) for one in found] == [1, 2]
    assert predecessor(found[1]) == address(found[0])


def test_a_film_taken_back_leaves_the_report(taken, folder):
    read(taken, 1, 2)
    closed(taken, "folder")
    sent(taken, folder)
    uids = sorted(cited(written(folder)[0]))
    rejections.reject(taken.ledger, uids[:1], "113001", source="test")
    assert closed(taken, "folder") == 1
    assert sent(taken, folder) == 1
    rejections.reject(taken.ledger, uids[1:], "113037", source="test")
    assert closed(taken, "folder") == 1
    assert sent(taken, folder) == 1
    first, second, note = written(folder)
    assert cited(second) == set(uids[1:])
    assert predecessor(second) == address(first)
    said = rejection_of(note)
    assert (set(said.sop_uids), said.code) == ({str(second.SOPInstanceUID)}, "113037")


def test_another_model_and_the_same_again(taken, folder):
    read(taken, 1)
    closed(taken, "folder")
    sent(taken, folder)
    jobs.reopen(taken.ledger, MODEL.digest)
    finish(taken)
    assert closed(taken, "folder") == 0  # nothing was read again
    other = replace(MODEL, digest="e" * 64)
    jobs.reopen(taken.ledger, other.digest)
    finish(taken, other)
    assert closed(taken, "folder") == 1
    assert sent(taken, folder) == 1
    first, second = written(folder)
    assert predecessor(second) == address(first)
    assert first.SeriesInstanceUID != second.SeriesInstanceUID  # another device made it
    assert second.DeviceSerialNumber == other.digest


def test_a_version_that_nobody_sent_is_passed_over(taken, folder, tmp_path):
    read(taken, 1)
    closed(taken, "folder")
    read(taken, 2)
    closed(taken, "folder")
    assert sent(taken, folder) == 2
    (only,) = written(folder)
    assert (len(cited(only)), predecessor(only)) == (2, None)
    states = {(d.state, d.last_status) for d in outbox.deliveries(taken.ledger)}
    assert states == {("delivered", "nothing_to_send"), ("delivered", "written")}


def test_a_crash_before_the_commit_sends_the_same_bytes(taken, folder):
    read(taken, 1, 2)
    closed(taken, "folder")
    (delivery,) = outbox.lease(taken.ledger, "d", 9, kinds=["study_sr"])
    made = [OF_STUDIES["study_sr"](taken.ledger, delivery) for _ in range(2)]
    assert made[0].data == made[1].data


def test_its_films_stay_until_it_is_delivered(taken, folder):
    read(taken, 1)
    closed(taken, "folder")
    taken.ledger.clock = lambda clock=taken.ledger.clock: clock() + 10 * 86_400
    assert retention.clean_spool(taken.ledger, taken.spool, keep_days=1) == 0
    assert sent(taken, folder) == 1
    assert retention.clean_spool(taken.ledger, taken.spool, keep_days=1) == 1
