"""PACS that are slow, limited or old: C-FIND and C-MOVE as the standard allows, TLS without SAN."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from datetime import date

import pydicom
import pytest
from pacs_films import film_bytes
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from tls_files import make_tls_files

from monai_cxr.errors import DeliveryError
from monai_cxr.screening.arriving.pull import IncompletePull, pull
from monai_cxr.screening.arriving.query_retrieve import QueryRetrieve
from monai_cxr.screening.ledger import jobs
from monai_cxr.screening.network import storage_scu
from monai_cxr.screening.network.dicom_network import AllowedSender, Peer, server_tls
from monai_cxr.screening.service.parts import peer_of, pull_source_of
from monai_cxr.screening.settings.checks import settings_of

DAY = date(2026, 1, 5)


@contextlib.contextmanager
def pacs(films, *, move_port=1, limit=0, refuses=(), silent_seconds=0.0, bad=(), knows=True):
    """A PACS in this process; gives its port.

    Args:
        films: Data sets that it holds.
        move_port: Port of the C-MOVE destination.
        limit: Most answers to a query; more are refused with 0xA700 after that many.
        refuses: Keywords that it answers with 0xA900.
        silent_seconds: Before the first image of a C-MOVE.
        bad: SOP Instance UIDs that it cannot read; their series ends with 0xC000.
        knows: Whether it knows where to move to.
    """
    wanted = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}

    def matches(query: Dataset) -> list[Dataset]:
        found = {}
        for film in films:
            fits = all(
                not query.get(key) or query.get(key) == film.get(key)
                for key in ("StudyDate", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            )
            first, _, last = str(query.get("StudyTime", "")).partition("-")
            if fits and (not first or first <= film.StudyTime <= last):
                answer = Dataset()
                for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyTime"):
                    setattr(answer, key, film.get(key))
                found[film.get(wanted[query.QueryRetrieveLevel])] = answer
        return list(found.values())

    def find(event) -> Iterator:
        query = event.identifier
        if any(keyword in query and query.get(keyword) for keyword in refuses):
            yield 0xA900, None
            return
        for n, answer in enumerate(matches(query)):
            if limit and n == limit:
                yield 0xA700, None
                return
            yield 0xFF00, answer

    def move(event) -> Iterator:
        time.sleep(silent_seconds)
        if not knows:
            yield None, None
            return
        query = event.identifier
        sent = [
            film
            for film in films
            if film.SeriesInstanceUID == query.SeriesInstanceUID
            and query.get("SOPInstanceUID", film.SOPInstanceUID) == film.SOPInstanceUID
        ]
        yield "127.0.0.1", move_port
        yield len(sent)
        for film in sent:
            if film.SOPInstanceUID in bad:
                yield 0xC000, Dataset()
                return
            yield 0xFF00, film

    entity = AE(ae_title="PACS")
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
    for film in films:
        entity.add_requested_context(film.SOPClassUID, film.file_meta.TransferSyntaxUID)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_MOVE, move)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def data_sets(n: int, first: int = 8_000, **attributes) -> list[Dataset]:
    made = [film_bytes(first + i, side=64, **attributes) for i in range(n)]
    return [pydicom.dcmread(io.BytesIO(data)) for data in made]


def source(port: int, **peer: float) -> QueryRetrieve:
    to = Peer("PACS", "127.0.0.1", port, **peer)
    return QueryRetrieve("pacs", to, move_destination="MONAI_CXR", modalities=("DX",))


class TestCmove30sAndFindLimits:
    def _listener(self, taken):
        senders = (AllowedSender("PACS"), AllowedSender("PYNETDICOM"))
        return taken.listener(senders=senders)

    def test_silence_before_the_first_image(self, taken):
        with (
            self._listener(taken) as scp,
            pacs(data_sets(2), move_port=scp.port, silent_seconds=2.5) as port,
        ):
            pulled = pull(taken.ledger, source(port, timeout_seconds=1.0), DAY, DAY)
        assert pulled.n_fetched == 2

    def test_an_optional_key_that_is_refused(self, taken):
        with pacs(data_sets(3), refuses=("ModalitiesInStudy",)) as port:
            assert len(list(source(port).find(DAY))) == 3

    def test_too_many_answers(self, taken):
        films = [
            film
            for hour in range(5)
            for film in data_sets(3, 8_100 + 10 * hour, StudyTime=f"{hour:02d}0000")
        ]
        with pacs(films, limit=4) as port:
            assert len(list(source(port).find(DAY))) == 15

    def test_one_image_that_cannot_be_read_costs_itself(self, taken):
        films = data_sets(3)
        for film in films[1:]:
            film.StudyInstanceUID = films[0].StudyInstanceUID
            film.SeriesInstanceUID = films[0].SeriesInstanceUID
        bad = [films[0].SOPInstanceUID]
        with (
            self._listener(taken) as scp,
            pacs(films, move_port=scp.port, bad=bad) as port,
            pytest.raises(IncompletePull, match="move_0xC000: 1"),
        ):
            pull(taken.ledger, source(port), DAY, DAY)
        assert jobs.n_unfinished(taken.ledger) == 2

    def test_an_unknown_destination_is_said(self, taken):
        with (
            pacs(data_sets(2), knows=False) as port,
            pytest.raises(IncompletePull, match="move_0xA801: 2"),
        ):
            pull(taken.ledger, source(port), DAY, DAY)

    def test_the_settings_reach_them(self, taken, tmp_path):
        table = {
            **{"name": "a", "kind": "pacs", "ae_title": "PACS", "host": "h"},
            **{"timeout_seconds": 5, "retrieve_seconds": 7200, "modalities": ["RG"]},
        }
        content = {"ledger": {"url": "sqlite:///x"}, "spool": {"folder": "s"}, "pulls": [table]}
        (read,) = settings_of(content, folder=tmp_path).pulls
        made = pull_source_of(read, taken.ledger, taken.spool)
        assert (made.peer.timeout_seconds, made.retrieve_seconds) == (5.0, 7200.0)
        assert made.modalities == ("RG",)


class TestTlsCnOnlyNoReason:
    @pytest.fixture
    def old_pacs(self, tmp_path):
        """A PACS whose certificate names no host, and files of ours of the same authority."""
        files = make_tls_files(tmp_path, "pacs", "us", names_host=False)
        entity = AE(ae_title="PACS")
        entity.add_supported_context(Verification)
        context = server_tls(files["pacs"])
        server = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=context)
        yield server.socket.getsockname()[1], files["us"]
        server.shutdown()

    def _peer(self, tmp_path, port, files, **tls) -> Peer:
        table = {"name": "pacs", "kind": "pacs", "ae_title": "PACS", "host": "127.0.0.1"}
        table |= {"port": port, "timeout_seconds": 10}
        table["tls"] = {
            "certificate": str(files.certificate),
            "private_key": str(files.private_key),
            "authorities": str(files.authorities),
            **tls,
        }
        content = {"ledger": {"url": "sqlite:///x"}, "spool": {"folder": "s"}}
        settings = settings_of({**content, "destinations": [table]}, folder=tmp_path)
        return peer_of(settings.destinations[0])

    def test_tls_cn_only_no_reason(self, tmp_path, old_pacs):
        port, files = old_pacs
        with pytest.raises(DeliveryError, match="certificate verify failed"):
            storage_scu.echo(self._peer(tmp_path, port, files), calling_ae="US")
        peer = self._peer(tmp_path, port, files, check_host_name=False)
        assert storage_scu.echo(peer, calling_ae="US") == "0x0000"

    def test_a_stranger_is_told_that_it_is_the_certificate(self, tmp_path, old_pacs):
        port, _ = old_pacs
        stranger = make_tls_files(tmp_path / "other", "us", authority="elsewhere")["us"]
        peer = self._peer(tmp_path, port, stranger, check_host_name=False)
        with pytest.raises(DeliveryError, match="certificate verify failed"):
            storage_scu.echo(peer, calling_ae="US")

    def test_other_reasons(self, tmp_path):
        with pytest.raises(DeliveryError, match="connection refused"):
            storage_scu.echo(Peer("PACS", "127.0.0.1", 1), calling_ae="US")
        with pytest.raises(DeliveryError, match="host name is not known"):
            storage_scu.echo(Peer("PACS", "pacs.invalid", 104), calling_ae="US")
