"""Archive from a real PACS: a range of study dates by DICOMweb, and by C-FIND and C-MOVE."""

from __future__ import annotations

import json
import shutil
from datetime import date

import pandas as pd
import pydicom
import pytest
from dicom_peers import ORTHANC_USER
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import SettingsError
from monai_cxr.screening.archive.pacs import pacs_archive
from monai_cxr.screening.arriving.spool import SpoolFull
from monai_cxr.screening.network import storage_scu
from monai_cxr.screening.network.dicom_network import Peer

DAYS = (date(2024, 5, 1), date(2024, 5, 2))


@pytest.fixture(scope="module")
def filled(orthanc, phantom_index, tmp_path_factory):
    """Three films of two days, in a PACS that holds other films too."""
    folder = tmp_path_factory.mktemp("dated")
    uids = {}
    sent = []
    for number, film in enumerate(sorted(phantom_index.films.rglob("*.dcm"))[:3]):
        dataset = pydicom.dcmread(film)
        dataset.StudyDate = f"{DAYS[min(number, 1)]:%Y%m%d}"
        dataset.StudyInstanceUID = f"1.2.826.0.1.3680043.10.1479.79.1.{number}"
        dataset.SeriesInstanceUID = f"1.2.826.0.1.3680043.10.1479.79.2.{number}"
        dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.10.1479.79.3.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / film.name)
        uids.setdefault(dataset.StudyDate, []).append(str(dataset.SOPInstanceUID))
        sent.append(DicomInstance("", "", "", "", (folder / film.name).read_bytes()))
    peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port, timeout_seconds=120.0)
    assert all(a.stored for a in storage_scu.store(sent, peer, calling_ae="CXRSCU"))
    return orthanc, uids


def screen(*arguments: object) -> dict:
    result = CliRunner().invoke(app, ["screen", "archive", *map(str, arguments), "--json"])
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    return json.loads(result.stdout)


def test_a_range_of_dates_is_fetched_and_screened_once(
    filled, move_port, packaged_bundle, tmp_path, monkeypatch
):
    orthanc, uids = filled
    out = tmp_path / "out"
    common = ("--bundle", packaged_bundle, "--out", out, "--device", "cpu")
    monkeypatch.setenv("MONAI_CXR_DICOMWEB_USERNAME", ORTHANC_USER[0])
    monkeypatch.setenv("MONAI_CXR_DICOMWEB_PASSWORD", ORTHANC_USER[1])
    first = screen(orthanc.dicom_web, "--first", DAYS[0], "--last", DAYS[0], *common)
    assert (first["n_scored"], first["n_reports"], first["n_new"]) == (1, 1, 1)

    # The other protocol, the whole range, the same folder: only what is missing; then discarded.
    source = f"dimse://ORTHANC@127.0.0.1:{orthanc.dicom_port}"
    listener = f"CXRMOVE@127.0.0.1:{move_port}"
    both = ("--first", DAYS[0], "--last", DAYS[1], "--listener", listener, "--discard-films")
    second = screen(source, *both, *common)
    assert (second["n_scored"], second["n_reports"], second["n_new"]) == (3, 3, 2)
    table = pd.read_parquet(out / "results.parquet")
    assert sorted(table["sop_uid"]) == sorted(uid for day in uids.values() for uid in day)
    assert (table["reason"] == "").all()
    reports = [pydicom.dcmread(path) for path in (out / "sr").glob("*.dcm")]
    assert {str(r.StudyInstanceUID) for r in reports} == set(table["study_uid"])
    assert not list((out / "spool" / "films").rglob("*.dcm"))

    other = tmp_path / "other"
    shutil.copytree(packaged_bundle, other)
    from monai_cxr.bundle.digests import write_digests

    metadata = other / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text() + "\n")
    write_digests(other)
    again = ("--bundle", other, "--out", out, "--device", "cpu")
    refused = CliRunner().invoke(app, ["screen", "archive", source, *map(str, (*both, *again))])
    assert "discarded" in str(refused.exception)


def test_nothing_in_the_range_and_a_path_with_dates(filled, packaged_bundle, tmp_path):
    orthanc, _ = filled
    monkey = pytest.MonkeyPatch()
    with monkey.context() as environment:
        environment.setenv("MONAI_CXR_DICOMWEB_USERNAME", ORTHANC_USER[0])
        environment.setenv("MONAI_CXR_DICOMWEB_PASSWORD", ORTHANC_USER[1])
        command = ["screen", "archive", orthanc.dicom_web, "--first", "1999-01-01"]
        command += ["--last", "1999-01-02", "--bundle", str(packaged_bundle)]
        empty = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert "holds no CR or DX image" in str(empty.exception)
    command = ["screen", "archive", str(tmp_path), "--first", "2024-01-01", "--bundle", "b"]
    path = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert "SOURCE is a path" in str(path.exception)


@pytest.mark.parametrize(
    ("source", "first", "last", "said"),
    [
        ("https://pacs/dicom-web", None, None, "--first and --last"),
        ("https://pacs/dicom-web", DAYS[1], DAYS[0], "in order"),
        ("dimse://pacs:104", *DAYS, "dimse://AET@HOST:PORT"),
        ("dimse://ABCDEFGHIJKLMNOPQ@pacs:104", *DAYS, "dimse://AET@HOST:PORT"),
    ],
)
def test_what_an_address_must_be(source, first, last, said):
    with pytest.raises(SettingsError, match=said):
        pacs_archive(source, first, last)


def test_how_much_disk_must_stay_free(tmp_path):
    assert pacs_archive("https://p/w", *DAYS).reserve_gib == 1.0
    settings = tmp_path / "screening.toml"
    settings.write_text(
        '[ledger]\nurl = "sqlite:///l"\n[spool]\nfolder = "spool"\nreserve_gib = 1e9\n'
        '[[pulls]]\nname = "ward"\nkind = "dicomweb"\nurl = "https://p/w"\n'
    )
    source = pacs_archive("ward", *DAYS, settings=settings)
    with pytest.raises(SpoolFull):
        source.spool(tmp_path).store(b"film")


def test_addresses_and_secrets():
    web = pacs_archive("https://p/w", *DAYS, environment={"MONAI_CXR_DICOMWEB_TOKEN": "secret"})
    assert (web.pull.kind, web.pull.token, web.listener) == ("dicomweb", "secret", None)
    assert "secret" not in repr(web)
    dimse = pacs_archive("dimse://A_PACS@h:104", *DAYS, listener="ME@10.0.0.9:11112")
    assert (dimse.pull.ae_title, dimse.pull.move_destination) == ("A_PACS", "ME")
    assert (dimse.listener.host, dimse.listener.senders[0].host) == ("10.0.0.9", "h")
