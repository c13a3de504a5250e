"""Doctor: each thing that the settings name is tried, and what is wrong says what to do."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from dicom_peers import free_port

from monai_cxr.screening.ledger import audit, open_ledger
from monai_cxr.screening.service import doctor
from monai_cxr.screening.settings.checks import read_settings

LISTENER = """
[listener]
port = 11112
senders = [{{ ae_title = "PACS1", host = "{host}" }}]
"""
PEER = """
[[destinations]]
name = "peer"
kind = "pacs"
ae_title = "PACS1"
host = "127.0.0.1"
port = {port}
"""
WEB = """
[[{table}]]
name = "web"
kind = "dicomweb"
url = "http://127.0.0.1:{port}/dicom-web"
"""


def _checks(folder: Path, more: str = "", reserve_gib: float = 0) -> dict[str, doctor.DoctorCheck]:
    path = folder / "screening.toml"
    path.write_text(
        f'[ledger]\nurl = "sqlite:///{folder}/ledger.sqlite"\n'
        f'[spool]\nfolder = "spool"\nreserve_gib = {reserve_gib}\n{more}'
    )
    return {check.name: check for check in doctor.examine(read_settings(path))}


def _is_failed(check: doctor.DoctorCheck, *words: str) -> bool:
    return check.state == doctor.FAILED and all(word in check.text for word in words)


def test_nothing_is_wrong(tmp_path):
    (tmp_path / "in").mkdir()
    watch = '[watch]\nfolder = "in"\n' + LISTENER.format(host="127.0.0.1")
    checks = _checks(tmp_path, watch)
    assert {name: check.state for name, check in checks.items() if name != "sqlite"} == {
        "ledger": "ok",
        "spool": "ok",
        "watch folder": "ok",
        "listener": "ok",
    }
    assert "senders: 1" in checks["listener"].text


def test_a_disk_below_its_reserve(tmp_path):
    assert _is_failed(_checks(tmp_path, reserve_gib=1e6)["spool"], "reserve_gib", "1e+06")


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_watch_folder_that_is_none(tmp_path, folder):
    (tmp_path / "file").touch()
    assert _is_failed(_checks(tmp_path, f'[watch]\nfolder = "{folder}"\n')["watch folder"])


def test_an_audit_trail_that_somebody_changed(tmp_path):
    _checks(tmp_path)
    with open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        for _ in range(3):
            audit.append(ledger, "test", "backup")
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        triggers = connection.execute("select name from sqlite_master where type = 'trigger'")
        for (name,) in triggers.fetchall():
            connection.execute(f"drop trigger {name}")
        connection.execute("update audit set actor = 'nobody' where rowid = 2")
    assert _is_failed(_checks(tmp_path)["ledger"], "broken at entry 2", "restore a backup")


def test_a_bundle_with_a_changed_byte(tmp_path, packaged_bundle):
    copy = tmp_path / "bundle"
    shutil.copytree(packaged_bundle, copy)
    assert _checks(tmp_path, '[model]\nbundle = "bundle"\n')["bundle"].state == doctor.OK
    weights = copy / "models" / "model.pt"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert _is_failed(_checks(tmp_path, '[model]\nbundle = "bundle"\n')["bundle"])


def test_a_sender_whose_host_has_no_address(tmp_path):
    check = _checks(tmp_path, LISTENER.format(host="no-such-host.invalid"))["listener"]
    assert _is_failed(check, "no-such-host.invalid")


def test_a_listener_without_its_certificate(tmp_path):
    tls = '[listener.tls]\ncertificate = "no.pem"\nprivate_key = "no.key"\nauthorities = "no.pem"\n'
    assert _is_failed(_checks(tmp_path, LISTENER.format(host="127.0.0.1") + tls)["listener"])


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # pynetdicom's socket
def test_peers_that_do_not_answer(tmp_path):
    port = free_port()
    pulls = WEB.format(table="pulls", port=port)
    checks = _checks(tmp_path, PEER.format(port=port) + pulls)
    assert _is_failed(checks["destination peer"], "Check the address")
    assert _is_failed(checks["pull web"], "Check the address")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    more = '[[destinations]]\nname = "out"\nkind = "folder"\npath = "file/out"\n'
    assert _is_failed(_checks(tmp_path, more)["destination out"])
