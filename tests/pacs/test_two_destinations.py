"""A running service with two archives, each with reports and heat maps, and an HL7 feed beside."""

from __future__ import annotations

import shutil
import signal
import socket
from collections import Counter
from pathlib import Path

import hl7
import pydicom
import pytest
from dicom_peers import ORTHANC_USER, free_port, running_orthanc
from running_service import Running
from sqlalchemy import func, select

from monai_cxr.screening.ledger import jobs, open_ledger, outbox
from monai_cxr.screening.ledger.people import signed_reports
from monai_cxr.screening.ledger.schema import audit
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.network.mllp import FrameReader, framed

N_FILMS = 6
KINDS = ("sr", "sc", "seg")
SETTINGS = """
[ledger]
url = "sqlite:///ledger.sqlite"
[spool]
folder = "spool"
reserve_gib = 0
[model]
bundle = "{bundle}"
device = "cpu"
[watch]
folder = "in"
settle_seconds = 0.1
[health]
port = 0
[hl7]
port = {hl7}
senders = ["127.0.0.1"]
[[destinations]]
name = "one"
kind = "pacs"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {dicom}
timeout_seconds = 120
objects = ["sr", "sc", "seg"]
[[destinations]]
name = "two"
kind = "dicomweb"
url = "{web}"
username = "{user}"
password_env = "TWO_PASSWORD"
timeout_seconds = 120
objects = ["sr", "sc", "seg"]
"""


@pytest.fixture
def second(tmp_path, move_port):
    (tmp_path / "second").mkdir()
    with running_orthanc(tmp_path / "second", move_port=move_port) as server:
        yield server


def n_sent(numbers: counts.Counts) -> int:
    return sum(n for key, n in numbers.deliveries.items() if key[2] == "delivered")


def header_of(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)


def said(port: int, message: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(framed(message))
        client.settimeout(60)
        reader = FrameReader(10**6)
        while not (found := list(reader.feed(client.recv(65_536)))):
            pass
    return str(hl7.parse(found[0].data.decode()).segment("MSA")[1])


@pytest.mark.slow
def test_sc_to_two_destinations_segfault(packaged_bundle, phantom_index, orthanc, second, tmp_path):
    """Heat maps are drawn in two threads; one kill in the middle changes nothing."""
    port, url = free_port(), f"sqlite:///{tmp_path}/ledger.sqlite"
    text = SETTINGS.format(
        bundle=packaged_bundle, dicom=orthanc.dicom_port, web=second.dicom_web,
        user=ORTHANC_USER[0], hl7=port,
    )  # fmt: skip
    service = Running(tmp_path, text, url, TWO_PASSWORD=ORTHANC_USER[1])
    films = [Path(path) for path in phantom_index.table["path"][-N_FILMS:]]
    for film in films:
        shutil.copy(film, tmp_path / "in")
    with service, open_ledger(url) as ledger:
        service.start()
        service.wait_for(lambda numbers: n_sent(numbers) >= 2 * N_FILMS)
        service.stop(signal.SIGKILL)
        service.start()
        service.wait_for(lambda _: jobs.n_unfinished(ledger) == outbox.n_pending(ledger) == 0)
        taken = [jobs.film(ledger, str(header_of(path).SOPInstanceUID)) for path in films]
        read = [f for f, one in zip(films, taken, strict=True) if one.state == "completed"]
        assert len(read) >= N_FILMS - 1  # the model takes some for no chest
        assert n_sent(counts.count(ledger)) == 2 * len(KINDS) * len(read)
        header = header_of(read[0])
        order = header.get("AccessionNumber") or "A1"
        oru = (
            f"MSH|^~\\&|RIS|H|||20260301||ORU^R01|1|P|2.5.1\rPID|1||{header.PatientID}\r"
            f"OBR|1||{order}|XR|||20260301\rOBX|1|TX|R||No pneumothorax.||||||F\r"
        )
        assert said(port, oru.encode()) == "AA"
        assert [m.report.accession_number for m in signed_reports.matches(ledger)] == [order]
        assert service.stop(signal.SIGTERM) == 0
        check(ledger, orthanc, second, read)


def check(ledger, orthanc, second, films) -> None:
    """Each film's objects are in both archives, once, under its patient."""
    rows = [(d.destination, d.object_uid) for d in outbox.deliveries(ledger, limit=1000)]
    with ledger.read() as connection:
        times = connection.execute(
            select(func.count()).where(audit.c.action == "delivered").group_by(audit.c.subject)
        ).scalars()
        assert set(times) == {2 * len(KINDS)}
    sent = {name: {uid for d, uid in rows if d == name and uid} for name in ("one", "two")}
    assert sent["one"] == sent["two"]
    assert len(sent["one"]) > len(films)  # heat maps among them
    patients = {str(h.StudyInstanceUID): str(h.PatientID) for h in map(header_of, films)}
    for server in (orthanc, second):
        found = Counter()
        for study, patient in patients.items():
            for made in server.instances(study):
                if made.Manufacturer == "monai_cxr":
                    found[str(made.SOPInstanceUID)] += 1
                    assert made.PatientID == patient
        assert found.keys() >= sent["one"]
        assert set(found.values()) == {1}
