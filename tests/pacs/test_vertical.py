"""All of it: storescu sends, the listener takes, the model reads, the report is in the study."""

from __future__ import annotations

import io
import subprocess

import pydicom
import pytest
import sr_walker as walker
from dicom_peers import ORTHANC_USER, errors_of_dciodvfy, program

from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.screening.delivering.builders import report_builder
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.dicom_web import DicomWeb
from monai_cxr.screening.delivering.receivers.pacs import Pacs
from monai_cxr.screening.ledger import jobs, outbox, quarantine
from monai_cxr.screening.network import dicomweb, storage_scu
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.working.heatmaps import heatmap_builders
from monai_cxr.screening.working.worker import WorkerOptions, run_worker


@pytest.mark.slow
def test_from_storescu_to_the_report_in_the_study(
    taken, orthanc, phantom_index, packaged_bundle, tmp_path
):
    films = sorted(phantom_index.films.rglob("*.dcm"))[:3]
    peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port, timeout_seconds=120.0)
    archived = [DicomInstance("", "", "", "", film.read_bytes()) for film in films]
    assert all(a.stored for a in storage_scu.store(archived, peer, calling_ae="CXRSCU"))

    # The modality sends to us with DCMTK, in whatever syntax it has; nothing is lost on the way.
    storescu = program("storescu", package="dcmtk")
    with taken.listener() as scp:
        for film in films:
            syntax = pydicom.dcmread(film, stop_before_pixels=True).file_meta.TransferSyntaxUID
            proposal = {
                "1.2.840.10008.1.2.5": ["--propose-rle"],
                "1.2.840.10008.1.2.4.80": ["--propose-jls-lossless"],
                "1.2.840.10008.1.2.4.90": ["--propose-j2k-lossless"],
            }.get(str(syntax), [])
            command = [storescu, *proposal, "-aet", "CXRSCU", "-aec", "MONAI_CXR", "127.0.0.1"]
            subprocess.run([*command, str(scp.port), str(film)], check=True, timeout=300)

    model = BundleModel.load(packaged_bundle, device="cpu")
    deliveries = (("sr", "pacs"), ("sr", "web"), ("sc", "pacs"), ("seg", "web"))
    options = WorkerOptions("worker", deliveries=deliveries)
    n = run_worker(taken.ledger, model, options, should_stop=lambda: False, when_idle=lambda: False)
    assert n == len(films)
    assert quarantine.entries(taken.ledger) == []
    assert jobs.n_unfinished(taken.ledger) == 0

    builders = {
        "sr": report_builder(model.operating_points, calibration="per finding"),
        **heatmap_builders(str(packaged_bundle), device="cpu"),
    }
    web = DicomWeb("web", dicomweb.DicomWebServer(orthanc.dicom_web, *ORTHANC_USER))
    for destination in (Pacs("pacs", peer), web):
        assert deliver_batch(taken.ledger, destination, builders, "delivery") == (2 * len(films), 0)
    assert outbox.n_pending(taken.ledger) == 0

    predictions = {p.key.sop_uid: p for p in _results(taken)}
    assert any(score.positive for said in predictions.values() for score in said.scores)
    for film in films:
        header = pydicom.dcmread(film, stop_before_pixels=True)
        reports = [
            i for i in orthanc.instances(header.StudyInstanceUID) if i.Modality == "SR"
            and walker.source_uid(walker.check_report(i)[0]) == header.SOPInstanceUID
        ]  # fmt: skip
        assert len(reports) == 1  # C-STORE and STOW-RS brought the same object
        said = predictions[header.SOPInstanceUID]
        groups = walker.check_report(reports[0])
        assert [walker.probability(g) for g in groups] == pytest.approx(
            [score.probability for score in said.scores], abs=1e-6
        )
        assert [walker.presence(g) == "present" for g in groups] == [
            bool(score.positive) for score in said.scores
        ]
        for modality in ("OT", "SEG"):  # the heat map, as a picture and as a segmentation
            maps = [i for i in orthanc.instances(header.StudyInstanceUID) if i.Modality == modality]
            cited = [_source_uid(i) for i in maps]
            assert (header.SOPInstanceUID in cited) == any(score.positive for score in said.scores)
            for image in maps:
                assert errors_of_dciodvfy(_file_of(image), tmp_path) == []
        assert errors_of_dciodvfy(_file_of(reports[0]), tmp_path) == []

    # What the PACS forwards to us of our own is no film.
    with taken.listener() as scp:
        back = Peer("MONAI_CXR", "127.0.0.1", scp.port, timeout_seconds=120.0)
        returned = DicomInstance("", "", "", "", _file_of(reports[0]))
        assert storage_scu.store([returned], back, calling_ae="CXRSCU")[0].status == "0x0000"
    assert jobs.n_unfinished(taken.ledger) == 0


def _source_uid(image: pydicom.Dataset) -> str:
    if image.Modality == "SEG":
        return (
            image.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
        )
    return image.SourceImageSequence[0].ReferencedSOPInstanceUID


def _file_of(dataset: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _results(taken):
    for delivery in outbox.deliveries(taken.ledger, limit=1000):
        yield outbox.content(taken.ledger, delivery).result.prediction
