"""Mutual TLS: both sides show a certificate, or nothing is said."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from dicom_peers import program
from pacs_films import film_bytes
from tls_files import make_tls_files

from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.screening.ledger import jobs
from monai_cxr.screening.network import storage_scu
from monai_cxr.screening.network.dicom_network import Peer, TlsFiles, client_tls


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, TlsFiles]:
    return make_tls_files(tmp_path_factory.mktemp("tls"), "listener", "sender")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory) -> dict[str, TlsFiles]:
    return make_tls_files(tmp_path_factory.mktemp("other"), "sender", authority="elsewhere")


def store(port: int, tls: TlsFiles | None) -> list[storage_scu.Answer]:
    peer = Peer("MONAI_CXR", "127.0.0.1", port, tls)
    film = DicomInstance("", "", "", "", film_bytes(1))
    return storage_scu.store([film], peer, calling_ae="CXRSCU")


def test_known_sender(taken, files):
    with taken.listener(tls=files["listener"]) as scp:
        assert store(scp.port, files["sender"])[0].status == "0x0000"
    assert len(jobs.lease(taken.ledger, "test", 10)) == 1


def test_plain_dicom_and_strangers_are_refused(taken, files, strangers):
    mixed = replace(strangers["sender"], authorities=files["sender"].authorities)
    with taken.listener(tls=files["listener"]) as scp:
        for tls in (None, mixed):
            with pytest.raises(DeliveryError):
                store(scp.port, tls)
        assert store(scp.port, files["sender"])[0].stored
    assert len(jobs.lease(taken.ledger, "test", 10)) == 1


def test_we_do_not_talk_to_a_stranger(taken, files, strangers):
    with taken.listener(tls=strangers["sender"]) as scp, pytest.raises(DeliveryError):
        store(scp.port, files["sender"])
    assert jobs.lease(taken.ledger, "test", 10) == []


def test_dcmtk_s_storescu(taken, files, tmp_path):
    storescu = program("storescu", package="dcmtk")
    (tmp_path / "film.dcm").write_bytes(film_bytes(1))
    tls = files["sender"]
    plain = [storescu, "-aet", "CXRSCU", "-aec", "MONAI_CXR"]
    shown = ["+tls", str(tls.private_key), str(tls.certificate), "+cf", str(tls.authorities)]
    anonymous = ["+tla", "+cf", str(tls.authorities)]
    with taken.listener(tls=files["listener"]) as scp:
        address = ["127.0.0.1", str(scp.port), str(tmp_path / "film.dcm")]
        codes = [
            subprocess.run([*plain, *extra, *address], capture_output=True, timeout=300).returncode
            for extra in ([], anonymous, shown)
        ]
    assert codes[0] != 0
    assert codes[1] != 0
    assert codes[2] == 0
    assert len(jobs.lease(taken.ledger, "test", 10)) == 1


def test_unfit_files_are_named(files, tmp_path):
    absent = replace(files["sender"], certificate=tmp_path / "absent.pem")
    with pytest.raises(SettingsError, match=r"No such file.*absent\.pem"):
        client_tls(absent)
    (tmp_path / "text.pem").write_text("not a certificate")
    with pytest.raises(SettingsError, match=r"text\.pem"):
        client_tls(replace(files["sender"], certificate=tmp_path / "text.pem"))
