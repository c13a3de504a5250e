"""DICOMweb services that break the standard: each costs an object or a query, never the pull."""

from __future__ import annotations

import io
import json
from datetime import date
from functools import partial
from pathlib import Path

import pydicom
import pytest
from dicom_peers import ORTHANC_USER, free_port, running_orthanc
from hostile_dicomweb import ODD_OBJECTS, ODD_PAGES, ODD_STORES, HostileDicomWeb, running
from odd_wire import RIGHT_OBJECTS, RIGHT_PAGES, WRONG_OBJECTS, WRONG_PAGES
from pacs_films import film_bytes
from tls_files import make_tls_files
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.pull import DicomWebSource, IncompletePull, pull
from monai_cxr.screening.arriving.query_retrieve import QueryRetrieve
from monai_cxr.screening.ledger import jobs, open_ledger, quarantine
from monai_cxr.screening.network import dicomweb, storage_scu
from monai_cxr.screening.network.dicom_network import Peer, server_tls
from monai_cxr.screening.network.dicomweb import DicomWebServer
from monai_cxr.screening.network.storage_scu import Answer
from monai_cxr.screening.service.parts import dicomweb_of
from monai_cxr.screening.settings.checks import settings_of

DAY = date(2026, 1, 5)


def films(n: int, first: int = 5_000) -> list[tuple[str, str, str, bytes]]:
    made = []
    for number in range(first, first + n):
        data = film_bytes(number, side=64)
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        uids = header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
        made.append((*map(str, uids), data))
    return made


def source_of(taken, url: str, **server) -> DicomWebSource:
    receive = partial(intake.receive, taken.ledger, taken.spool, source="pull web")
    return DicomWebSource("web", DicomWebServer(url, **server), receive)


class TestOddAnswerEndsService:
    @pytest.mark.parametrize("odd", [*ODD_OBJECTS, "cut", "silent"])
    def test_one_odd_object_costs_itself(self, taken, odd):
        there = films(3)
        service = HostileDicomWeb(there, odd_objects={there[1][2]: odd})
        with running(service) as url:
            source = source_of(taken, url, timeout_seconds=1.0)
            with pytest.raises(IncompletePull, match="not_retrieved") as incomplete:
                pull(taken.ledger, source, DAY, DAY)
            assert incomplete.value.pulled.n_fetched == 2
            (entry,) = quarantine.entries(taken.ledger)
            assert (entry.reason, entry.sop_uid) == ("not_retrieved", there[1][2])
            service.odd_objects.clear()  # the PACS has mended it
            assert pull(taken.ledger, source, DAY, DAY).n_fetched == 1
        assert jobs.n_unfinished(taken.ledger) == 3
        assert quarantine.entries(taken.ledger) == []

    @pytest.mark.parametrize("odd", [*RIGHT_OBJECTS, *WRONG_OBJECTS])
    def test_an_object_in_an_odd_form_and_no_whole_object(self, taken, odd):
        """One that is whole is taken; of one that is not, nothing stays that hides the good one."""
        there = films(2)
        service = HostileDicomWeb(there, odd_objects={there[0][2]: odd})
        with running(service) as url:
            source = source_of(taken, url, timeout_seconds=2.0)
            if odd in RIGHT_OBJECTS:
                assert pull(taken.ledger, source, DAY, DAY).n_fetched == 2
            else:
                with pytest.raises(IncompletePull, match="not be retrieved"):
                    pull(taken.ledger, source, DAY, DAY)
                service.odd_objects.clear()
                assert pull(taken.ledger, source, DAY, DAY).n_fetched == 1
        assert jobs.n_unfinished(taken.ledger) == 2

    def test_another_object_is_not_taken_for_the_one_asked_for(self, taken):
        (one, two) = films(2)
        service = HostileDicomWeb([(*one[:3], two[3])])
        with running(service) as url, pytest.raises(IncompletePull, match="another object"):
            pull(taken.ledger, source_of(taken, url), DAY, DAY)
        assert jobs.n_unfinished(taken.ledger) == 0

    @pytest.mark.parametrize("odd", ODD_PAGES)
    def test_an_odd_page_is_no_end_of_the_process(self, taken, odd):
        service = HostileDicomWeb(films(1), odd_page=odd)
        with running(service) as url, pytest.raises((DeliveryError, IncompletePull)):
            pull(taken.ledger, source_of(taken, url), DAY, DAY)
        assert service.requests["query"] <= 40

    @pytest.mark.parametrize("odd", [*RIGHT_PAGES, *WRONG_PAGES])
    def test_matches_in_an_odd_form_and_no_matches(self, taken, odd):
        """What cannot be read is not "nothing was found": an exit status of 0 means all."""
        service = HostileDicomWeb(films(1), odd_page=odd)
        with running(service) as url:
            source = source_of(taken, url, timeout_seconds=2.0)
            if odd in RIGHT_PAGES:
                assert pull(taken.ledger, source, DAY, DAY).n_fetched == 1
            else:
                with pytest.raises((DeliveryError, IncompletePull)):
                    pull(taken.ledger, source, DAY, DAY)

    @pytest.mark.parametrize("odd", ["uid_of_slashes", "uid_of_a_line", "uid_very_long"])
    def test_what_is_no_uid_is_asked_for_nowhere(self, taken, odd):
        service = HostileDicomWeb(films(1), odd_page=odd)
        with running(service) as url, pytest.raises(IncompletePull):
            pull(taken.ledger, source_of(taken, url, timeout_seconds=2.0), DAY, DAY)
        assert quarantine.entries(taken.ledger) == []

    def test_a_study_that_is_listed_again_needs_nobody(self, taken):
        """Also where its films came before it could not be listed, so that none comes now."""
        service = HostileDicomWeb(films(1))
        with running(service) as url:
            source = source_of(taken, url, timeout_seconds=2.0)
            assert pull(taken.ledger, source, DAY, DAY, today=DAY).n_fetched == 1
            (study,) = {one.study_uid for one in source.find(DAY)}
            quarantine.not_retrieved(
                taken.ledger, {(study, ""): "HTTP 500", ("1.9", ""): "HTTP 500"}
            )
            assert pull(taken.ledger, source, DAY, DAY, today=DAY).n_fetched == 0
        assert [one.study_uid for one in quarantine.entries(taken.ledger)] == ["1.9"]

    @pytest.mark.parametrize("odd", ODD_STORES)
    def test_an_odd_answer_to_stow_is_a_failed_attempt(self, odd):
        film = DicomInstance("", "UID", "", "", film_bytes(1))
        service = HostileDicomWeb(odd_store=odd)
        with running(service) as url:
            (answer,) = dicomweb.store([film], DicomWebServer(url))
        assert isinstance(answer, Answer)
        assert not answer.stored

    def test_a_service_that_is_away_is_no_fault_of_its_objects(self, taken):
        there = films(3)
        service = HostileDicomWeb(there)
        with running(service) as url:
            source = source_of(taken, url)
            found = list(source.find(DAY))
        with pytest.raises(DeliveryError, match="refused"):
            source.fetch(found)
        assert quarantine.entries(taken.ledger) == []


class TestQidoTruncationSilent:
    def test_a_short_page_is_not_the_last(self, taken):
        with running(HostileDicomWeb(films(60), most=25)) as url:
            assert pull(taken.ledger, source_of(taken, url), DAY, DAY).n_fetched == 60

    def test_offset_ignored_is_no_endless_loop(self, taken):
        service = HostileDicomWeb(films(30), ignores_offset=True)
        with running(service) as url:
            assert pull(taken.ledger, source_of(taken, url), DAY, DAY).n_found == 30
        assert service.requests["query"] < 400

    @pytest.mark.parametrize("times", ["same", "by_hour"])
    def test_orthanc_with_a_limit(self, taken, times, tmp_path, move_port):
        """QIDO-RS and C-FIND of an Orthanc that gives ten answers at most, of 25 studies."""
        of_time = {
            "same": lambda n: "081500",
            "by_hour": lambda n: f"{n % 3:02d}0000",
        }[times]
        made = [film_bytes(7_000 + n, StudyTime=of_time(n), side=64) for n in range(25)]
        limits = {"LimitFindResults": 10, "LimitFindInstances": 10}
        with running_orthanc(tmp_path, move_port=free_port(), options=limits) as orthanc:
            peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port)
            sent = [DicomInstance("", "", "", "", film) for film in made]
            assert all(a.stored for a in storage_scu.store(sent, peer, calling_ae="CXRSCU"))
            source = source_of(taken, orthanc.dicom_web)
            server = DicomWebServer(orthanc.dicom_web, *ORTHANC_USER)
            source = DicomWebSource("web", server, source.receive, ("DX",))
            assert pull(taken.ledger, source, DAY, DAY).n_fetched == 25
            query = QueryRetrieve("pacs", peer, "CXRSCU", "CXRMOVE", ("DX",))
            assert len(list(query.find(DAY))) == 25


def test_one_bad_instance_stops_pull(taken, tmp_path):
    """An instance whose file is gone from Orthanc's disk costs itself; the days go on."""
    options = {"MaximumStorageCacheSize": 0}
    folder = tmp_path / "orthanc"
    folder.mkdir()
    days = ["20260105", "20260105", "20260106"]
    made = [film_bytes(7_100 + n, StudyDate=day, side=64) for n, day in enumerate(days)]
    with running_orthanc(folder, move_port=free_port(), options=options) as orthanc:
        peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port)
        sent = [DicomInstance("", "", "", "", film) for film in made]
        assert all(a.stored for a in storage_scu.store(sent, peer, calling_ae="CXRSCU"))
        victim = next(p for p in (folder / "db").rglob("*") if p.is_file() and _is_first(p))
        kept = victim.read_bytes()
        victim.unlink()
        settings = _settings(tmp_path, orthanc.dicom_web)
        command = ["screen", "pull", "web", "--first", "2026-01-05", "--last", "2026-01-06"]
        command += ["--settings", str(settings), "--json"]
        for _ in range(2):
            done = CliRunner().invoke(app, command, env={"PACS_PASSWORD": ORTHANC_USER[1]})
            assert done.exit_code != 0
            assert "not_retrieved" in str(done.exception)
            with open_ledger(tmp_path / "l.sqlite") as ledger:
                assert jobs.n_unfinished(ledger) == 2
        victim.write_bytes(kept)
        done = CliRunner().invoke(app, command, env={"PACS_PASSWORD": ORTHANC_USER[1]})
        assert (done.exit_code, json.loads(done.stdout)["fetched"]) == (0, 1)
    with open_ledger(tmp_path / "l.sqlite") as ledger:
        assert jobs.n_unfinished(ledger) == 3
        assert quarantine.entries(ledger) == []  # what was noted is closed


def test_an_archive_goes_on_and_says_so(packaged_bundle, tmp_path):
    """One image of three is not given: two are screened, status 1; a repeat has the third."""
    there = films(3)
    service = HostileDicomWeb(there, odd_objects={there[0][2]: "server_error"})
    out = tmp_path / "out"
    command = ["screen", "archive", "", "--first", str(DAY), "--last", str(DAY), "--json"]
    command += ["--bundle", str(packaged_bundle), "--out", str(out), "--device", "cpu", "--no-sr"]
    with running(service) as url:
        command[2] = url
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1
        assert f"1 study dates ({DAY})" in str(done.exception)
        assert json.loads(done.stdout)["not_scored"]["not_retrieved"] == 1
        assert (out / "results.parquet").is_file()
        service.odd_objects.clear()
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0
        assert "not_retrieved" not in json.loads(done.stdout)["not_scored"]


def _is_first(path: Path) -> bool:
    data = path.read_bytes()
    return data[128:132] == b"DICM" and b".1.7100" in data


def _settings(folder: Path, url: str) -> Path:
    path = folder / "screening.toml"
    path.write_text(
        f'[ledger]\nurl = "sqlite:///{folder / "l.sqlite"}"\n[spool]\nfolder = "spool"\n'
        f'reserve_gib = 0\n[[pulls]]\nname = "web"\nkind = "dicomweb"\nurl = "{url}"\n'
        'username = "cxr"\npassword_env = "PACS_PASSWORD"\n'
    )
    return path


def test_refused_refetched_each_poll(taken):
    """What the intake refuses is fetched once, with one entry in the quarantine."""
    (film,) = films(1)
    service = HostileDicomWeb([film])
    with running(service) as url:
        source = source_of(taken, url)

        def refuse(data: bytes, **named: str) -> intake.Receipt:
            return intake.receive(taken.ledger, taken.spool, b"noise", source="web", **named)

        refusing = DicomWebSource("web", source.server, refuse)
        today = DAY
        for _ in range(3):
            pull(taken.ledger, refusing, DAY, DAY, today=today)
        assert service.requests["retrieve"] == 1
        (entry,) = quarantine.entries(taken.ledger)
        assert (entry.reason, entry.sop_uid) == ("not_dicom", film[2])
        quarantine.release(taken.ledger, [entry.id], actor="me")  # ask for it again
        pull(taken.ledger, source, DAY, DAY, today=today)
        assert service.requests["retrieve"] == 2


class TestDicomwebPrivateCa:
    def _server(self, tmp_path, files, *keys: str) -> DicomWebServer:
        text = {
            "authorities": {"authorities": str(files["web"].authorities)},
            "tls": {
                "tls": {
                    "certificate": str(files["us"].certificate),
                    "private_key": str(files["us"].private_key),
                    "authorities": str(files["us"].authorities),
                }
            },
        }
        table = {"name": "web", "kind": "dicomweb", "url": "https://127.0.0.1:1/dicom-web"}
        for key in keys:
            table |= text[key]
        content = {"ledger": {"url": "sqlite:///x"}, "spool": {"folder": "s"}}
        settings = settings_of({**content, "destinations": [table]}, folder=tmp_path)
        return dicomweb_of(settings.destinations[0])

    def test_dicomweb_private_ca(self, tmp_path):
        files = make_tls_files(tmp_path / "tls", "web", "us")
        from dataclasses import replace
        from ssl import CERT_NONE

        context = server_tls(files["web"])
        context.verify_mode = CERT_NONE
        with running(HostileDicomWeb(films(1)), context) as url:
            dicomweb.probe(replace(self._server(tmp_path, files, "authorities"), url=url))
            with pytest.raises(DeliveryError, match="certificate verify failed"):
                dicomweb.probe(replace(self._server(tmp_path, files), url=url))
        with running(HostileDicomWeb(films(1)), server_tls(files["web"])) as url:
            dicomweb.probe(replace(self._server(tmp_path, files, "tls"), url=url))
            with pytest.raises(DeliveryError):  # it asks for a certificate of ours
                dicomweb.probe(replace(self._server(tmp_path, files, "authorities"), url=url))

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"kind": "folder", "path": "p", "url": "http://x"}, "url is not used by kind folder"),
            ({"kind": "folder", "path": "p", "authorities": "p"}, "authorities is not used"),
            ({"kind": "dicomweb", "url": "http://x", "ae_title": "A"}, "ae_title is not used"),
            (
                {"kind": "pacs", "ae_title": "A", "host": "h", "url": "http://x"},
                "url is not used by kind pacs",
            ),
            ({"kind": "dicomweb", "url": "http://u:p@x/y"}, "without a user name or a password"),
            ({"kind": "dicomweb", "url": "http://x", "timeout_seconds": 0}, "timeout_seconds"),
        ],
    )
    def test_a_key_that_a_kind_does_not_use_is_refused(self, table, message, tmp_path):
        content = {"ledger": {"url": "sqlite:///x"}, "spool": {"folder": "s"}}
        with pytest.raises(SettingsError, match=message):
            settings_of({**content, "destinations": [{"name": "a", **table}]}, folder=tmp_path)
