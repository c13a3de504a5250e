"""A running service with two archives, each with reports and heat maps, and an HL7 feed beside."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import hl7
import pydicom
import pytest
from dicom_peers import ORTHANC_USER, free_port, running_orthanc
from sqlalchemy import func, select

from monai_cxr.screening.ledger import counts, open_ledger, signed_reports
from monai_cxr.screening.ledger.schema import audit, outbox
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


def started(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from monai_cxr.cli import main; main()", "screen", "run"]
    environment = os.environ | {"TWO_PASSWORD": ORTHANC_USER[1]}
    with (folder / "log.jsonl").open("ab") as log:
        return subprocess.Popen(
            [*command, "--settings", str(folder / "s.toml")], stdout=log, stderr=log,
            env=environment,
        )  # fmt: skip


def wait_for(process: subprocess.Popen[bytes], folder: Path, condition) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, (folder / "log.jsonl").read_text()[-3000:]
        assert time.monotonic() < deadline, (folder / "log.jsonl").read_text()[-3000:]
        time.sleep(0.1)


def said(port: int, message: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(framed(message))
        client.settimeout(60)
        reader = FrameReader(10**6)
        while not (found := list(reader.feed(client.recv(65_536)))):
            pass
    return str(hl7.parse(found[0].data.decode()).segment("MSA")[1])


@pytest.mark.slow
def test_two_destinations_get_everything_once(
    packaged_bundle, phantom_index, orthanc, second, tmp_path
):
    """Heat maps are drawn in two threads; one kill in the middle changes nothing."""
    (tmp_path / "in").mkdir()
    port = free_port()
    text = SETTINGS.format(
        bundle=packaged_bundle, dicom=orthanc.dicom_port, web=second.dicom_web,
        user=ORTHANC_USER[0], hl7=port,
    )  # fmt: skip
    (tmp_path / "s.toml").write_text(text)
    films = [Path(path) for path in phantom_index.table["path"][-N_FILMS:]]
    for film in films:
        shutil.copy(film, tmp_path / "in")
    process = started(tmp_path)
    try:
        with open_ledger(tmp_path / "ledger.sqlite") as ledger:
            n_sent = lambda: sum(  # noqa: E731
                n for key, n in counts.count(ledger).deliveries.items() if key[2] == "delivered"
            )
            wait_for(process, tmp_path, lambda: n_sent() >= 2 * N_FILMS)
            process.kill()
            process.wait()
            process = started(tmp_path)
            wait_for(process, tmp_path, lambda: n_sent() == 2 * len(KINDS) * N_FILMS)
            header = pydicom.dcmread(films[0], stop_before_pixels=True)
            order = header.get("AccessionNumber") or "A1"
            oru = (
                f"MSH|^~\\&|RIS|H|||20260301||ORU^R01|1|P|2.5.1\rPID|1||{header.PatientID}\r"
                f"OBR|1||{order}|XR|||20260301\rOBX|1|TX|R||No pneumothorax.||||||F\r"
            )
            assert said(port, oru.encode()) == "AA"
            assert [m.report.accession_number for m in signed_reports.matches(ledger)] == [order]
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0
            check(ledger, orthanc, second, films)
    finally:
        process.kill()
        process.wait()


def check(ledger, orthanc, second, films) -> None:
    """Each film's objects are in both archives, once, under its patient."""
    with ledger.read() as connection:
        rows = connection.execute(select(outbox.c.destination, outbox.c.object_uid)).all()
        times = connection.execute(
            select(func.count()).where(audit.c.action == "delivered").group_by(audit.c.subject)
        ).scalars()
        assert set(times) == {2 * len(KINDS)}
    sent = {name: {uid for d, uid in rows if d == name and uid} for name in ("one", "two")}
    assert sent["one"] == sent["two"]
    assert len(sent["one"]) > N_FILMS  # heat maps among them
    for server in (orthanc, second):
        found = Counter()
        for study in {str(pydicom.dcmread(f, stop_before_pixels=True).StudyInstanceUID)
                      for f in films}:  # fmt: skip
            patients = {
                str(pydicom.dcmread(f, stop_before_pixels=True).PatientID) for f in films
                if pydicom.dcmread(f, stop_before_pixels=True).StudyInstanceUID == study
            }  # fmt: skip
            for made in server.instances(study):
                if made.Manufacturer == "monai_cxr":
                    found[str(made.SOPInstanceUID)] += 1
                    assert {str(made.PatientID)} == patients
        assert found.keys() >= sent["one"]
        assert set(found.values()) == {1}
