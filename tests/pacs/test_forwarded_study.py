"""forwarded-study-loses-films: what travels beside the films of a study stops none of them."""

from __future__ import annotations

import io
import subprocess

import pydicom
import pytest
import requests
from dicom_peers import ORTHANC_USER, free_port, program, running_orthanc
from pacs_films import film_bytes

from monai_cxr.screening.arriving.storage_scp import COMPANION_CLASSES, COMPANION_REASON
from monai_cxr.screening.ledger import jobs, quarantine
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.network.dicom_network import AllowedSender

RDSR, GSPS, KEY_OBJECT = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("88.67", "11.1", "88.59"))
PDF, FOREIGN_SR = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("104.1", "88.33"))


def companion(number: int, sop_class: str) -> bytes:
    """An object of another class in the film's study; little but its class is right."""
    dataset = pydicom.dcmread(io.BytesIO(film_bytes(number, study=1)))
    for keyword in ("PixelData", "Rows", "Columns"):
        del dataset[keyword]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SeriesInstanceUID += f".{number}"
    dataset.Modality = "SR"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def study() -> list[bytes]:
    others = (RDSR, GSPS, KEY_OBJECT, PDF, FOREIGN_SR)
    objects = [companion(10 + n, sop_class) for n, sop_class in enumerate(others)]
    return [*objects, film_bytes(1, study=1), film_bytes(2, study=1)]


def test_forwarded_study_loses_films(taken, tmp_path):
    move_port = free_port()
    with running_orthanc(tmp_path, move_port=move_port) as orthanc:
        for data in study():
            url = f"http://127.0.0.1:{orthanc.http_port}/instances"
            requests.post(url, data=data, auth=ORTHANC_USER, timeout=60).raise_for_status()
        (name,) = orthanc.get("/studies")
        senders = (AllowedSender("ORTHANC"),)
        with taken.listener(ae_title="CXRMOVE", port=move_port, senders=senders):
            url = f"http://127.0.0.1:{orthanc.http_port}/modalities/move/store"
            done = requests.post(url, data=name, auth=ORTHANC_USER, timeout=120)
        assert done.status_code == 200, done.text
    assert jobs.n_unfinished(taken.ledger) == 2
    numbers = counts.count(taken.ledger)
    assert numbers.arrivals == {"new": 2, "ignored": 5}
    assert numbers.drops == {COMPANION_REASON: 5}
    assert quarantine.entries(taken.ledger) == []
    assert len(list(taken.spool.files())) == 2


def test_storescu_that_halts_at_a_refusal(taken, tmp_path):
    storescu = program("storescu", package="dcmtk")
    paths = []
    for n, data in enumerate(study()):
        paths.append(tmp_path / f"{n}.dcm")
        paths[-1].write_bytes(data)
    with taken.listener() as scp:
        command = [storescu, "-R", "-aet", "CXRSCU", "-aec", "MONAI_CXR", "127.0.0.1"]
        done = subprocess.run([*command, str(scp.port), *map(str, paths)], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert jobs.n_unfinished(taken.ledger) == 2


@pytest.mark.parametrize("sop_class", COMPANION_CLASSES)
def test_classes_are_classes(sop_class):
    assert not pydicom.uid.UID(sop_class).name.startswith("1.2")
