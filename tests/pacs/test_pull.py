"""Pull from a real PACS by QIDO-RS and WADO-RS, by C-FIND and C-MOVE: resumable, each film once."""

from __future__ import annotations

import io
import json
from datetime import date
from functools import partial

import pydicom
import pytest
from dicom_peers import ORTHANC_USER, free_port
from pacs_films import film_bytes

from monai_cxr.cli import app
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.pull import DicomWebSource, pull
from monai_cxr.screening.arriving.query_retrieve import QueryRetrieve
from monai_cxr.screening.ledger import jobs, open_ledger
from monai_cxr.screening.network import storage_scu
from monai_cxr.screening.network.dicom_network import AllowedSender, Peer
from monai_cxr.screening.network.dicomweb import DicomWebServer, FoundInstance
from monai_cxr.screening.settings.checks import settings_of

FIRST, LAST = date(2025, 3, 1), date(2025, 3, 3)
NUMBERS = {date(2025, 3, 1): (601, 602), date(2025, 3, 3): (603,), date(2025, 3, 9): (604,)}


@pytest.fixture(scope="module")
def filled(orthanc):
    """Films of three days, a CT, and a study with two films."""
    films = [film_bytes(n, StudyDate=f"{day:%Y%m%d}") for day, ns in NUMBERS.items() for n in ns]
    films.append(film_bytes(605, study=601, StudyDate="20250301", Modality="CR",
                            SOPClassUID="1.2.840.10008.5.1.4.1.1.1",
                            SeriesInstanceUID="1.2.826.0.1.3680043.10.1479.77.4"))  # fmt: skip
    films.append(film_bytes(606, StudyDate="20250301", Modality="OT",
                            SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))  # fmt: skip
    peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port, timeout_seconds=120.0)
    sent = [DicomInstance("", "", "", "", film) for film in films]
    assert all(a.stored for a in storage_scu.store(sent, peer, calling_ae="CXRSCU"))
    return orthanc


def web_source(taken, orthanc) -> DicomWebSource:
    receive = partial(intake.receive, taken.ledger, taken.spool, source="dicomweb")
    return DicomWebSource("web", DicomWebServer(orthanc.dicom_web, *ORTHANC_USER), receive)


def uids(*numbers: int) -> set[str]:
    return {str(pydicom.dcmread(io.BytesIO(film_bytes(n))).SOPInstanceUID) for n in numbers}


def arrived(taken) -> set[str]:
    return {film.key.sop_uid for film in jobs.lease(taken.ledger, "test", 100)}


def test_dicomweb(taken, filled):
    source = web_source(taken, filled)
    done = pull(taken.ledger, source, FIRST, LAST)
    assert (done.days, done.n_found, done.n_fetched) == (3, 4, 4)
    again = pull(taken.ledger, source, FIRST, LAST)
    assert (again.days, again.n_fetched) == (0, 0)  # the cursor is past the range
    assert arrived(taken) == uids(601, 602, 603, 605)


def test_pixels_arrive_unchanged(taken, filled):
    pull(taken.ledger, web_source(taken, filled), FIRST, FIRST)
    (film,) = [f for f in jobs.lease(taken.ledger, "t", 9) if f.key.sop_uid in uids(602)]
    sent = pydicom.dcmread(io.BytesIO(film_bytes(602)))
    assert pydicom.dcmread(film.path).PixelData == sent.PixelData


def test_c_find_and_c_move(taken, filled, move_port):
    peer = Peer("ORTHANC", "127.0.0.1", filled.dicom_port, timeout_seconds=120.0)
    source = QueryRetrieve("pacs", peer, calling_ae="CXRSCU", move_destination="CXRMOVE")
    listener = taken.listener(
        ae_title="CXRMOVE", port=move_port, senders=(AllowedSender("ORTHANC", "127.0.0.1"),)
    )
    with listener:
        done = pull(taken.ledger, source, FIRST, LAST)
        assert (done.days, done.n_found, done.n_fetched) == (3, 4, 4)
        assert pull(taken.ledger, source, FIRST, LAST).days == 0
    assert arrived(taken) == uids(601, 602, 603, 605)


def test_a_failed_move_is_said_and_goes_on_later(taken, filled, move_port):
    peer = Peer("ORTHANC", "127.0.0.1", filled.dicom_port, timeout_seconds=120.0)
    source = QueryRetrieve("pacs", peer, calling_ae="CXRSCU", move_destination="NOWHERE")
    with pytest.raises(DeliveryError, match="move_0x"):
        pull(taken.ledger, source, FIRST, LAST)
    right = QueryRetrieve("pacs", peer, calling_ae="CXRSCU", move_destination="CXRMOVE")
    senders = (AllowedSender("ORTHANC", "127.0.0.1"),)
    with taken.listener(ae_title="CXRMOVE", port=move_port, senders=senders):
        assert pull(taken.ledger, right, FIRST, LAST).n_fetched == 4


def test_a_day_that_is_not_over_is_asked_again(taken):
    class Growing:
        name = "growing"

        def __init__(self):
            self.asked, self.there = [], [1]

        def find(self, day):
            self.asked.append(day)
            return [FoundInstance("", "", uid) for n in self.there for uid in uids(n)]

        def fetch(self, found):
            assert len(found) == 1
            intake.receive(taken.ledger, taken.spool, film_bytes(self.there[-1]), source="growing")

    source = Growing()
    day = date(2026, 1, 5)
    assert pull(taken.ledger, source, day, day, today=day).n_fetched == 1
    source.there.append(2)
    assert pull(taken.ledger, source, day, day, today=day).n_fetched == 1
    source.there.append(3)  # archived after midnight
    assert pull(taken.ledger, source, day, day, today=date(2026, 1, 6)).n_fetched == 1
    assert pull(taken.ledger, source, day, day, today=date(2026, 1, 7)).n_fetched == 0
    assert pull(taken.ledger, source, day, day, today=date(2026, 1, 7)).days == 0
    assert source.asked == [day] * 4


def test_a_source_that_is_away(taken):
    server = DicomWebServer(f"http://127.0.0.1:{free_port()}")
    source = DicomWebSource("web", server, lambda data: None)
    with pytest.raises(DeliveryError):
        pull(taken.ledger, source, FIRST, LAST)
    query = QueryRetrieve("pacs", Peer("ORTHANC", "127.0.0.1", free_port()))
    with pytest.raises(DeliveryError):
        pull(taken.ledger, query, FIRST, LAST)
    with pytest.raises(SettingsError, match="before"):
        pull(taken.ledger, query, LAST, FIRST)


@pytest.mark.parametrize("kind", ["dicomweb", "pacs"])
def test_command(kind, filled, move_port, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PACS_PASSWORD", ORTHANC_USER[1])
    where = {
        "dicomweb": f'url = "{filled.dicom_web}"\nusername = "cxr"\npassword_env = "PACS_PASSWORD"',
        "pacs": f'ae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {filled.dicom_port}\n'
        'calling_ae = "CXRSCU"\nmove_destination = "CXRMOVE"',
    }[kind]
    settings = tmp_path / "screening.toml"
    settings.write_text(
        f"""
[ledger]
url = "sqlite:///{tmp_path / "ledger.sqlite"}"
[spool]
folder = "spool"
reserve_gib = 0
[listener]
ae_title = "CXRMOVE"
port = {move_port}
[[listener.senders]]
ae_title = "ORTHANC"
host = "127.0.0.1"
[[pulls]]
name = "archive"
kind = "{kind}"
{where}
"""
    )
    command = ["screen", "pull", "archive", "--first", "2025-03-01", "--last", "2025-03-03"]
    app([*command, "--settings", str(settings), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {"days": 3, "found": 4, "fetched": 4}
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        films = jobs.lease(ledger, "test", 100)
    assert {film.key.sop_uid for film in films} == uids(601, 602, 603, 605)
    unknown = ["screen", "pull", "other", *command[3:], "--settings", str(settings)]
    with pytest.raises(SettingsError, match=r"no pull 'other'\. Known: archive"):
        app(unknown, standalone_mode=False)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "a", "kind": "ftp"}, "pulls.a.kind of pacs, dicomweb"),
        ({"name": "a", "kind": "dicomweb"}, "needs pulls.a.url"),
        ({"name": "a", "kind": "pacs", "ae_title": "X"}, "needs pulls.a.host"),
        ({"name": "a", "kind": "dicomweb", "url": "http://x", "days": 0}, "days of at least 1"),
        ({"name": "a", "kind": "dicomweb", "url": "http://x", "password": "y"}, "password_env"),
    ],
)
def test_settings_are_checked(table, message, tmp_path):
    content = {"ledger": {"url": "sqlite:///x"}, "spool": {"folder": "s"}, "pulls": [table]}
    with pytest.raises(SettingsError, match=message):
        settings_of(content, folder=tmp_path)
